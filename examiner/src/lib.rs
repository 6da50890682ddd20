//! In what two builds of one package differ: each pair of files from its lead down to the bytes of
//! its files, by kind, with a guess at the cause.
//!
//! Zone: `examiner`, CONFINED: it unpacks and takes apart what strangers' builds made, so it runs
//! as a child without network, secrets, programs, threads or names of files ([`kiln_confine`]), on
//! two open files at a time, within bounds of memory and CPU time, and all that it says is a claim.
//! Whether two files are the same is none of its business: a digest says that. What does not belong
//! here: finding the files, starting the child, and the verdict (`control/prove`).
//!
//! [`child_main`] is the child's `main`; [`start`] is for whoever starts it.

mod cause;
mod confine;
mod content;
mod dates;
mod files;
mod logs;
mod package;
mod payload;
mod serve;
mod shown;
mod tagnames;
mod tags;

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use kiln_confine::Confinement;
use kiln_wire::examiner::{Answer, Failure};
use kiln_wire::rights;

pub use confine::{Budget, CpuBudget, Limits};
pub use kiln_confine::Barrier;
pub use serve::serve;

/// The first argument with which the app starts itself in this role.
pub const ROLE: &str = "internal-examiner";

/// `EX_SOFTWARE` of sysexits.h.
const SOFTWARE: u8 = 70;

/// In what two contents of a file at that path differ; the child's work, for tests that have it take
/// apart what is broken.
pub fn differing(path: &str, original: &[u8], rebuilt: &[u8]) -> Vec<kiln_model::DifferingContent> {
    let mut finder = content::Finder::of(path);
    finder.compare(original, rebuilt);
    finder.found
}

/// The child's `main`: confines itself and answers what comes through its standard input, a Unix
/// socket, until the parent hangs up. Ends with 70 where it can't be confined.
pub fn child_main() -> ExitCode {
    run_child(&Barrier::ALL, Limits::default())
}

/// As [`child_main`], with other limits, or with barriers left out: for tests, which show that a
/// barrier that is missing is noticed.
pub fn run_child(barriers: &[Barrier], limits: Limits) -> ExitCode {
    close_inherited();
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

/// Closes what somebody before us left open. Called before anything is opened here; the listing's
/// own descriptor is closed by then, and closing it again is refused.
fn close_inherited() {
    let numbers = fs::read_dir("/proc/self/fd").map(|entries| {
        let names = entries.flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).collect::<Vec<i32>>()
    });
    for number in numbers.unwrap_or_default().into_iter().filter(|number| *number > 2) {
        let _ = nix::unistd::close(number);
    }
}

/// Starts `program` with `arguments` as an examiner: its standard input is the other end of the
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
