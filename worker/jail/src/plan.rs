//! What a jail is to be: data, checked before anyone acts on it.
//!
//! The launcher writes a plan, the keeper and pid 1 carry it out; nothing is decided on the way.
//! Modelled on bubblewrap's list of operations.

use std::path::PathBuf;

use kiln_model::Limits;
use serde::{Deserialize, Serialize};

use crate::ids::{BUILD_ID, IdMap, SLOT_IDS};

/// A jail, from its first mount to the last file that is taken out of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The host name inside.
    pub hostname: String,
    /// Which ids of the host stand behind the ids inside.
    pub ids: IdMap,
    /// The one folder of the host in which the jail writes. The launcher makes it, mode 0777
    /// inside a folder of mode 0700, so that the jail's root can work in it and nobody else.
    pub folder: PathBuf,
    /// The mounts, in order. The first one is the root, at `/`.
    pub mounts: Vec<Mount>,
    /// The commands, in order. The first one that fails is the last one that runs.
    pub steps: Vec<Step>,
    /// What is taken out after every process is dead, where all steps went well.
    pub collect: Vec<Collect>,
    /// What all steps together may have.
    pub limits: Limits,
    /// The CPUs of the host that the guest sees and gets; empty: all that the launcher has.
    pub cpus: Vec<u32>,
    /// The most memory that one process may map, in bytes. For steps that are known to need
    /// little: a hard bound that holds where no controller counts memory.
    pub address_space: Option<u64>,
    /// Names in `folder` that outlive the jail; everything else there is removed.
    pub keep: Vec<String>,
    /// A port of the jail's own loopback at which the launcher's side listens: the only way out
    /// that a guest has, and who answers there decides how far it leads. No way where there is no
    /// port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door: Option<u16>,
    /// Who the build user is inside.
    #[serde(default)]
    pub build_user: BuildUser,
    /// What its processes may ask of the kernel.
    #[serde(default)]
    pub grants: Grants,
    /// The time that its clock begins at, in seconds since 1970; that of the host where there is
    /// none. Only a machine has a clock of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<i64>,
    /// Barriers that are left out, to show that a test can see them missing. Refused by every
    /// keeper but the contest's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Barrier>,
}

/// The user that a package's own code runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildUser {
    /// Its name.
    pub name: String,
    /// Its number and that of its group: one of the slot's own.
    pub id: u32,
    /// Its home.
    pub home: String,
}

impl Default for BuildUser {
    fn default() -> Self {
        Self { name: "build".to_owned(), id: BUILD_ID, home: "/builddir".to_owned() }
    }
}

/// Which of the lists of `policy/` holds for a jail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grants {
    /// `policy/seccomp.toml`: what building a package takes.
    #[default]
    Guest,
    /// `policy/emulator.toml`: what it takes to run a machine, and nothing else.
    Emulator,
}

/// One mount. Paths named `at` are inside the jail, absolute and without `..`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Mount {
    /// Read-only layers, the topmost first, under a writable one.
    Overlay {
        /// Where.
        at: String,
        /// The folders of the host that hold the layers.
        lowers: Vec<PathBuf>,
        /// The name of the writable layer in the plan's folder.
        upper: String,
    },
    /// An empty folder in memory.
    Memory {
        /// Where.
        at: String,
        /// At most so many bytes.
        bytes: u64,
        /// Its mode.
        mode: u32,
    },
    /// A folder or file of the host, read-only.
    ReadOnly {
        /// Where.
        at: String,
        /// What of the host.
        from: PathBuf,
    },
    /// A file of the plan's folder that the launcher made, to be read and written.
    Own {
        /// Where.
        at: String,
        /// Its name in the folder.
        name: String,
    },
    /// The host's own virtual machines: `/dev/kvm`.
    Kvm {
        /// Where.
        at: String,
    },
    /// The processes of the jail, with what tells of the host hidden.
    Proc {
        /// Where.
        at: String,
    },
    /// The device nodes of `policy/mounts.toml`, terminals, shared memory and message queues.
    Dev {
        /// Where.
        at: String,
    },
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What runs.
    pub run: Run,
    /// As whom.
    pub user: User,
    /// The folder it starts in.
    pub cwd: String,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// The exit codes that are not a failure; 0 always is not.
    #[serde(default)]
    pub also_fine: Vec<i32>,
}

