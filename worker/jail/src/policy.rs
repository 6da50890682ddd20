//! The grants of `policy/`, read and compiled: system calls, capabilities, devices, masks.

use rustix::thread::CapabilitySet;
use seccompiler::{BpfProgram, TargetArch};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::plan::{Barrier, Grants};

const SECCOMP: &str = include_str!("../../../policy/seccomp.toml");
const EMULATOR: &str = include_str!("../../../policy/emulator.toml");
const CAPABILITIES: &str = include_str!("../../../policy/capabilities.toml");
const MOUNTS: &str = include_str!("../../../policy/mounts.toml");

/// Why the policy cannot be used: a mistake in the files that this program was built with.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML of the right shape.
    #[error("reading the policy {0}")]
    Form(&'static str, #[source] Box<toml::de::Error>),
    /// A call that the compiler does not know, or a filter that is too long.
    #[error("compiling the system call filter: {0}")]
    Compile(String),
    /// A capability that the kernel's headers do not name.
    #[error("no such capability: {0}")]
    Capability(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seccomp {
    allow: Vec<Calls>,
    refuse: Vec<Calls>,
    refuse_bits: Vec<Bits>,
    refuse_values: Vec<Values>,
    sockets: Sockets,
}

// `why` is for the reader of the file; that it is there is checked by reading it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Calls {
    #[serde(rename = "why")]
    _why: String,
    calls: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bits {
    #[serde(rename = "why")]
    _why: String,
    calls: Vec<String>,
    argument: u8,
    bits: Vec<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    #[serde(rename = "why")]
    _why: String,
    calls: Vec<String>,
    argument: u8,
    values: Vec<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sockets {
    #[serde(rename = "why")]
    _why: String,
    families: Vec<u64>,
    netlink_protocols: Vec<u64>,
}

/// The filters, in the order in which they are to be installed: where two refuse the same call,
/// the kernel takes the answer of the one that was installed last.
pub(crate) fn filters(grants: Grants, without: &[Barrier]) -> Result<Vec<BpfProgram>, PolicyError> {
    if without.contains(&Barrier::Seccomp) {
        return Ok(Vec::new());
    }
    let policy: Seccomp = match grants {
        Grants::Guest => read("seccomp.toml", SECCOMP)?,
        Grants::Emulator => read("emulator.toml", EMULATOR)?,
    };
    let allow = policy.allow.iter().flat_map(|group| &group.calls).map(|call| rule(call, &[]));
    let allow = filter(libc::ENOSYS, None, allow.collect());
    let mut refuse: Vec<Value> = Vec::new();
    refuse.extend(policy.refuse.iter().flat_map(|group| &group.calls).map(|call| rule(call, &[])));
    for group in &policy.refuse_bits {
        for (call, bit) in pairs(&group.calls, &group.bits) {
            refuse.push(rule(call, &[has_bit(group.argument, bit)]));
        }
    }
    for group in &policy.refuse_values {
        for (call, value) in pairs(&group.calls, &group.values) {
            refuse.push(rule(call, &[compare(group.argument, "eq", value)]));
        }
    }
    if !without.contains(&Barrier::SocketFamilies) {
        refuse.extend(socket_rules(&policy.sockets));
    }
    let refuse = filter(libc::EPERM, Some("allow"), refuse);
    [allow, refuse].into_iter().map(compile).collect()
}

fn socket_rules(sockets: &Sockets) -> [Value; 2] {
    const AF_NETLINK: u64 = 16;
    let families: Vec<Value> =
        sockets.families.iter().map(|family| compare(0, "ne", *family)).collect();
    let mut netlink = vec![compare(0, "eq", AF_NETLINK)];
    netlink.extend(sockets.netlink_protocols.iter().map(|protocol| compare(2, "ne", *protocol)));
    [rule("socket", &families), rule("socket", &netlink)]
}

fn pairs<'a>(calls: &'a [String], values: &'a [u64]) -> impl Iterator<Item = (&'a str, u64)> {
    calls.iter().flat_map(|call| values.iter().map(move |value| (call.as_str(), *value)))
}

// The shapes below are those of seccompiler's JSON filters (its docs/json_format.md).

fn rule(call: &str, conditions: &[Value]) -> Value {
    match conditions {
        [] => json!({ "syscall": call }),
        _ => json!({ "syscall": call, "args": conditions }),
    }
}

fn compare(argument: u8, operator: &str, value: u64) -> Value {
    json!({ "index": argument, "type": "dword", "op": operator, "val": value })
}

fn has_bit(argument: u8, bit: u64) -> Value {
    json!({ "index": argument, "type": "qword", "op": { "masked_eq": bit }, "val": bit })
}

fn filter(errno: i32, otherwise: Option<&str>, rules: Vec<Value>) -> Value {
    let refused = json!({ "errno": errno });
    match otherwise {
        None => json!({ "mismatch_action": refused, "match_action": "allow", "filter": rules }),
        Some(action) => {
            json!({ "mismatch_action": action, "match_action": refused, "filter": rules })
        }
    }
}

fn compile(filter: Value) -> Result<BpfProgram, PolicyError> {
    let text = json!({ "guest": filter }).to_string();
    let mut programs = seccompiler::compile_from_json(text.as_bytes(), TargetArch::x86_64)
        .map_err(|error| PolicyError::Compile(error.to_string()))?;
    programs.remove("guest").ok_or_else(|| PolicyError::Compile("no program came out".to_owned()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Capabilities {
    grant: Vec<Grant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    capability: String,
    #[serde(rename = "why")]
    _why: String,
}

/// What root inside a jail may do.
pub(crate) fn capabilities() -> Result<CapabilitySet, PolicyError> {
    let policy: Capabilities = read("capabilities.toml", CAPABILITIES)?;
    policy.grant.iter().try_fold(CapabilitySet::empty(), |set, grant| {
        CapabilitySet::from_name(&grant.capability)
            .map(|capability| set | capability)
            .ok_or_else(|| PolicyError::Capability(grant.capability.clone()))
    })
}

/// What of the host shows inside.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mounts {
    device: Vec<Device>,
    hide: Vec<Masked>,
    hide_folder: Vec<Masked>,
    read_only: Vec<Masked>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    name: String,
    #[serde(rename = "why")]
    _why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Masked {
    path: String,
    #[serde(rename = "why")]
    _why: String,
}

impl Mounts {
    pub(crate) fn read() -> Result<Self, PolicyError> {
        read("mounts.toml", MOUNTS)
    }

    /// Names in `/dev`.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &str> {
        self.device.iter().map(|device| device.name.as_str())
    }

    /// Files in `/proc` to hide.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = &str> {
        self.hide.iter().map(|masked| masked.path.as_str())
    }

    /// Folders in `/proc` to hide.
    pub(crate) fn hidden_folders(&self) -> impl Iterator<Item = &str> {
        self.hide_folder.iter().map(|masked| masked.path.as_str())
    }

    /// Folders in `/proc` to make read-only.
    pub(crate) fn read_only(&self) -> impl Iterator<Item = &str> {
        self.read_only.iter().map(|masked| masked.path.as_str())
    }
}

fn read<T: for<'de> Deserialize<'de>>(name: &'static str, text: &str) -> Result<T, PolicyError> {
    toml::from_str(text).map_err(|error| PolicyError::Form(name, Box::new(error)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Every call of the policy with the reasons of the groups that name it.
    fn calls_by_group(text: &str) -> BTreeMap<String, Vec<String>> {
        let policy: Seccomp = read("a policy", text).expect("the policy reads");
        let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for group in policy.allow.iter().chain(&policy.refuse) {
            for call in &group.calls {
                calls.entry(call.clone()).or_default().push(group._why.clone());
            }
        }
        calls
    }

    #[test]
    fn the_policy_compiles_and_weakening_it_shortens_it() {
        for grants in [Grants::Guest, Grants::Emulator] {
            let full = filters(grants, &[]).expect("compiled");
            assert_eq!(full.len(), 2);
            let weak = filters(grants, &[Barrier::SocketFamilies]).expect("compiled");
            assert!(weak[1].len() < full[1].len());
            let none = filters(grants, &[Barrier::Seccomp]).expect("nothing to compile");
            assert!(none.is_empty());
        }
    }

    #[test]
    fn no_call_stands_in_two_groups() {
        for (call, groups) in [SECCOMP, EMULATOR].into_iter().flat_map(calls_by_group) {
            assert_eq!(groups.len(), 1, "{call} stands in {groups:?}");
        }
    }

    #[test]
    fn every_grant_has_a_reason() {
        for (_, groups) in [SECCOMP, EMULATOR].into_iter().flat_map(calls_by_group) {
            assert!(groups.iter().all(|why| why.len() > 10));
        }
        for text in [CAPABILITIES, MOUNTS] {
            let grants = text.matches("\n[[").count();
            assert_eq!(grants, text.matches("\nwhy = \"").count());
        }
    }

    #[test]
    fn root_of_a_jail_cannot_administer_anything() {
        let granted = capabilities().expect("read");
        let forbidden = CapabilitySet::SYS_ADMIN
            | CapabilitySet::NET_ADMIN
            | CapabilitySet::NET_RAW
            | CapabilitySet::SYS_PTRACE
            | CapabilitySet::SYS_MODULE
            | CapabilitySet::MKNOD
            | CapabilitySet::SYS_RESOURCE
            | CapabilitySet::SYS_TIME;
        assert!(!granted.intersects(forbidden));
    }
}
