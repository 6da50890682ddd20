use std::io;
use std::path::{Path, PathBuf};

use kiln_cas::CasError;
use kiln_model::{Fault, Faulty, Foreign};

/// Why no distribution came out.
#[derive(Debug, thiserror::Error)]
pub enum DebrpmError {
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
    /// The blobs' folder refused.
    #[error("keeping packages")]
    Blobs(#[from] CasError),
    /// No set of that name is built in, and no file lies there.
    #[error("no set of seeds is called {0}, and there is no such file")]
    NoSeeds(Foreign),
    /// A seed that the suite doesn't have.
    #[error("the suite has no package {seed}, which {set} asks for")]
    NoPackage {
        /// The name that was asked for.
        seed: Foreign,
        /// The set of seeds that asks.
        set: String,
    },
    /// A dependency that nothing in the suite satisfies.
    #[error("nothing in the suite satisfies {clause}, which {package} depends on")]
    Unsatisfied {
        /// The dependency, as it stands in the index.
        clause: Foreign,
        /// Whose.
        package: Foreign,
    },
    /// An architecture that no distribution can be made for.
    #[error("no distribution can be made for the architecture {0}")]
    Arch(Foreign),
    /// The host's apt has no source that the suite could come from.
    #[error("no source of this host's apt says where the suite {suite} would be")]
    NoSources {
        /// The suite that was asked for.
        suite: Foreign,
    },
    /// A program of apt's failed.
    #[error("{doing} with apt: {said}")]
    Apt {
        /// What apt was asked for.
        doing: &'static str,
        /// The last lines that it wrote.
        said: Foreign,
    },
    /// What a mirror gave is not what its keys vouch for.
    #[error("the mirror's {what} is not to be trusted: {why}")]
    Untrusted {
        /// Which file.
        what: Foreign,
        /// What was wrong with it.
        why: String,
    },
    /// A mirror did not give a file.
    #[error("fetching {what}: {why}")]
    Mirror {
        /// Which file.
        what: Foreign,
        /// What went wrong.
        why: String,
    },
    /// A download failed.
    #[error("fetching from the mirror")]
    Fetch(#[source] Box<kiln_fetch::FetchError>),
    /// A file of keys that has none.
    #[error("reading the keys in {}: {why}", path.display())]
    Keyring {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A step was asked for before the one that it needs.
    #[error("{} is not there yet", path.display())]
    Early {
        /// What is missing.
        path: PathBuf,
        /// The step that makes it.
        step: &'static str,
    },
    /// A file that kiln wrote does not read.
    #[error("reading {}", path.display())]
    Record {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A package that is no Debian package, or that says what can't be said in RPM.
    #[error("reading the Debian package {package}: {why}")]
    Deb {
        /// Which one.
        package: String,
        /// What is wrong with it.
        why: String,
    },
    /// The built-in policy contradicts itself or the suite.
    #[error("the policy for {subject}: {why}")]
    Policy {
        /// What it is about.
        subject: String,
        /// What is wrong.
        why: String,
    },
    /// An RPM could not be written or read.
    #[error("writing the RPM {package}")]
    Rpm {
        /// Which one.
        package: String,
        /// What the library said.
        #[source]
        source: Box<rpm::Error>,
    },
    /// The repository's metadata could not be written.
    #[error("writing the repository's metadata")]
    Metadata(#[source] Box<rpmrepo_metadata::MetadataError>),
    /// Some packages require what no package of the distribution provides.
    #[error("{count} requirements are provided by nothing: {}", first.join("; "))]
    Open {
        /// How many.
        count: usize,
        /// The first of them, with who requires them.
        first: Vec<String>,
    },
}

impl Faulty for DebrpmError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } | Self::Apt { .. } | Self::Mirror { .. } => Fault::Host,
            Self::Blobs(error) => error.fault(),
            Self::Fetch(error) => error.fault(),
            Self::NoSeeds(_)
            | Self::NoPackage { .. }
            | Self::Arch(_)
            | Self::NoSources { .. }
            | Self::Keyring { .. }
            | Self::Early { .. } => Fault::Caller,
            Self::Unsatisfied { .. } | Self::Deb { .. } => Fault::Package,
            Self::Untrusted { .. } => Fault::Breach,
            Self::Record { .. }
            | Self::Policy { .. }
            | Self::Rpm { .. }
            | Self::Metadata(_)
            | Self::Open { .. } => Fault::Kiln,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Blobs(error) => error.hint(),
            Self::Fetch(error) => error.hint(),
            Self::NoSeeds(_) => {
                Some(format!("the built-in sets are: {}", crate::seeds::names().join(", ")))
            }
            Self::NoPackage { .. } => {
                Some("write 'name?' in the file of seeds for one that a suite may lack".to_owned())
            }
            Self::Arch(_) => Some("give --arch x86_64 or --arch aarch64".to_owned()),
            Self::NoSources { .. } => Some("give a mirror: --mirror URL --keyring FILE".to_owned()),
            Self::Apt { .. } => Some(
                "'apt-get update' shows whether this host reaches its mirrors; if the suite has \
                 moved on since the plan was made, plan again"
                    .to_owned(),
            ),
            Self::Early { step, .. } => Some(format!("run 'kiln debrpm {step}' first")),
            Self::Record { path, .. } => Some(format!("remove {} and run again", path.display())),
            Self::Mirror { .. } => Some("try again, or another mirror".to_owned()),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some disk space, or give --work a larger disk".to_owned())
            }
            _ => None,
        }
    }
}

/// Makes an error of the disk's refusal, with what was being done to which file.
pub(crate) fn io_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> DebrpmError + 'a {
    move |source| DebrpmError::Io { doing, path: path.to_owned(), source }
}