/// What a step runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Run {
    /// A program of the jail, by its path there.
    Program {
        /// The path and the arguments; the path is also argument 0.
        argv: Vec<String>,
    },
    /// Unpacks RPMs into `/` by code of ours that needs no program in the jail: no scriptlets,
    /// everything owned by root. For a tree that exists only to install another with.
    Unpack {
        /// A folder of the jail with RPMs in it.
        from: String,
    },
    /// Makes folders that belong to the build user, and gives that user a name.
    BuildUser {
        /// The folders, in order.
        folders: Vec<String>,
    },
    /// A program with a stream of its own to the launcher's side, both ways. `{stream}` in an
    /// argument stands for the number of its descriptor.
    Stream {
        /// The path and the arguments; the path is also argument 0.
        argv: Vec<String>,
    },
    /// A program on a terminal of its own, which the launcher's side gets.
    Terminal {
        /// The path and the arguments.
        argv: Vec<String>,
    },
}

/// Who a step runs as. Neither is anyone on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum User {
    /// Root of the jail, with the capabilities of `policy/capabilities.toml`.
    Root,
    /// The build user, without any capability.
    Build,
}

/// Files that are taken out: the regular files with a suffix in a tree of the writable layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    /// The name of the writable layer in the plan's folder.
    pub upper: String,
    /// The folder in it, relative.
    pub folder: String,
    /// How its files' names end, as `.rpm`.
    pub suffix: String,
    /// How many levels of folders below `folder` are looked at; 0: only its own files.
    pub depth: u32,
}

/// Something that holds a guest back, and that a test can take away to be seen missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Barrier {
    /// The list of system calls.
    Seccomp,
    /// The list of socket families.
    SocketFamilies,
    /// The bounded set of capabilities.
    Capabilities,
    /// `no_new_privs`.
    NoNewPrivs,
    /// What is hidden and read-only in `/proc`.
    ProcMasks,
    /// The network namespace.
    Network,
    /// The IPC namespace.
    Ipc,
    /// The process namespace's end with its pid 1.
    KillAtEnd,
    /// The build user's own id.
    BuildUser,
    /// What closes the host's folders before the guest starts.
    ClosedFolders,
    /// Landlock.
    Landlock,
    /// What is checked of collected files.
    CollectChecks,
    /// The limits.
    Limits,
}

impl Barrier {
    /// Every barrier.
    pub const ALL: [Self; 13] = [
        Self::Seccomp,
        Self::SocketFamilies,
        Self::Capabilities,
        Self::NoNewPrivs,
        Self::ProcMasks,
        Self::Network,
        Self::Ipc,
        Self::KillAtEnd,
        Self::BuildUser,
        Self::ClosedFolders,
        Self::Landlock,
        Self::CollectChecks,
        Self::Limits,
    ];
}

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A path inside the jail that is not absolute or has `..` in it.
    #[error("a path inside the jail must be absolute and plain: {0:?}")]
    Path(String),
    /// A name in the plan's folder that is a path.
    #[error("a name in the jail's folder must be plain: {0:?}")]
    Name(String),
    /// No mount at `/` to begin with.
    #[error("the first mount must be the root")]
    Root,
    /// An overlay without a layer under it.
    #[error("the overlay at {0} has no layer under it")]
    Lowers(String),
    /// A step without a program.
    #[error("a step has no program")]
    Empty,
    /// A build user whose number is not one of the slot's own.
    #[error("the build user can't have the number {0}")]
    BuildUser(u32),
    /// It asks for something that this kind of jail does not have.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A barrier is left out, which only the contest may ask for.
    #[error("this program does not run weakened jails")]
    Weakened,
}

impl Plan {
    /// A plan that runs nothing and removes what an earlier jail left in `folder`.
    pub fn that_cleans(folder: PathBuf, ids: IdMap) -> Self {
        Self {
            hostname: String::new(),
            ids,
            folder,
            mounts: Vec::new(),
            steps: Vec::new(),
            collect: Vec::new(),
            limits: Limits::default(),
            cpus: Vec::new(),
            address_space: None,
            keep: Vec::new(),
            door: None,
            build_user: BuildUser::default(),
            grants: Grants::Guest,
            clock: None,
            without: Vec::new(),
        }
    }

    /// Whether there is nothing to run.
    pub(crate) fn only_cleans(&self) -> bool {
        self.mounts.is_empty() && self.steps.is_empty()
    }

