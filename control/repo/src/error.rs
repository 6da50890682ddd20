use std::fmt;
use std::io;
use std::path::PathBuf;

use kiln_cas::CasError;
use kiln_fetch::{Blame, FetchError, PlaceFault, network_hint};
use kiln_model::{Fault, Faulty, Foreign};
use kiln_parse::metalink::MetalinkError;
use kiln_parse::mirrorlist::MirrorlistError;
use kiln_parse::modules::ModulesError;
use kiln_parse::place::PlaceError;
use kiln_parse::repomd::RepomdError;

use crate::keyring::{KeyError, SignatureError};
use crate::package::PackageError;

/// Why a repository cannot be used. Every message names it.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// Its list of mirrors could not be had.
    #[error("repo '{repo}': fetching its {what}: {blame}")]
    NoList {
        /// Which repository.
        repo: String,
        /// Which list: metalink or mirror list.
        what: &'static str,
        /// What its server did.
        blame: Blame,
    },
    /// Its metalink says nothing that kiln can use.
    #[error("repo '{repo}'")]
    Metalink {
        /// Which repository.
        repo: String,
        /// What is wrong.
        #[source]
        source: MetalinkError,
    },
    /// Its mirror list says nothing that kiln can use.
    #[error("repo '{repo}'")]
    Mirrorlist {
        /// Which repository.
        repo: String,
        /// What is wrong.
        #[source]
        source: MirrorlistError,
    },
    /// None of its places has a `repomd.xml` that holds.
    #[error("repo '{repo}': no place has a repomd.xml that holds: {}", Refusals(refusals))]
    NoRepomd {
        /// Which repository.
        repo: String,
        /// What was wrong with each place that was asked.
        refusals: Vec<Refusal>,
    },
    /// Its newest generation is older than it may be.
    #[error(
        "repo '{repo}' is stale: its newest generation is {days} days old, and it may be {limit}"
    )]
    Stale {
        /// Which repository.
        repo: String,
        /// How old it is.
        days: u64,
        /// How old it may be.
        limit: u32,
    },
    /// A piece of metadata is larger than any.
    #[error("repo '{repo}': its {what} would be over {cap} bytes")]
    Huge {
        /// Which repository.
        repo: String,
        /// Which piece.
        what: &'static str,
        /// How large it may be.
        cap: u64,
    },
    /// A location cannot be reached from a place.
    #[error("repo '{repo}'")]
    Place {
        /// Which repository.
        repo: String,
        /// What is wrong.
        #[source]
        source: PlaceError,
    },
    /// A file of it could not be fetched.
    #[error("repo '{repo}'")]
    Fetch {
        /// Which repository.
        repo: String,
        /// What happened.
        #[source]
        source: FetchError,
    },
    /// Metadata that cannot be unpacked.
    #[error("repo '{repo}': unpacking its {what}")]
    Unpack {
        /// Which repository.
        repo: String,
        /// Which piece.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// What it says of modules cannot be read, so nobody knows which packages may be seen.
    #[error("repo '{repo}'")]
    Modules {
        /// Which repository.
        repo: String,
        /// What is wrong.
        #[source]
        source: ModulesError,
    },
    /// A key could not be had, or is not the one that the target names.
    #[error("repo '{repo}': its key: {}", Tries(tries))]
    Key {
        /// Which repository.
        repo: String,
        /// What was wrong with each place of the key.
        tries: Vec<KeyTry>,
    },
    /// A package is not what its distribution made.
    #[error("package {package} of repo '{repo}' is not believed")]
    Package {
        /// Which repository.
        repo: String,
        /// Which package.
        package: String,
        /// Why.
        #[source]
        source: PackageError,
    },
    /// A lock names a repository that nobody described.
    #[error("package {package} is of repo '{repo}', which is not among the target's")]
    Unknown {
        /// Which repository.
        repo: String,
        /// Which package.
        package: String,
    },
    /// Nothing of it is at hand, and the network may not be used.
    #[error("repo '{repo}' was never fetched, and the network may not be used")]
    Offline {
        /// Which repository.
        repo: String,
    },
    /// The store of blobs refused.
    #[error("repo '{repo}'")]
    Cas {
        /// Which repository.
        repo: String,
        /// What the store says.
        #[source]
        source: CasError,
    },
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
    /// A part of kiln has died.
    #[error("repo '{repo}': work on it ended without an answer")]
    Lost {
        /// Which repository.
        repo: String,
    },
}

/// A place whose `repomd.xml` was not taken.
#[derive(Debug)]
pub struct Refusal {
    /// Which place.
    pub place: Foreign,
    /// Why not.
    pub why: RefusalReason,
}

