//! Processes that answer their parent through a socket and nobody else: how one is started, how it
//! begins, and how long one question may take.

use std::fmt::Display;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::{Barrier, Bounds, Confinement, Grant};

/// `EX_SOFTWARE` of sysexits.h.
pub const SOFTWARE: u8 = 70;

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

/// Closes what somebody before us left open. Called before anything is opened here; the listing's
/// own descriptor is closed by then, and closing it again is refused.
pub fn close_inherited() {
    let numbers = fs::read_dir("/proc/self/fd").map(|entries| {
        let names = entries.flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).collect::<Vec<i32>>()
    });
    for number in numbers.unwrap_or_default().into_iter().filter(|number| *number > 2) {
        let _ = nix::unistd::close(number);
    }
}

/// The socket that is a child's standard input.
pub fn parent() -> io::Result<UnixStream> {
    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

/// The whole `main` of a child that reaches no folder: confines itself and answers until the parent
/// hangs up. It ends with the thread that started it, and with [`SOFTWARE`] where it can't be
/// confined; then `refuse` tells the parent why, as well as can be.
pub fn answer<E>(
    bounds: Bounds,
    grants: &[Grant],
    barriers: &[Barrier],
    refuse: impl FnOnce(&UnixStream, &dyn Display),
    serve: impl FnOnce(&UnixStream, Vec<String>) -> Result<(), E>,
) -> ExitCode {
    close_inherited();
    if set_parent_process_death_signal(Some(Signal::KILL)).is_err() {
        return ExitCode::from(SOFTWARE);
    }
    let Ok(socket) = parent() else { return ExitCode::from(SOFTWARE) };
    let left = Confinement { socket: socket.as_fd(), folder: None, bounds, grants };
    let holding = match left.enter(barriers) {
        Ok(holding) => holding,
        Err(error) => {
            refuse(&socket, &error);
            return ExitCode::from(SOFTWARE);
        }
    };
    match serve(&socket, holding) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(SOFTWARE),
    }
}

/// Starts `program` with `arguments` as such a child: its standard input is the other end of the
/// socket that comes back, it has no environment, and what it prints goes nowhere.
pub fn start(program: &Path, arguments: &[&str]) -> io::Result<(UnixStream, Child)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok((ours, child))
}
