//! A process that gives up what it doesn't need, before it reads a byte of anybody else's.
//!
//! Zone: `base`; it takes rights away and gives none. The solver and the signer are such
//! processes: each says what its work needs ([`Confinement`]), and all else goes. Two barriers
//! stand behind each other where the kernel has both (landlock(7), seccomp(2)); each is tried after
//! it is set, and one that doesn't hold is an error, with which the process ends. What does not
//! belong here: jails, which other people's programs run in (`worker/jail`).

mod calls;
pub mod child;

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;

pub use calls::{Grant, Only};

/// One thing that a process gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Barrier {
    /// More memory than its work needs; being looked into.
    Memory,
    /// Files and folders outside its own, and network ports, by Landlock. Old kernels don't have
    /// it; the system calls do much of the same work there.
    Names,
    /// System calls but those that its work needs: no socket, program, process or thread.
    Calls,
}

impl Barrier {
    /// Every barrier, in the order in which they are set.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Names, Self::Calls];

    /// The barrier's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Names => "names",
            Self::Calls => "calls",
        }
    }
}

/// How much a process may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Address space in bytes.
    pub memory: u64,
    /// Bytes of one file that it writes; no bound where there is none.
    pub file: Option<u64>,
    /// Descriptors that are open at once.
    pub descriptors: u64,
}

/// What is left to a process.
#[derive(Debug, Clone, Copy)]
pub struct Confinement<'a> {
    /// The only one it talks to: its parent.
    pub socket: BorrowedFd<'a>,
    /// The only folder that it reaches; without one, no file can be named at all.
    pub folder: Option<BorrowedFd<'a>>,
    /// How much it may take.
    pub bounds: Bounds,
    /// The system calls that its work needs, besides those of every process here: memory, and
    /// the process's own end.
    pub grants: &'a [Grant],
}

/// Why a process isn't confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// The kernel refused a barrier.
    #[error("setting the barrier '{}': {source}", barrier.word())]
    Set {
        /// Which.
        barrier: Barrier,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A barrier was set and something went through it.
    #[error("the barrier '{}' doesn't hold: {through} went through", barrier.word())]
    Through {
        /// Which.
        barrier: Barrier,
        /// What.
        through: &'static str,
    },
}

impl Confinement<'_> {
    /// Sets the barriers, and tries every one there is: one that is not in `set`, or doesn't hold,
    /// is an error. Gives the words of those that hold.
    pub fn enter(&self, set: &[Barrier]) -> Result<Vec<String>, ConfineError> {
        let mut holding = Vec::new();
        for barrier in Barrier::ALL {
            let there = !set.contains(&barrier) || self.give_up(barrier)?;
            if there {
                self.try_barrier(barrier)?;
                holding.push(barrier.word().to_owned());
            }
        }
        Ok(holding)
    }

    /// Whether the kernel could.
    fn give_up(&self, barrier: Barrier) -> Result<bool, ConfineError> {
        match barrier {
            Barrier::Memory => self.bounds.set().map(|()| true).map_err(Into::into),
            Barrier::Names => self.give_up_names().map_err(Into::into),
            Barrier::Calls => calls::give_up(self.socket.as_raw_fd(), self.grants).map(|()| true),
        }
        .map_err(|source| ConfineError::Set { barrier, source })
    }

    /// A kernel without Landlock takes no names away.
    fn give_up_names(&self) -> Result<bool, landlock::RulesetError> {
        let abi = ABI::V6;
        let own: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
            ReadFile | WriteFile | ReadDir | MakeReg | MakeDir | RemoveFile | RemoveDir
        });
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?;
        if let Some(folder) = self.folder {
            rules = rules.add_rule(PathBeneath::new(folder, own))?;
        }
        Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
    }

    fn try_barrier(&self, barrier: Barrier) -> Result<(), ConfineError> {
        let through = match barrier {
            Barrier::Memory => self.bounds.through(),
            Barrier::Names => through_names(),
            Barrier::Calls => through_calls(self.folder.is_some()),
        };
        match through {
            Some(through) => Err(ConfineError::Through { barrier, through }),
            None => Ok(()),
        }
    }
}

impl Bounds {
    /// Binds the process, by itself: the only barrier of one that has to start programs.
    pub fn set(&self) -> io::Result<()> {
        let exactly = |value| Rlimit { current: Some(value), maximum: Some(value) };
        setrlimit(Resource::As, exactly(self.memory))?;
        if let Some(file) = self.file {
            setrlimit(Resource::Fsize, exactly(file))?;
        }
        setrlimit(Resource::Core, exactly(0))?;
        setrlimit(Resource::Nofile, exactly(self.descriptors))?;
        // Nobody of the same user looks into its memory.
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        Ok(set_no_new_privs(true)?)
    }

    fn through(&self) -> Option<&'static str> {
        let beyond = usize::try_from(self.memory).unwrap_or(usize::MAX);
        let went = Vec::<u8>::new().try_reserve_exact(beyond).is_ok();
        went.then_some("an allocation over the limit")
    }
}

fn through_names() -> Option<&'static str> {
    if !is_refused(File::open("/")) || !is_refused(File::open("/proc/self/environ")) {
        return Some("opening a file");
    }
    let made = !is_refused(File::create("/tmp/kiln-was-not-confined"));
    made.then_some("making a file")
}

fn through_calls(may_name_files: bool) -> Option<&'static str> {
    if !may_name_files && !is_refused(File::open("/")) {
        return Some("opening a file");
    }
    if !is_refused(UnixDatagram::unbound()) || !is_refused(UdpSocket::bind("[::]:0")) {
        return Some("making a socket");
    }
    if !is_refused(thread::Builder::new().spawn(|| ())) {
        return Some("starting a thread");
    }
    // Nothing has this name, so even a barrier with a hole runs nothing.
    let error = Command::new("/nonexistent/program").exec();
    let ran = !is_refused::<()>(Err(error));
    ran.then_some("running a program")
}

/// Whether a barrier refused it; any other error is none of its doing.
fn is_refused<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}
