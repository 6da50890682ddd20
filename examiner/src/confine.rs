//! What is left to the examiner: memory, CPU time, and the files that are handed to it.

use std::io;

use kiln_confine::{Bounds, Grant, Only};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// How much a child may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Address space in bytes.
    pub memory: u64,
    /// CPU seconds for one question.
    pub cpu: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 1 << 30, cpu: 120 }
    }
}

impl Limits {
    pub(crate) fn bounds(self) -> Bounds {
        Bounds { memory: self.memory, file: Some(0), descriptors: 64 }
    }
}

/// Each call that the examiner's work needs.
pub(crate) const GRANTS: &[Grant] = &[
    (libc::SYS_read, Only::Any, "the files that were handed over"),
    (libc::SYS_lseek, Only::Any, "a file is read again for what differs in it"),
    (libc::SYS_fstat, Only::Any, "how long a file is"),
    (libc::SYS_newfstatat, Only::Any, "fstat, as newer C libraries call it"),
    (libc::SYS_statx, Only::Any, "fstat, as the standard library calls it"),
    (libc::SYS_close, Only::Any, "files that were handed over"),
    (libc::SYS_fcntl, Only::Any, "a descriptor is duplicated for a second reader"),
    (libc::SYS_recvmsg, Only::Socket, "files, handed over"),
    (libc::SYS_recvfrom, Only::Socket, "questions"),
    (libc::SYS_sendto, Only::Socket, "answers"),
    (libc::SYS_sendmsg, Only::Socket, "answers"),
    (libc::SYS_write, Only::Socket, "answers"),
    (libc::SYS_futex, Only::Any, "the standard library's locks, also of a process with one thread"),
    (libc::SYS_madvise, Only::Any, "the allocator gives memory back"),
    (libc::SYS_getrandom, Only::Any, "seeds of hash tables"),
    (libc::SYS_clock_gettime, Only::Any, "CPU time used"),
    (libc::SYS_prlimit64, Only::Itself(0), "the CPU time of the next question"),
];

/// The examiner ends with the thread that started it.
pub(crate) fn end_with_parent() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
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
