use std::io;
use std::path::PathBuf;

use kiln_attest::AttestError;
use kiln_cas::CasError;
use kiln_model::{Digest, Fault, Faulty, Foreign};
use kiln_parse::lock::LockError;

/// Why a bundle is not one that can be used, or cannot be made: the first thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be opened.
    #[error("opening {}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Reading or writing it failed.
    #[error("{doing} the bundle")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ends before all of it is there.
    #[error("the bundle is cut off: it ends inside {0}")]
    Cut(String),
    /// It doesn't begin as one.
    #[error("not a bundle of kiln: it does not begin with {0}")]
    NotOne(&'static str),
    /// Something else stands where a file is due.
    #[error("where {expected} is due, the bundle has {found}")]
    Entry {
        /// What is due.
        expected: String,
        /// What is there.
        found: Foreign,
    },
    /// The manifest is not one.
    #[error(transparent)]
    Manifest(#[from] AttestError),
    /// Of another version.
    #[error("a bundle of version {found}; this kiln reads version {known}")]
    Version {
        /// Which version.
        found: u32,
        /// Which can be read.
        known: u32,
    },
    /// A file has other bytes than the manifest says.
    #[error("{path} has other bytes: expected {expected}, found {found}")]
    Bytes {
        /// Where in the bundle.
        path: String,
        /// What the manifest says.
        expected: Digest,
        /// What is there.
        found: Digest,
    },
    /// The manifest says what cannot be.
    #[error("the manifest contradicts itself: {0}")]
    Contradiction(String),
    /// The lock is not one.
    #[error("the lock of the build")]
    Lock(#[source] LockError),
    /// What a rebuild needs is not in it, or not in the store that it is to be made from.
    #[error("{what} is missing: {digest}")]
    Missing {
        /// What it is.
        what: String,
        /// Its digest.
        digest: Digest,
    },
    /// More than what a rebuild needs.
    #[error("the bundle has {0}, which the build knows nothing of")]
    Stranger(String),
    /// Something stands behind its end.
    #[error("the bundle goes on behind its end")]
    Tail,
    /// The store of blobs refused.
    #[error(transparent)]
    Cas(#[from] CasError),
}

impl Faulty for BundleError {
    fn fault(&self) -> Fault {
        match self {
            Self::Open { .. } | Self::NotOne(_) | Self::Version { .. } => Fault::Caller,
            Self::Io { .. } => Fault::Host,
            Self::Manifest(error) => error.fault(),
            Self::Lock(error) => error.fault(),
            Self::Cas(error) => error.fault(),
            Self::Missing { .. } => Fault::Caller,
            Self::Cut(_)
            | Self::Entry { .. }
            | Self::Bytes { .. }
            | Self::Contradiction(_)
            | Self::Stranger(_)
            | Self::Tail => Fault::Breach,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotOne(_) => "'kiln export' writes one",
            Self::Version { .. } => "a newer kiln reads it",
            Self::Cut(_)
            | Self::Entry { .. }
            | Self::Bytes { .. }
            | Self::Contradiction(_)
            | Self::Stranger(_)
            | Self::Tail => "get it once more from where it was exported: it was changed since",
            Self::Missing { .. } => "what a build was made of is kept as long as the build is",
            Self::Manifest(error) => return error.hint(),
            Self::Lock(error) => return error.hint(),
            Self::Cas(error) => return error.hint(),
            Self::Open { .. } | Self::Io { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// What an error of reading means for a file that should be whole.
pub(crate) fn reading(inside: &str) -> impl FnOnce(io::Error) -> BundleError + '_ {
    move |source| match source.kind() {
        io::ErrorKind::UnexpectedEof => BundleError::Cut(inside.to_owned()),
        _ => BundleError::Io { doing: "reading", source },
    }
}
