//! Takes from pid 1, and so from everything that it starts, all that a guest may not have; then
//! tries each lock.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use kiln_model::Limits;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, Scope,
};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, capabilities, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::mounts::{Doing, SetupError};
use crate::plan::{Barrier, Grants, Plan, User};
use crate::policy;
use crate::sys;

/// Locks this process in. `outside` is a folder of the host that is still open here: afterwards
/// nothing below it can be opened any more, which is one of the locks that are tried.
pub(crate) fn lock_down(plan: &Plan, outside: &OwnedFd) -> Result<(), SetupError> {
    if !plan.is_without(Barrier::Limits) {
        set_limits(&plan.limits, plan.address_space)?;
    }
    let granted = if plan.is_without(Barrier::Capabilities) {
        CapabilitySet::all() & CapabilitySet::from_bits_retain((1 << 41) - 1)
    } else {
        policy::capabilities().map_err(policy_error)?
    };
    bound(granted)?;
    hold(granted)?;
    if !plan.is_without(Barrier::NoNewPrivs) {
        set_no_new_privs(true).doing(|| "setting no_new_privs".to_owned())?;
    }
    if !plan.is_without(Barrier::Landlock) {
        confine_paths()?;
    }
    for program in policy::filters(plan.grants, &plan.without).map_err(policy_error)? {
        seccompiler::apply_filter(&program)
            .map_err(|error| SetupError::new(format!("seccomp: {error}"), last_or_other()))?;
    }
    try_locks(plan, outside)
}

fn policy_error(error: policy::PolicyError) -> SetupError {
    SetupError::new(error, io::ErrorKind::InvalidData)
}

fn last_or_other() -> io::Error {
    io::Error::last_os_error()
}

/// Becomes the user of a step. For the build user that is the end of every capability.
pub(crate) fn become_user(user: User, plan: &Plan) -> Result<(), SetupError> {
    if user == User::Root || plan.is_without(Barrier::BuildUser) {
        return Ok(());
    }
    bound(CapabilitySet::empty())?;
    let id = plan.build_user.id;
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    set_thread_groups(&[gid]).doing(|| "setting groups".to_owned())?;
    set_thread_res_gid(gid, gid, gid).doing(|| "setting the group".to_owned())?;
    set_thread_res_uid(uid, uid, uid).doing(|| "setting the user".to_owned())?;
    hold(CapabilitySet::empty())?;
    // Tried: there is no way back.
    let root = Uid::ROOT;
    match set_thread_res_uid(root, root, root) {
        Err(_) => Ok(()),
        Ok(()) => Err(open_lock("the build user can become root")),
    }
}

fn set_limits(limits: &Limits, address_space: Option<u64>) -> Result<(), SetupError> {
    let both = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    // Large enough for linkers, small enough that programs which close every possible
    // descriptor don't spend minutes on it.
    let files = Rlimit { current: Some(1024), maximum: Some(65_536) };
    // The keeper counts the CPU time of all processes together and says which limit it was; this
    // is for one that is faster than the keeper looks.
    let cpu = limits.cpu.saturating_add(60);
    // One file that takes more than all may have: the kernel ends its writer, and the keeper finds
    // more than was allowed and says so.
    let file = limits.disk.saturating_add(1 << 20);
    let mut wanted = vec![
        (Resource::Core, both(0)),
        (Resource::Nofile, files),
        (Resource::Nproc, both(limits.processes)),
        (Resource::Fsize, both(file)),
        (Resource::Cpu, both(cpu)),
        (Resource::Memlock, both(8 << 20)),
        (Resource::Stack, Rlimit { current: Some(8 << 20), maximum: None }),
    ];
    if let Some(bytes) = address_space {
        wanted.push((Resource::As, both(bytes)));
    }
    for (resource, limit) in wanted {
        let limit = within_ours(resource, limit);
        setrlimit(resource, limit).doing(|| format!("limiting {resource:?}"))?;
    }
    Ok(())
}

/// A limit can be lowered by anyone and raised by nobody here.
fn within_ours(resource: Resource, limit: Rlimit) -> Rlimit {
    let Some(ours) = rustix::process::getrlimit(resource).maximum else { return limit };
    let lower = |value: Option<u64>| Some(value.map_or(ours, |value| value.min(ours)));
    Rlimit { current: lower(limit.current), maximum: lower(limit.maximum) }
}

fn bound(granted: CapabilitySet) -> Result<(), SetupError> {
    for number in 0..=last_capability() {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if !granted.contains(capability) {
            remove_capability_from_bounding_set(capability)
                .doing(|| format!("giving up capability {number}"))?;
        }
    }
    Ok(())
}

