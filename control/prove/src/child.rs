//! One started examiner, from our side.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use kiln_model::Foreign;
use kiln_wire::examiner::{ANSWER_CAP, Answer, Failure, Ready, Request, VERSION};
use kiln_wire::frame::FrameError;
use kiln_wire::rights;

use crate::ProveError;
use crate::spawn::{ExaminerLink, ExaminerSpawn};

/// How long an answer may take. The child has less CPU time than this for one question and ends
/// by itself; this is for one that hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// The barrier that a child can't do without (`kiln_examiner::Barrier::Calls`).
const NEEDED: &str = "calls";

/// SIGXCPU and SIGABRT on every Linux that kiln runs on (signal(7)): out of CPU time, and out of
/// memory, which Rust answers with abort(3).
const OUT_OF_TIME: i32 = 24;
const OUT_OF_MEMORY: i32 = 6;

pub(crate) struct Examiner {
    socket: UnixStream,
    process: Option<Child>,
}

impl Examiner {
    pub(crate) fn start(spawn: &dyn ExaminerSpawn) -> Result<Self, ProveError> {
        let ExaminerLink { socket, process } = spawn.spawn().map_err(ProveError::Spawn)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(ProveError::Spawn)?;
        let mut examiner = Self { socket, process };
        match examiner.receive() {
            Ok(Answer::Ready(ready)) => examiner.accept(&ready).map(|()| examiner),
            // Before it is ready it does nothing but confine itself.
            Ok(Answer::Failed(Failure::System(why))) => {
                Err(ProveError::Unconfined(Foreign::new(&why)))
            }
            Ok(_) => Err(ProveError::Nonsense("it began with an answer".to_owned())),
            Err(why) => Err(ProveError::Nonsense(why)),
        }
    }

    fn accept(&mut self, ready: &Ready) -> Result<(), ProveError> {
        if ready.version != VERSION {
            let text = format!("it speaks version {}, not {VERSION}", ready.version);
            return Err(ProveError::Nonsense(text));
        }
        if self.process.is_some() && !ready.barriers.iter().any(|barrier| barrier == NEEDED) {
            return Err(ProveError::Unconfined(Foreign::new(&ready.barriers.join(", "))));
        }
        Ok(())
    }

    /// Asks. The inner error says what the files did to it, and then there is none to ask again.
    pub(crate) fn call(
        &mut self,
        request: &Request,
        files: &[BorrowedFd<'_>],
    ) -> Result<Result<Answer, String>, ProveError> {
        if rights::send(&self.socket, request, files).is_err() {
            return Ok(Err(self.ended()));
        }
        match self.receive() {
            Ok(Answer::Failed(Failure::Unreadable(why))) => {
                Ok(Err(format!("one of the two cannot be read: {}", Foreign::new(&why).as_str())))
            }
            Ok(Answer::Failed(Failure::System(why) | Failure::Protocol(why))) => {
                Err(ProveError::Nonsense(Foreign::new(&why).as_str().to_owned()))
            }
            Ok(answer) => Ok(Ok(answer)),
            Err(why) => Ok(Err(why)),
        }
    }

    fn receive(&mut self) -> Result<Answer, String> {
        match rights::receive::<Answer>(&self.socket, ANSWER_CAP) {
            Ok(Some((answer, files))) if files.is_empty() => Ok(answer),
            Ok(Some(_)) => Err("the examiner handed over a file".to_owned()),
            Err(FrameError::Io(error)) if is_timeout(&error) => {
                self.kill();
                Err("no answer in time".to_owned())
            }
            Ok(None) | Err(FrameError::Io(_)) => Err(self.ended()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Why the child is gone.
    fn ended(&mut self) -> String {
        let status = self.kill();
        tracing::warn!(?status, "an examiner ended");
        match status.and_then(|status| status.signal()) {
            Some(OUT_OF_TIME) => "to look into it takes more CPU time than is given".to_owned(),
            Some(OUT_OF_MEMORY) => "to look into it takes more memory than is given".to_owned(),
            _ => "the examiner ended while it looked into it".to_owned(),
        }
    }

    /// Ends the child, if it has not ended, and says how it did. One that the kernel is ending
    /// already keeps its own end.
    fn kill(&mut self) -> Option<ExitStatus> {
        let mut process = self.process.take()?;
        // It hung up or is hanging: where it is ending by itself, that is what is told.
        for _ in 0..20 {
            if let Ok(Some(status)) = process.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = process.kill();
        process.wait().ok()
    }
}

impl Drop for Examiner {
    fn drop(&mut self) {
        // It ends when this side hangs up; nobody waits for that long.
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
