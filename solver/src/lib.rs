//! Which packages answer some requirements: libsolv, in a process of its own.
//!
//! Zone: `solver`, CONFINED: it reads strangers' metadata with a library in C, so it runs as a
//! child without network, secrets, programs or names of files ([`kiln_confine`]), and all that it
//! says is a claim. What does not belong here: fetching, caching and choosing what to ask
//! (`control/resolve`).
//!
//! [`child_main`] is the child's `main`; [`start`] is for whoever starts it.

mod compile;
mod confine;
mod hashing;
mod near;
mod needs;
mod problem;
mod search;
mod serve;
mod solve;
#[allow(unsafe_code, reason = "libsolv is C; everything unsafe is in this module")]
mod sys;
mod tenant;
mod why;
mod world;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use kiln_confine::Confinement;
use kiln_wire::rights;
use kiln_wire::solver::{Answer, Failure};

pub use confine::{Budget, CpuBudget, Limits};
pub use kiln_confine::Barrier;
pub use serve::serve;

/// The first argument with which the app starts itself in this role.
pub const ROLE: &str = "internal-solver";

/// The child's `main`: confines itself and answers what comes through its standard input, a Unix
/// socket, until the parent hangs up. Ends with 70 (`EX_SOFTWARE`) where it can't be confined.
pub fn child_main() -> ExitCode {
    run_child(&Barrier::ALL, Limits::default())
}

/// As [`child_main`], with other limits, or with barriers left out: for tests, which show that a
/// barrier that is missing is noticed.
pub fn run_child(barriers: &[Barrier], limits: Limits) -> ExitCode {
    const SOFTWARE: u8 = 70;
    sys::close_inherited();
    if confine::end_with_parent().is_err() {
        return ExitCode::from(SOFTWARE);
    }
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else {
        return ExitCode::from(SOFTWARE);
    };
    let left = Confinement {
        socket: socket.as_fd(),
        folder: None,
        bounds: limits.bounds(),
        grants: confine::GRANTS,
    };
    let holding = match left.enter(barriers) {
        Ok(holding) => holding,
        Err(error) => {
            // Said as well as can be; the exit code says it too.
            let failure = Failure::System(error.to_string());
            let _ = rights::send(&socket, &Answer::Failed(failure), &[]);
            return ExitCode::from(SOFTWARE);
        }
    };
    match serve(&socket, holding, CpuBudget { seconds: limits.cpu }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(SOFTWARE),
    }
}

/// Starts `program` with `arguments` as a solver: its standard input is the other end of the
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
