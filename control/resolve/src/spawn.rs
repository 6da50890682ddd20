use std::io;
use std::os::unix::net::UnixStream;
use std::process::Child;

/// Starts a solver: the app, since control runs no program.
pub trait SolverSpawn: Send + Sync {
    /// Starts a child in the role `internal-solver` with one end of a socket pair as its
    /// standard input, nothing else of ours open and an empty environment.
    fn spawn(&self) -> io::Result<SolverLink>;
}

/// A started solver.
#[derive(Debug)]
pub struct SolverLink {
    /// Our end of the socket pair.
    pub socket: UnixStream,
    /// The process, to learn how it ended; none where a test answers from a thread.
    pub process: Option<Child>,
}
