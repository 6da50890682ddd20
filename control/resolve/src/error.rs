use std::io;

use kiln_model::{Fault, Faulty};

/// Why no lock came out.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The solver could not be started.
    #[error("starting the solver")]
    Spawn(#[source] io::Error),
}

impl Faulty for ResolveError {
    fn fault(&self) -> Fault {
        match self {
            Self::Spawn(_) => Fault::Host,
        }
    }
}
