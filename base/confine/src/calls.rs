//! The system calls that are left.

use std::collections::BTreeMap;
use std::error::Error;
use std::os::fd::RawFd;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter_all_threads,
};

/// What a call's argument must be.
#[derive(Debug, Clone, Copy)]
pub enum Only {
    /// Anything.
    Any,
    /// The socket to the parent, as the first argument.
    Socket,
    /// This process, in the argument of this number: as 0, or by its own.
    Itself(u8),
    /// Memory that can't be run: no `PROT_EXEC` in the argument of this number.
    NotRun(u8),
}

/// A call that is left: its number, with which arguments, and what for.
pub type Grant = (i64, Only, &'static str);

/// What is left to every process.
const ALWAYS: &[Grant] = &[
    (libc::SYS_mmap, Only::NotRun(2), "memory"),
    (libc::SYS_mprotect, Only::NotRun(2), "memory"),
    (libc::SYS_munmap, Only::Any, "memory"),
    (libc::SYS_mremap, Only::Any, "memory"),
    (libc::SYS_brk, Only::Any, "memory"),
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

/// Leaves only [`ALWAYS`] and `grants` to this process; anything else is refused with EPERM, also
/// by the numbers of other ABIs, since no rule has them.
pub(super) fn give_up(socket: RawFd, grants: &[Grant]) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut rules = BTreeMap::new();
    for (call, only, _) in ALWAYS.iter().chain(grants) {
        rules.insert(*call, rules_of(*only, socket)?);
    }
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM as u32),
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
