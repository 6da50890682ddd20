//! What keeps the solver from the rest of the machine.
//!
//! It reads what strangers wrote, with a library in C. So before it reads a byte it gives up all
//! but memory, CPU time, and the files that are handed to it: it can't open, make, name or run
//! anything, talk to anyone but its parent, or start a process. Two barriers stand behind each
//! other where the kernel has both (landlock(7), seccomp(2)); each is tried after it is set, and
//! one that doesn't hold ends the process.

mod calls;

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus,
    Scope,
};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::set_no_new_privs;
use rustix::time::{ClockId, clock_gettime};

/// One thing that the process gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Barrier {
    /// More memory than its work needs.
    Memory,
    /// Files and folders by name, and network ports, by Landlock. Old kernels don't have it;
    /// the system calls do the same work there.
    Names,
    /// All system calls but a few.
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

/// How much a child may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Address space in bytes.
    pub memory: u64,
    /// CPU seconds for one question.
    pub cpu: u64,
    /// Bytes of one file that it writes.
    pub file: u64,
}

impl Default for Limits {
    /// Room for ten times the largest public distribution.
    fn default() -> Self {
        Self { memory: 4 << 30, cpu: 60, file: 2 << 30 }
    }
}

/// Why a process isn't confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// The kernel refused a barrier.
    #[error("setting the barrier '{}'", barrier.word())]
    Set {
        /// Which.
        barrier: Barrier,
        /// What it said.
        #[source]
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
    set: &[Barrier],
    limits: Limits,
) -> Result<Vec<String>, ConfineError> {
    let mut holding = Vec::new();
    for barrier in Barrier::ALL {
        let refused = |source| ConfineError::Set { barrier, source };
        let there = match barrier {
            _ if !set.contains(&barrier) => Ok(true),
            Barrier::Memory => set_limits(limits).map(|()| true).map_err(Into::into),
            Barrier::Names => give_up_names().map_err(Into::into),
            Barrier::Calls => calls::give_up(socket.as_raw_fd()).map(|()| true),
        }
        .map_err(refused)?;
        if there {
            try_barrier(barrier, limits)?;
            holding.push(barrier.word().to_owned());
        }
    }
    Ok(holding)
}

fn set_limits(limits: Limits) -> io::Result<()> {
    let exactly = |value| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::As, exactly(limits.memory))?;
    setrlimit(Resource::Fsize, exactly(limits.file))?;
    setrlimit(Resource::Core, exactly(0))?;
    setrlimit(Resource::Nofile, exactly(256))?;
    // Nobody of the same user looks into its memory, and it doesn't outlive its parent.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(set_no_new_privs(true)?)
}

/// Whether the kernel could: one without Landlock takes no names away.
fn give_up_names() -> Result<bool, landlock::RulesetError> {
    let abi = ABI::V6;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

fn try_barrier(barrier: Barrier, limits: Limits) -> Result<(), ConfineError> {
    let through = |through| Err(ConfineError::Through { barrier, through });
    match barrier {
        Barrier::Memory => {
            let beyond = usize::try_from(limits.memory).unwrap_or(usize::MAX);
            if Vec::<u8>::new().try_reserve_exact(beyond).is_ok() {
                return through("an allocation over the limit");
            }
        }
        Barrier::Names => {
            if !is_refused(File::open("/")) || !is_refused(File::open("/proc/self/environ")) {
                return through("opening a file");
            }
            if !is_refused(File::create("/tmp/kiln-solver-was-not-confined")) {
                return through("making a file");
            }
        }
        Barrier::Calls => {
            if !is_refused(File::open("/")) {
                return through("opening a file");
            }
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

/// Ends the process where one question takes too long.
pub trait Budget {
    /// Called before each question.
    fn renew(&mut self);
}

/// No bound; for questions that are asked within a test's own process.
impl Budget for () {
    fn renew(&mut self) {}
}

/// CPU time by `RLIMIT_CPU`: the kernel sends SIGXCPU, which ends the process.
#[derive(Debug, Clone, Copy)]
pub struct CpuBudget {
    /// Seconds for one question.
    pub seconds: u64,
}

impl Budget for CpuBudget {
    fn renew(&mut self) {
        let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
        let end = u64::try_from(used).unwrap_or_default() + self.seconds + 1;
        // Where the kernel refuses, the parent's own clock is left.
        let _ = setrlimit(Resource::Cpu, Rlimit { current: Some(end), maximum: None });
    }
}