/// Why a `repomd.xml` was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RefusalReason {
    /// It could not be had.
    #[error("{}", .0.fault)]
    Fetch(Blame),
    /// It is none of the generations that the metalink lists.
    #[error("its repomd.xml is not one that the metalink vouches for")]
    NotListed,
    /// Its signature could not be had.
    #[error("its repomd.xml.asc: {}", .0.fault)]
    NoSignature(Blame),
    /// Its signature does not count.
    #[error("repomd.xml: {0}")]
    Signature(SignatureError),
    /// It cannot be read.
    #[error("{}", chain(.0))]
    Form(RepomdError),
    /// It is older than one that was seen before.
    #[error("its repomd.xml is older than one that was seen before")]
    Older,
}

impl RefusalReason {
    fn fault(&self) -> Fault {
        match self {
            Self::Fetch(_) | Self::NoSignature(_) | Self::Form(_) | Self::Older => Fault::Host,
            Self::NotListed | Self::Signature(_) => Fault::Breach,
        }
    }
}

/// A place of a key that did not give it.
#[derive(Debug)]
pub struct KeyTry {
    /// Which place.
    pub place: Foreign,
    /// Why not.
    pub why: KeyTryReason,
}

/// Why a place did not give a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyTryReason {
    /// It could not be had.
    #[error("{}", .0.fault)]
    Fetch(Blame),
    /// It is not a key, or another one.
    #[error("{0}")]
    Key(KeyError),
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

const SHOWN: usize = 5;

struct Refusals<'a>(&'a [Refusal]);

impl fmt::Display for Refusals<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Refusal { place, why }) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{place}: {why}", if index == 0 { "" } else { "; " })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more places"),
        }
    }
}

struct Tries<'a>(&'a [KeyTry]);

impl fmt::Display for Tries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, KeyTry { place, why }) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{place}: {why}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl Faulty for RepoError {
    fn fault(&self) -> Fault {
        match self {
            Self::NoList { .. }
            | Self::Metalink { .. }
            | Self::Mirrorlist { .. }
            | Self::Stale { .. }
            | Self::Huge { .. }
            | Self::Place { .. }
            | Self::Unpack { .. }
            | Self::Modules { .. }
            | Self::Offline { .. }
            | Self::Io { .. } => Fault::Host,
            Self::NoRepomd { refusals, .. } => {
                let breach = |refusal: &Refusal| refusal.why.fault() == Fault::Breach;
                if refusals.iter().any(breach) { Fault::Breach } else { Fault::Host }
            }
            Self::Key { tries, .. } => {
                let wrong = |one: &KeyTry| {
                    matches!(one.why, KeyTryReason::Key(KeyError::Fingerprint { .. }))
                };
                if tries.iter().any(wrong) { Fault::Breach } else { Fault::Host }
            }
            Self::Fetch { source, .. } => source.fault(),
            Self::Package { source, .. } => source.fault(),
            Self::Cas { source, .. } => source.fault(),
            Self::Unknown { .. } => Fault::Caller,
            Self::Lost { .. } => Fault::Kiln,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Fetch { source, .. } => source.hint(),
            Self::Package { source, .. } => source.hint(),
            Self::Cas { source, .. } => source.hint(),
            Self::NoList { blame, .. } => network(std::iter::once(&blame.fault)),
            Self::Key { tries, .. } => network(tries.iter().filter_map(|one| match &one.why {
                KeyTryReason::Fetch(blame) => Some(&blame.fault),
                KeyTryReason::Key(_) => None,
            })),
            Self::NoRepomd { refusals, .. } => refusals.iter().find_map(hint_of).or_else(|| {
                network(refusals.iter().filter_map(|refusal| match &refusal.why {
                    RefusalReason::Fetch(blame) => Some(&blame.fault),
                    _ => None,
                }))
            }),
            Self::Stale { .. } => Some(
                "ask the mirror's operator, name another place, or raise stale_after_days in \
                 the target"
                    .to_owned(),
            ),
            Self::Offline { .. } => Some("fetch it once: 'kiln target refresh TARGET'".to_owned()),
            Self::Unknown { .. } => Some("use the target that the lock was made for".to_owned()),
            Self::Metalink { .. }
            | Self::Mirrorlist { .. }
            | Self::Huge { .. }
            | Self::Place { .. }
            | Self::Unpack { .. }
            | Self::Modules { .. }
            | Self::Io { .. }
            | Self::Lost { .. } => None,
        }
    }
}

/// A hint where the network is at fault; files of this machine that are missing don't count.
fn network<'a>(faults: impl Iterator<Item = &'a PlaceFault> + Clone) -> Option<String> {
    let asked = faults.filter(|fault| !matches!(fault, PlaceFault::File(_)));
    network_hint(asked)
}

fn hint_of(refusal: &Refusal) -> Option<String> {
    match &refusal.why {
        RefusalReason::Signature(error) => error.hint(),
        RefusalReason::Older => Some(
            "if the repository was put back on purpose, 'kiln target refresh --accept-older' \
             takes it"
                .to_owned(),
        ),
        RefusalReason::NoSignature(_) => Some(
            "if this repository does not sign its metadata, set check_metadata = false in the \
             target"
                .to_owned(),
        ),
        RefusalReason::Fetch(_) | RefusalReason::NotListed | RefusalReason::Form(_) => None,
    }
}
