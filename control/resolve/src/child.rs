//! One started solver, from our side.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use kiln_model::Foreign;
use kiln_wire::frame::FrameError;
use kiln_wire::rights;
use kiln_wire::solver::{ANSWER_CAP, Answer, Failure, Ready, Request, VERSION};

use crate::ResolveError;
use crate::spawn::{SolverLink, SolverSpawn};

/// How long an answer may take. The child has less CPU time than this for one question and ends
/// by itself; this is for one that hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// The barrier that a child can't do without (`kiln_solver::Barrier::Calls`).
const NEEDED: &str = "calls";

/// SIGXCPU and SIGABRT on every Linux that kiln runs on (signal(7)): out of CPU time, and out of
/// memory, which libsolv and Rust both answer with abort(3).
const OUT_OF_TIME: i32 = 24;
const OUT_OF_MEMORY: i32 = 6;

/// SIGKILL: from outside, since the child hangs up before this side kills it.
const KILLED: i32 = 9;

#[derive(Debug)]
pub(crate) struct Solver {
    socket: UnixStream,
    process: Option<Child>,
    version: String,
}

impl Solver {
    pub(crate) fn start(spawn: &dyn SolverSpawn) -> Result<Self, ResolveError> {
        let SolverLink { socket, process } = spawn.spawn().map_err(ResolveError::Spawn)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(ResolveError::Spawn)?;
        let mut solver = Self { socket, process, version: String::new() };
        match solver.receive()? {
            Answer::Ready(ready) => solver.accept(ready).map(|()| solver),
            // Before it is ready it does nothing but confine itself.
            Answer::Failed(Failure::System(why)) => {
                Err(ResolveError::Unconfined(Foreign::new(&why)))
            }
            Answer::Failed(failure) => Err(ResolveError::of_failure(failure)),
            _ => Err(ResolveError::Nonsense("it began with an answer".to_owned())),
        }
    }

    fn accept(&mut self, ready: Ready) -> Result<(), ResolveError> {
        if ready.version != VERSION {
            let text = format!("it speaks version {}, not {VERSION}", ready.version);
            return Err(ResolveError::Nonsense(text));
        }
        if self.process.is_some() && !ready.barriers.iter().any(|barrier| barrier == NEEDED) {
            return Err(ResolveError::Unconfined(Foreign::new(&ready.barriers.join(", "))));
        }
        self.version = Foreign::capped(&ready.solver, 60).as_str().to_owned();
        Ok(())
    }

    /// The solver and its version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Asks. After [`ResolveError::ends_child`] there is none to ask again.
    pub(crate) fn call(
        &mut self,
        request: &Request,
        files: &[BorrowedFd<'_>],
    ) -> Result<Answer, ResolveError> {
        if rights::send(&self.socket, request, files).is_err() {
            return Err(self.ended());
        }
        match self.receive()? {
            Answer::Failed(failure) => Err(ResolveError::of_failure(failure)),
            answer => Ok(answer),
        }
    }

    fn receive(&mut self) -> Result<Answer, ResolveError> {
        match rights::receive::<Answer>(&self.socket, ANSWER_CAP) {
            Ok(Some((answer, files))) if files.is_empty() => Ok(answer),
            Ok(Some(_)) => Err(ResolveError::Nonsense("it handed over a file".to_owned())),
            Ok(None) => Err(self.ended()),
            Err(FrameError::Io(error)) if is_timeout(&error) => {
                self.kill();
                Err(ResolveError::TooComplex(Foreign::new("no answer in time")))
            }
            Err(FrameError::Io(_)) => Err(self.ended()),
            Err(error) => Err(ResolveError::Nonsense(error.to_string())),
        }
    }

    /// Why the child is gone.
    fn ended(&mut self) -> ResolveError {
        match self.kill() {
            Some(status) if status.signal() == Some(OUT_OF_TIME) => {
                ResolveError::TooComplex(Foreign::new("more CPU time than a question is given"))
            }
            Some(status) if status.signal() == Some(OUT_OF_MEMORY) => {
                ResolveError::TooComplex(Foreign::new("more memory than a solver is given"))
            }
            Some(status) if status.signal() == Some(KILLED) => ResolveError::Killed,
            Some(status) => ResolveError::Crashed(Foreign::new(&status.to_string())),
            None => ResolveError::Crashed(Foreign::new("it hung up")),
        }
    }

    /// Ends the child, if it has not ended, and says how it did. One that the kernel is ending
    /// already keeps its own end.
    fn kill(&mut self) -> Option<ExitStatus> {
        let mut process = self.process.take()?;
        let _ = process.kill();
        process.wait().ok()
    }
}

impl Drop for Solver {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