/// The highest capability of this kernel: asking about one beyond it fails.
fn last_capability() -> u32 {
    (0..63)
        .take_while(|number| {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            rustix::thread::capability_is_in_bounding_set(capability).is_ok()
        })
        .last()
        .unwrap_or(0)
}

fn hold(granted: CapabilitySet) -> Result<(), SetupError> {
    let held = capabilities(None).doing(|| "asking for capabilities".to_owned())?.permitted;
    let granted = granted & held;
    let sets = CapabilitySets {
        effective: granted,
        permitted: granted,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).doing(|| "setting capabilities".to_owned())
}

/// Landlock: whatever folder of the host might still be open somewhere, no path that does not
/// begin at the jail's root leads anywhere. A kernel without it is held by the other locks.
fn confine_paths() -> Result<(), SetupError> {
    let restrict = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let all: BitFlags<AccessFs> = AccessFs::from_all(ABI::V5);
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .scope(Scope::from_all(ABI::V6))?
            .create()?
            .add_rule(PathBeneath::new(PathFd::new("/")?, all))?
            .restrict_self()?;
        Ok(())
    };
    restrict().map_err(|error| SetupError::new("landlock", io::Error::other(error)))
}

fn open_lock(what: &str) -> SetupError {
    SetupError::new(format!("a lock does not hold: {what}"), io::ErrorKind::PermissionDenied)
}

/// Tries each lock: a kernel, a policy or a change of ours that leaves one open is noticed here,
/// before a guest can.
fn try_locks(plan: &Plan, outside: &OwnedFd) -> Result<(), SetupError> {
    // What a list does not name is no call at all; an emulator's names next to nothing.
    let unknown = (plan.grants == Grants::Emulator).then_some(libc::ENOSYS);
    let refused = |what: &str, answer: io::Result<i64>, errno: i32| match answer {
        Err(error) if error.raw_os_error() == Some(errno) => Ok(()),
        Err(error) if unknown.is_some() && error.raw_os_error() == unknown => Ok(()),
        Err(error) => Err(SetupError::new(format!("trying a lock: {what}"), error)),
        Ok(_) => Err(open_lock(what)),
    };
    const AF_VSOCK: libc::c_long = 40;
    if !plan.is_without(Barrier::Seccomp) {
        let new_user = libc::CLONE_NEWUSER.into();
        refused("mount", sys::try_call(libc::SYS_mount, [0, 0, 0]), libc::EPERM)?;
        refused("unshare", sys::try_call(libc::SYS_unshare, [new_user, 0, 0]), libc::EPERM)?;
        refused("clone3", sys::try_call(libc::SYS_clone3, [0, 0, 0]), libc::ENOSYS)?;
        refused("io_uring", sys::try_call(libc::SYS_io_uring_setup, [0, 0, 0]), libc::ENOSYS)?;
        refused("bpf", sys::try_call(libc::SYS_bpf, [0, 0, 0]), libc::EPERM)?;
        refused("keyctl", sys::try_call(libc::SYS_keyctl, [0, 0, 0]), libc::ENOSYS)?;
        if !plan.is_without(Barrier::SocketFamilies) {
            let vsock = sys::try_call(libc::SYS_socket, [AF_VSOCK, 1, 0]);
            refused("vsock", vsock, libc::EPERM)?;
        }
    }
    if !plan.is_without(Barrier::Capabilities) {
        let granted = policy::capabilities().map_err(policy_error)?;
        let held = capabilities(None).doing(|| "asking for capabilities".to_owned())?;
        if !granted.contains(held.permitted | held.effective | held.inheritable) {
            return Err(open_lock("a capability that was not granted is held"));
        }
    }
    if !plan.is_without(Barrier::NoNewPrivs)
        && !rustix::thread::no_new_privs().doing(|| "asking for no_new_privs".to_owned())?
    {
        return Err(open_lock("no_new_privs"));
    }
    if !plan.is_without(Barrier::Landlock) && landlock_works() {
        let reached = rustix::fs::openat(
            outside.as_fd(),
            ".",
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        if reached.is_ok() {
            return Err(open_lock("a folder of the host can be opened"));
        }
    }
    Ok(())
}

/// Whether this kernel has Landlock and it is switched on.
pub fn landlock_works() -> bool {
    const VERSION: libc::c_long = 1;
    sys::try_call(libc::SYS_landlock_create_ruleset, [0, 0, VERSION]).is_ok_and(|abi| abi > 0)
}
