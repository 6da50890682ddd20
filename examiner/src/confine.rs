//! What is left to the examiner: memory, CPU time, and the files that are handed to it.

use kiln_confine::{Bounds, Grant, Only};

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
