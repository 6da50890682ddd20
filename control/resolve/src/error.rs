use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use kiln_cas::CasError;
use kiln_model::{Fault, Faulty, Foreign, TargetName};
use kiln_wire::solver::{Asker, Failure, Problem};

use crate::tell;

/// Why no lock came out.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The target has no such profile.
    #[error("the target {target} has no profile {profile}")]
    NoProfile {
        /// The target.
        target: TargetName,
        /// What was asked for.
        profile: Foreign,
    },
    /// Two repositories with one id.
    #[error("two repositories with the id {0}")]
    TwiceRepo(Foreign),
    /// No set of packages meets what was asked for.
    #[error("{}", tell::sentence(.0))]
    Unsolvable(Box<Unsolvable>),
    /// It would take more than a solver is given.
    #[error("too complex to resolve: {0}")]
    TooComplex(Foreign),
    /// A repository's metadata can't be used.
    #[error("the metadata of {repo} can't be used: {why}")]
    Metadata {
        /// The repository.
        repo: Foreign,
        /// What is wrong.
        why: Foreign,
    },
    /// Metadata on our disk are not what they were when they were checked.
    #[error("wrong bytes in the store: {0}")]
    Digest(Foreign),
    /// A package has no sha256, by which a lock names it.
    #[error("{package} of {repo} is named by a digest that a lock can't hold: {digest}")]
    NoSha256 {
        /// The package.
        package: String,
        /// Its repository.
        repo: Foreign,
        /// The digest that it has.
        digest: Foreign,
    },
    /// A repository's file lists could not be fetched.
    #[error("getting the file lists of {repo}")]
    Lists {
        /// The repository.
        repo: Foreign,
        /// Why.
        #[source]
        source: Fetching,
    },
    /// The solver could not be started.
    #[error("starting the solver")]
    Spawn(#[source] io::Error),
    /// The solver is not confined as it should be.
    #[error("the solver is not confined: {0}")]
    Unconfined(Foreign),
    /// The machine refused something to the solver, as room to write.
    #[error("the solver could not read or write what it was given: {0}")]
    Refused(Foreign),
    /// The solver ended instead of answering.
    #[error("the solver ended instead of answering ({0})")]
    Crashed(Foreign),
    /// Somebody killed the solver, as the kernel does where memory runs out.
    #[error("the solver was killed")]
    Killed,
    /// The solver said something that can't be.
    #[error("the solver makes no sense: {0}")]
    Nonsense(String),
    /// The store refused.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// The disk refused.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why file lists could not be fetched, as whoever fetched them says it.
#[derive(Debug)]
pub struct Fetching(pub(crate) Box<dyn Faulty + Send + Sync>);

impl fmt::Display for Fetching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Fetching {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// What can't be met, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsolvable {
    /// Who asks, as `hello-2.12`, `the profile distribution/2` or `the toolbox`.
    pub asker: String,
    /// In which part.
    pub part: Asker,
    /// Each reason; at least one.
    pub problems: Vec<Problem>,
}

impl ResolveError {
    /// The error that a solver's own word for it stands for.
    pub(crate) fn of_failure(failure: Failure) -> Self {
        match failure {
            Failure::TooComplex(why) => Self::TooComplex(Foreign::new(&why)),
            Failure::Metadata(why) => {
                Self::Metadata { repo: Foreign::new("a repository"), why: Foreign::new(&why) }
            }
            Failure::Digest(why) => Self::Digest(Foreign::new(&why)),
            Failure::Stale(why) => Self::Crashed(Foreign::new(&why)),
            Failure::Protocol(why) => Self::Nonsense(why),
            Failure::System(why) => Self::Refused(Foreign::new(&why)),
        }
    }

    /// Whether the child that it came from is gone, or not to be trusted any more.
    pub(crate) fn ends_child(&self) -> bool {
        match self {
            Self::Crashed(_)
            | Self::Killed
            | Self::Nonsense(_)
            | Self::Unconfined(_)
            | Self::TooComplex(_) => true,
            Self::NoProfile { .. }
            | Self::TwiceRepo(_)
            | Self::Unsolvable(_)
            | Self::Metadata { .. }
            | Self::Digest(_)
            | Self::NoSha256 { .. }
            | Self::Lists { .. }
            | Self::Spawn(_)
            | Self::Cas(_)
            | Self::Refused(_)
            | Self::Io { .. } => false,
        }
    }

    /// Names the repository that metadata are of.
    pub(crate) fn of_repo(self, id: &str) -> Self {
        match self {
            Self::Metadata { why, .. } => Self::Metadata { repo: Foreign::new(id), why },
            other => other,
        }
    }
}

impl Faulty for ResolveError {
    fn fault(&self) -> Fault {
        match self {
            Self::NoProfile { .. } | Self::TwiceRepo(_) | Self::NoSha256 { .. } => Fault::Caller,
            Self::Unsolvable(unsolvable) => match unsolvable.part {
                Asker::Build => Fault::Package,
                // The target's file asks for it, and whoever chose or wrote that can mend it.
                Asker::Profile | Asker::Toolbox => Fault::Caller,
            },
            Self::TooComplex(_) => Fault::Package,
            Self::Metadata { .. }
            | Self::Spawn(_)
            | Self::Killed
            | Self::Refused(_)
            | Self::Io { .. } => Fault::Host,
            Self::Digest(_) => Fault::Breach,
            Self::Lists { source, .. } => source.0.fault(),
            Self::Unconfined(_) | Self::Crashed(_) | Self::Nonsense(_) => Fault::Kiln,
            Self::Cas(error) => error.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unsolvable(unsolvable) => tell::hint(unsolvable),
            Self::TooComplex(_) => {
                Some("ask for less at once, or without alternatives inside alternatives".to_owned())
            }
            Self::NoProfile { .. } => Some("'kiln target show' lists its profiles".to_owned()),
            Self::NoSha256 { .. } => {
                Some("have the repository made with sha256 checksums".to_owned())
            }
            Self::Lists { source, .. } => source.0.hint(),
            Self::Cas(error) => error.hint(),
            Self::Refused(_) => Some(
                "see that there is room on the disk; 'kiln cache gc' removes what no lock needs"
                    .to_owned(),
            ),
            Self::Metadata { .. }
            | Self::TwiceRepo(_)
            | Self::Digest(_)
            | Self::Spawn(_)
            | Self::Unconfined(_)
            | Self::Crashed(_)
            | Self::Killed
            | Self::Nonsense(_)
            | Self::Io { .. } => None,
        }
    }
}