    /// Finds what is wrong with the plan, before anything is done.
    pub fn check(&self) -> Result<(), PlanError> {
        match self.mounts.first() {
            None if self.steps.is_empty() && self.collect.is_empty() => {}
            Some(Mount::Overlay { at, .. }) if at == "/" => {}
            _ => return Err(PlanError::Root),
        }
        for mount in &self.mounts {
            check_path(mount.at())?;
            match mount {
                Mount::Overlay { at, lowers, upper } => {
                    check_name(upper)?;
                    if lowers.is_empty() {
                        return Err(PlanError::Lowers(at.clone()));
                    }
                }
                Mount::Own { name, .. } => check_name(name)?,
                _ => {}
            }
        }
        for step in &self.steps {
            check_path(&step.cwd)?;
            match &step.run {
                Run::Program { argv } | Run::Stream { argv } | Run::Terminal { argv } => {
                    check_path(argv.first().ok_or(PlanError::Empty)?)?;
                }
                Run::Unpack { from } => check_path(from)?,
                Run::BuildUser { folders } => folders.iter().try_for_each(|at| check_path(at))?,
            }
        }
        for collect in &self.collect {
            check_name(&collect.upper)?;
            check_path(&format!("/{}", collect.folder))?;
        }
        check_name(&self.build_user.name)?;
        check_path(&self.build_user.home)?;
        if !(BUILD_ID..BUILD_ID + SLOT_IDS).contains(&self.build_user.id) {
            return Err(PlanError::BuildUser(self.build_user.id));
        }
        self.keep.iter().try_for_each(|name| check_name(name))
    }

    /// Whether a barrier is left out.
    pub fn is_without(&self, barrier: Barrier) -> bool {
        self.without.contains(&barrier)
    }
}

impl Mount {
    /// Where in the jail it is.
    pub fn at(&self) -> &str {
        match self {
            Self::Overlay { at, .. }
            | Self::Memory { at, .. }
            | Self::ReadOnly { at, .. }
            | Self::Own { at, .. }
            | Self::Kvm { at }
            | Self::Proc { at }
            | Self::Dev { at } => at,
        }
    }
}

fn check_path(at: &str) -> Result<(), PlanError> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let fine = at == "/"
        || at.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain))
            && !at.contains('\0');
    if fine { Ok(()) } else { Err(PlanError::Path(at.to_owned())) }
}

fn check_name(name: &str) -> Result<(), PlanError> {
    let fine = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && !name.starts_with('-');
    if fine { Ok(()) } else { Err(PlanError::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            hostname: "build".to_owned(),
            ids: IdMap::for_tests(),
            folder: PathBuf::from("/scratch"),
            mounts: vec![Mount::Overlay {
                at: "/".to_owned(),
                lowers: vec![PathBuf::from("/layer")],
                upper: "root".to_owned(),
            }],
            steps: vec![Step {
                run: Run::Program { argv: vec!["/usr/bin/true".to_owned()] },
                user: User::Build,
                cwd: "/".to_owned(),
                env: Vec::new(),
                also_fine: Vec::new(),
            }],
            collect: Vec::new(),
            limits: Limits::default(),
            cpus: vec![0, 1],
            address_space: None,
            keep: Vec::new(),
            door: None,
            build_user: BuildUser::default(),
            grants: Grants::Guest,
            clock: None,
            without: Vec::new(),
        }
    }

    #[test]
    fn a_sound_plan_passes_and_survives_the_wire() {
        let plan = plan();
        assert_eq!(plan.check(), Ok(()));
        let text = serde_json::to_string(&plan).expect("serialised");
        assert_eq!(serde_json::from_str::<Plan>(&text).expect("read"), plan);
    }

    #[test]
    fn what_could_reach_outside_is_refused() {
        for at in ["", "relative", "/a/../b", "/a//b", "/a/./b", "/a\0b", "/a/"] {
            let mut plan = plan();
            plan.mounts.push(Mount::Proc { at: at.to_owned() });
            assert!(matches!(plan.check(), Err(PlanError::Path(_))), "{at:?}");
        }
        for name in ["", "..", "a/b", "-x", "a b"] {
            let mut plan = plan();
            plan.keep.push(name.to_owned());
            assert!(matches!(plan.check(), Err(PlanError::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn a_build_user_is_one_of_the_slots_own() {
        for id in [0, 1000, BUILD_ID - 1, BUILD_ID + SLOT_IDS, 65_534] {
            let mut plan = plan();
            plan.build_user.id = id;
            assert_eq!(plan.check(), Err(PlanError::BuildUser(id)));
        }
        let mut plan = plan();
        plan.build_user = BuildUser { name: "x:0:0".to_owned(), ..BuildUser::default() };
        assert!(matches!(plan.check(), Err(PlanError::Name(_))));
    }

    #[test]
    fn a_plan_needs_a_root_and_programs() {
        let mut rootless = plan();
        rootless.mounts.clear();
        assert_eq!(rootless.check(), Err(PlanError::Root));
        let mut empty = plan();
        empty.steps[0].run = Run::Program { argv: Vec::new() };
        assert_eq!(empty.check(), Err(PlanError::Empty));
    }
}
