//! Signatures, by keys that nobody else ever sees: a process of its own behind one socket.
//!
//! Zone: `signer`, KEYS: it signs bytes for whoever holds the other end of its socket, which is
//! control, and knows no format but its own keys'. It is a child that can reach nothing but its
//! folder ([`kiln_confine`]). What does not belong here: what may be signed and for whom
//! (`control/sign`), and any parser of what strangers wrote.
//!
//! [`child_main`] is the `main` of the child that keeps its keys itself; [`program_main`] of one
//! that asks a program of the operator's, as for a hardware module. [`start`] is for whoever
//! starts either.

mod blinded;
mod confine;
mod folder;
mod incoming;
mod keys;
mod program;
mod serve;

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use kiln_confine::Confinement;
use kiln_confine::child::{self, SOFTWARE};
use kiln_wire::frame;
use kiln_wire::signer::{Answer, Failure};
use rustix::fs::Mode;
use rustix::process::umask;

pub use kiln_confine::Barrier;

use folder::Folder;
use keys::Kept;
use program::Asked;
use serve::serve;

/// The first argument with which the app starts itself as a signer that keeps keys.
pub const ROLE: &str = "internal-signer";

/// The first argument with which the app starts itself as a signer that asks a program; the
/// program and its arguments follow.
pub const PROGRAM_ROLE: &str = "internal-signer-program";

/// How strong keys are that the signer makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strength {
    /// Bits of an RSA key: the rpm of Enterprise Linux 8 takes no newer algorithm. One of 3072 is
    /// made in a second and one of 4096 in three, and signs in a third of the time.
    pub rsa: u32,
}

impl Default for Strength {
    fn default() -> Self {
        Self { rsa: 3072 }
    }
}

/// The child's `main`: confines itself to its working directory, which holds its keys, and
/// answers what comes through its standard input, a Unix socket, until the parent hangs up. Ends
/// with 70 (`EX_SOFTWARE`) where it can't be confined.
pub fn child_main() -> ExitCode {
    run_child(&Barrier::ALL, Strength::default())
}

/// As [`child_main`], with weaker keys, or with barriers left out: for tests, which make many
/// keys, and show that a barrier that is missing is noticed.
pub fn run_child(barriers: &[Barrier], strength: Strength) -> ExitCode {
    run(|socket| {
        let folder = Folder::open().map_err(Failure::System)?;
        umask(Mode::from_raw_mode(0o077));
        // It outlives the thread that started it, which is all that PDEATHSIG knows of a parent;
        // it ends when the parent's socket does.
        let left = Confinement {
            socket: socket.as_fd(),
            folder: Some(folder.as_fd()),
            bounds: confine::BOUNDS,
            grants: confine::GRANTS,
        };
        let holding = left.enter(barriers).map_err(|error| Failure::System(error.to_string()))?;
        let log = folder.open_log().map_err(Failure::System)?;
        Ok((Kept::new(folder, strength), log, holding))
    })
}

/// The `main` of a child that keeps no keys: each signature comes from `program`, which is asked
/// anew each time (see the crate's `program.rs` for what it is given). It runs a program, so it
/// is not confined as [`child_main`]'s process is; it holds nothing but the log.
pub fn program_main(program: &[impl AsRef<OsStr>]) -> ExitCode {
    let command: Vec<_> = program.iter().map(|word| word.as_ref().to_owned()).collect();
    run(|_| {
        let asked = Asked::new(command)?;
        let folder = Folder::open().map_err(Failure::System)?;
        umask(Mode::from_raw_mode(0o077));
        confine::ASKER.set().map_err(|error| Failure::System(error.to_string()))?;
        let log = folder.open_log().map_err(Failure::System)?;
        Ok((asked, log, Vec::new()))
    })
}

fn run<K: serve::Keys>(
    prepare: impl FnOnce(&UnixStream) -> Result<(K, folder::Log, Vec<String>), Failure>,
) -> ExitCode {
    child::close_inherited();
    let Ok(socket) = child::parent() else { return ExitCode::from(SOFTWARE) };
    let (keys, log, holding) = match prepare(&socket) {
        Ok(prepared) => prepared,
        Err(failure) => {
            // Said as well as can be; the exit code says it too.
            let _ = frame::write_message(&mut &socket, &Answer::Failed(failure));
            return ExitCode::from(SOFTWARE);
        }
    };
    match serve(&socket, keys, log, holding) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(SOFTWARE),
    }
}

/// Starts `program` with `arguments` as a signer whose keys and log lie in `folder`, which is
/// made where it isn't there: its standard input is the other end of the socket that comes back,
/// it has no environment, and what it prints goes nowhere.
pub fn start(
    program: &Path,
    arguments: &[impl AsRef<OsStr>],
    folder: &Path,
) -> io::Result<(UnixStream, Child)> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir(folder)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok((ours, child))
}
