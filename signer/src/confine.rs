//! What keeps the signer from the rest of the machine, and the machine from the signer.
//!
//! Whoever got to run code here would have the keys; so little is reachable from here that they
//! would have nowhere to take them. Two barriers stand behind each other where the kernel has
//! both (landlock(7), seccomp(2)); each is tried after it is set, and one that doesn't hold ends
//! the process before a key is read.

mod calls;

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
};
use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask,
};
use rustix::thread::set_no_new_privs;

/// One thing that the process gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Barrier {
    /// More memory than its work needs; being looked into; files that others may read.
    Memory,
    /// Files and folders outside its own, and network ports, by Landlock. Old kernels don't
    /// have it.
    Names,
    /// System calls but those that its work needs: no socket, program or process.
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

/// Address space in bytes: a statement of the largest size, several times.
const MEMORY: u64 = 512 << 20;

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

/// Sets the barriers, and tries every one there is: one that is not in `set`, or doesn't hold, is
/// an error. Gives the words of those that hold.
pub fn confine(
    socket: &UnixStream,
    folder: BorrowedFd<'_>,
    set: &[Barrier],
) -> Result<Vec<String>, ConfineError> {
    let mut holding = Vec::new();
    for barrier in Barrier::ALL {
        let refused = |source| ConfineError::Set { barrier, source };
        let there = match barrier {
            _ if !set.contains(&barrier) => Ok(true),
            Barrier::Memory => set_limits(MEMORY).map(|()| true).map_err(Into::into),
            Barrier::Names => give_up_names(folder).map_err(Into::into),
            Barrier::Calls => calls::give_up(socket.as_raw_fd()).map(|()| true),
        }
        .map_err(refused)?;
        if there {
            try_barrier(barrier)?;
            holding.push(barrier.word().to_owned());
        }
    }
    Ok(holding)
}

/// What binds a signer that asks a program: it must be able to start one.
pub(crate) fn bound_asker() -> io::Result<()> {
    set_limits(1 << 30)
}

fn set_limits(memory: u64) -> io::Result<()> {
    let exactly = |value| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::As, exactly(memory))?;
    setrlimit(Resource::Core, exactly(0))?;
    setrlimit(Resource::Nofile, exactly(64))?;
    umask(Mode::from_raw_mode(0o077));
    // Nobody of the same user looks into its memory. It outlives the thread that started it,
    // which is all that PDEATHSIG knows of a parent; it ends when the parent's socket does.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(set_no_new_privs(true)?)
}

/// Whether the kernel could: one without Landlock takes no names away.
fn give_up_names(folder: BorrowedFd<'_>) -> Result<bool, landlock::RulesetError> {
    let abi = ABI::V6;
    let own: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
        ReadFile | WriteFile | ReadDir | MakeReg | MakeDir | RemoveFile | RemoveDir
    });
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rule(PathBeneath::new(folder, own))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

fn try_barrier(barrier: Barrier) -> Result<(), ConfineError> {
    let through = |through| Err(ConfineError::Through { barrier, through });
    match barrier {
        Barrier::Memory => {
            let beyond = usize::try_from(MEMORY).unwrap_or(usize::MAX);
            if Vec::<u8>::new().try_reserve_exact(beyond).is_ok() {
                return through("an allocation over the limit");
            }
        }
        Barrier::Names => {
            if !is_refused(File::open("/")) || !is_refused(File::open("/proc/self/environ")) {
                return through("opening a file");
            }
            if !is_refused(File::create("/tmp/kiln-signer-was-not-confined")) {
                return through("making a file");
            }
        }
        Barrier::Calls => {
            if !is_refused(UnixDatagram::unbound()) || !is_refused(UdpSocket::bind("[::]:0")) {
                return through("making a socket");
            }
            if !is_refused(thread::Builder::new().spawn(|| ())) {
                return through("starting a thread");
            }
            // Nothing has this name, so even a barrier with a hole runs nothing.
            let error = Command::new("/nonexistent/program").exec();
            if !is_refused::<()>(Err(error)) {
                return through("running a program");
            }
        }
    }
    Ok(())
}

/// Whether a barrier refused it; any other error is none of its doing.
fn is_refused<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}
