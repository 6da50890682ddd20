use std::io;

use kiln_cas::CasError;
use kiln_model::{Fault, Faulty, Foreign};
use kiln_parse::rpmfile::RpmError;
use kiln_wire::signer::{Failure, KeyName};

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The signer could not be started.
    #[error("starting the signer")]
    Spawn(#[source] io::Error),
    /// The signer can't be confined, or can't open its folder.
    #[error("the signer is not ready: {0}")]
    NotReady(Foreign),
    /// The signer ended instead of answering.
    #[error("the signer ended instead of answering ({0})")]
    Ended(Foreign),
    /// The signer did not answer.
    #[error("the signer did not answer in {0} seconds")]
    Slow(u64),
    /// The signer said something that can't be.
    #[error("the signer makes no sense: {0}")]
    Nonsense(String),
    /// There is no such key, or no longer.
    #[error("the signer has no key {0}")]
    NoKey(KeyName),
    /// The key can't be used.
    #[error("the signer can't use the key: {0}")]
    Key(Foreign),
    /// The operator's program did not sign.
    #[error("the program that signs failed: {0}")]
    Program(Foreign),
    /// The machine refused something to the signer.
    #[error("the signer could not read or write its folder: {0}")]
    Refused(Foreign),
    /// What came is not a signature by that key over what was to be signed.
    #[error("the signature over a {kind} that came from the signer is not used: {why}")]
    Wrong {
        /// What was signed.
        kind: &'static str,
        /// What is wrong.
        why: String,
    },
    /// More than is signed.
    #[error("a {kind} of {size} bytes, over the cap of {cap}")]
    Large {
        /// What was to be signed.
        kind: &'static str,
        /// How long it is.
        size: u64,
        /// What is signed.
        cap: u64,
    },
    /// A time that no signature can say.
    #[error("no signature can be of the second {0}")]
    Time(u64),
    /// Not a package.
    #[error("reading the header of {package}")]
    Rpm {
        /// The digest of the package.
        package: String,
        /// What is wrong with it.
        #[source]
        source: RpmError,
    },
    /// A signature header that contradicts itself.
    #[error("the signature header of {package} can't be read: {why}")]
    Header {
        /// The digest of the package.
        package: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A package whose header says nothing of its payload: a signature would not cover it.
    #[error("the header of {package} does not cover its payload, so a signature would not either")]
    Uncovered {
        /// The digest of the package.
        package: String,
    },
    /// The package could not be read, or the signed one not written.
    #[error("copying the package")]
    Copy(#[source] io::Error),
    /// The store refused.
    #[error(transparent)]
    Cas(#[from] CasError),
}

impl SignError {
    /// The error that a signer's own word for it stands for.
    pub(crate) fn of_failure(failure: Failure) -> Self {
        match failure {
            Failure::NoKey(key) => Self::NoKey(key),
            Failure::Form(kind) => Self::Nonsense(format!("it was given no {}", kind.word())),
            Failure::Protocol(why) => Self::Nonsense(Foreign::new(&why).as_str().to_owned()),
            Failure::Key(why) => Self::Key(Foreign::new(&why)),
            Failure::Program(why) => Self::Program(Foreign::new(&why)),
            Failure::System(why) => Self::Refused(Foreign::new(&why)),
        }
    }

    /// Whether the child that it came from is gone, or out of step.
    pub(crate) fn ends_child(&self) -> bool {
        match self {
            Self::Spawn(_)
            | Self::NotReady(_)
            | Self::Ended(_)
            | Self::Slow(_)
            | Self::Nonsense(_) => true,
            Self::NoKey(_)
            | Self::Key(_)
            | Self::Program(_)
            | Self::Refused(_)
            | Self::Wrong { .. }
            | Self::Large { .. }
            | Self::Time(_)
            | Self::Rpm { .. }
            | Self::Header { .. }
            | Self::Uncovered { .. }
            | Self::Copy(_)
            | Self::Cas(_) => false,
        }
    }
}

impl Faulty for SignError {
    fn fault(&self) -> Fault {
        match self {
            // The last read of a blob fails so where its bytes are not those of its digest.
            Self::Copy(error) if error.kind() == io::ErrorKind::InvalidData => Fault::Breach,
            Self::Spawn(_)
            | Self::Slow(_)
            | Self::Program(_)
            | Self::Refused(_)
            | Self::Copy(_) => Fault::Host,
            Self::NotReady(_)
            | Self::Ended(_)
            | Self::Nonsense(_)
            | Self::NoKey(_)
            | Self::Key(_)
            | Self::Large { .. }
            | Self::Time(_) => Fault::Kiln,
            Self::Wrong { .. } => Fault::Breach,
            Self::Rpm { .. } | Self::Header { .. } | Self::Uncovered { .. } => Fault::Package,
            Self::Cas(error) => error.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotReady(_) => Some(
                "the signer's folder must belong to kiln's user and be closed to all others \
                 (chmod 700)"
                    .to_owned(),
            ),
            Self::Key(_) | Self::NoKey(_) => {
                Some("restore the signer's folder from a backup: keys are never made anew".into())
            }
            Self::Program(_) => {
                Some("try the program by hand; the operator's guide says what it is given".into())
            }
            Self::Uncovered { .. } => {
                Some("build it with rpm 4.14 or newer, which writes a payload digest".to_owned())
            }
            Self::Cas(error) => error.hint(),
            Self::Spawn(_)
            | Self::Ended(_)
            | Self::Slow(_)
            | Self::Nonsense(_)
            | Self::Refused(_)
            | Self::Wrong { .. }
            | Self::Large { .. }
            | Self::Time(_)
            | Self::Rpm { .. }
            | Self::Header { .. }
            | Self::Copy(_) => None,
        }
    }
}
