use std::io;
use std::os::unix::net::UnixStream;
use std::process::Child;

/// Starts a signer: the app, since control runs no program.
pub trait SignerSpawn: Send + Sync {
    /// Starts a child in the role `internal-signer` or `internal-signer-program` with one end of
    /// a socket pair as its standard input, as `kiln_signer::start` does.
    fn spawn(&self) -> io::Result<SignerLink>;
}

/// A started signer.
#[derive(Debug)]
pub struct SignerLink {
    /// Our end of the socket pair.
    pub socket: UnixStream,
    /// The process, to end it.
    pub process: Child,
}
