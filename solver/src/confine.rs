//! What is left to the solver.
//!
//! It reads what strangers wrote, with a library in C. So before it reads a byte it gives up all
//! but memory, CPU time, and the files that are handed to it: it can't open, make, name or run
//! anything, talk to anyone but its parent, or start a process.

use kiln_confine::{Bounds, Grant, Only};

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

impl Limits {
    pub(crate) fn bounds(self) -> Bounds {
        Bounds { memory: self.memory, file: Some(self.file), descriptors: 256 }
    }
}

/// Each call that the solver's work needs.
pub(crate) const GRANTS: &[Grant] = &[
    (libc::SYS_read, Only::Any, "metadata and caches, from files that were handed over"),
    (libc::SYS_pread64, Only::Any, "libsolv reads a cache's pages when they are needed"),
    (libc::SYS_write, Only::Any, "the cache, and answers"),
    (libc::SYS_lseek, Only::Any, "stdio, at the end of a stream"),
    (libc::SYS_fstat, Only::Any, "stdio asks for a file's kind and block size"),
    (libc::SYS_newfstatat, Only::Any, "fstat, as newer C libraries call it"),
    (libc::SYS_close, Only::Any, "files that were handed over"),
    (libc::SYS_dup, Only::Any, "libsolv keeps a cache open for its pages"),
    (libc::SYS_fcntl, Only::Any, "close-on-exec of what is duplicated; fdopen asks for the mode"),
    (libc::SYS_recvmsg, Only::Socket, "files, handed over"),
    (libc::SYS_recvfrom, Only::Socket, "questions"),
    (libc::SYS_sendto, Only::Socket, "answers"),
    (libc::SYS_getrandom, Only::Any, "seeds of hash tables"),
    (libc::SYS_clock_gettime, Only::Any, "CPU time used"),
    (libc::SYS_prlimit64, Only::Itself(0), "the CPU time of the next question"),
];
