//! The system calls that are left.

use std::collections::BTreeMap;
use std::error::Error;
use std::os::fd::RawFd;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter_all_threads,
};

/// What a call's argument must be.
#[derive(Clone, Copy)]
enum Only {
    /// Anything.
    Any,
    /// The socket to the parent.
    Socket,
    /// This process: as 0, or by its number.
    Itself(u8),
    /// Memory that can't be run: no `PROT_EXEC` in this argument.
    NotRun(u8),
}

/// Each call that is left, what for, and with which arguments.
const GRANTS: &[(i64, Only, &str)] = &[
    (libc::SYS_recvfrom, Only::Socket, "requests"),
    (libc::SYS_sendto, Only::Socket, "answers"),
    (libc::SYS_read, Only::Any, "keys"),
    (libc::SYS_write, Only::Any, "keys and the log"),
    (libc::SYS_openat, Only::Any, "keys and the log, where landlock allows it"),
    (libc::SYS_close, Only::Any, "keys that were read"),
    (libc::SYS_fstat, Only::Any, "who may read a key"),
    (libc::SYS_newfstatat, Only::Any, "fstat, as newer C libraries call it"),
    (libc::SYS_statx, Only::Any, "fstat, as the standard library calls it"),
    (libc::SYS_fcntl, Only::Any, "the standard library looks at a descriptor before it closes it"),
    (libc::SYS_flock, Only::Any, "one signer at a time makes keys"),
    (libc::SYS_mkdirat, Only::Any, "the folder of a new key"),
    (libc::SYS_renameat2, Only::Any, "a new key gets its name when it is whole"),
    (libc::SYS_unlinkat, Only::Any, "what a killed signer left"),
    (libc::SYS_getdents64, Only::Any, "finds what a killed signer left"),
    (
        libc::SYS_fsync,
        Only::Any,
        "a new key is on the disk before it signs, and what is signed is noted there",
    ),
    (libc::SYS_mmap, Only::NotRun(2), "memory"),
    (libc::SYS_mprotect, Only::NotRun(2), "memory"),
    (libc::SYS_munmap, Only::Any, "memory"),
    (libc::SYS_mremap, Only::Any, "memory"),
    (libc::SYS_brk, Only::Any, "memory"),
    (libc::SYS_futex, Only::Any, "the standard library's locks, also of a process with one thread"),
    (libc::SYS_getrandom, Only::Any, "new keys, and blinding of old ones"),
    (libc::SYS_clock_gettime, Only::Any, "when a key was made, when it signed"),
    (libc::SYS_sigaltstack, Only::Any, "the end of the process"),
    (libc::SYS_rt_sigaction, Only::Any, "abort, where memory runs out"),
    (libc::SYS_rt_sigprocmask, Only::Any, "abort, where memory runs out"),
    (libc::SYS_rt_sigreturn, Only::Any, "a signal's end"),
    (libc::SYS_getpid, Only::Any, "abort, where memory runs out"),
    (libc::SYS_gettid, Only::Any, "abort, where memory runs out"),
    (libc::SYS_tgkill, Only::Itself(0), "abort, where memory runs out"),
    (libc::SYS_restart_syscall, Only::Any, "a read that a stop interrupted"),
    (libc::SYS_exit_group, Only::Any, "the end of the process"),
];

/// Leaves only [`GRANTS`] to this process; anything else is refused with EPERM, also by the
/// numbers of other ABIs, since no rule has them.
pub(super) fn give_up(socket: RawFd) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut rules = BTreeMap::new();
    for (call, only, _) in GRANTS {
        rules.insert(*call, rules_of(*only, socket)?);
    }
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(
        rules,
        refuse,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    Ok(apply_filter_all_threads(&program)?)
}

fn rules_of(only: Only, socket: RawFd) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let rule = |argument, compare, value| {
        SeccompRule::new(vec![SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            compare,
            value,
        )?])
    };
    let equals = |argument, value| rule(argument, SeccompCmpOp::Eq, value);
    Ok(match only {
        Only::Any => Vec::new(),
        Only::Socket => vec![equals(0, socket as u64)?],
        Only::Itself(at) => vec![equals(at, 0)?, equals(at, u64::from(std::process::id()))?],
        Only::NotRun(at) => {
            vec![rule(at, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0)?]
        }
    })
}
