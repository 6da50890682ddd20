use std::io;
use std::os::unix::net::UnixStream;
use std::process::Child;

/// Starts an examiner: the app, since control runs no program.
pub trait ExaminerSpawn: Send + Sync {
    /// Starts a child in the role `internal-examiner` with one end of a socket pair as its
    /// standard input, nothing else of ours open and an empty environment.
    fn spawn(&self) -> io::Result<ExaminerLink>;
}

/// A started examiner.
#[derive(Debug)]
pub struct ExaminerLink {
    /// Our end of the socket pair.
    pub socket: UnixStream,
    /// The process, to learn how it ended; none where a test answers from a thread.
    pub process: Option<Child>,
}
