use std::fmt;

use kiln_cas::CasError;
use kiln_model::{Fault, Faulty, Foreign};

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No place gave it.
    #[error("fetching {name}: {}", Blames(blames))]
    Failed {
        /// Which file.
        name: Foreign,
        /// What each place did, in the order in which they were asked.
        blames: Vec<Blame>,
    },
    /// The store could not take it.
    #[error("keeping {name}")]
    Store {
        /// Which file.
        name: Foreign,
        /// What the store says.
        #[source]
        source: CasError,
    },
    /// There is no way to ask anyone.
    #[error("setting up downloads: {0}")]
    Setup(String),
    /// A part of kiln that fetches has died.
    #[error("a download of {0} ended without an answer")]
    Lost(Foreign),
}

/// What one place did.
#[derive(Debug)]
pub struct Blame {
    /// Which place.
    pub place: Foreign,
    /// What it did.
    pub fault: PlaceFault,
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.fault)
    }
}

/// What can be wrong with a place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceFault {
    /// No connection, or one that broke.
    #[error("{0}")]
    Connection(Foreign),
    /// Nothing came for too long, or too little.
    #[error("too slow: nothing, or too little, came for {0} s")]
    Slow(u64),
    /// An answer that is not the file.
    #[error("it answered {0}")]
    Status(u16),
    /// Redirected too often, to a weaker scheme or out of the public internet.
    #[error("redirected where kiln does not follow: {0}")]
    Redirect(Foreign),
    /// The address is not one of the public internet, and only those may be asked.
    #[error("not an address of the public internet")]
    Private,
    /// Less than was announced.
    #[error("it ended after {found} of {expected} bytes")]
    Short {
        /// How many were announced.
        expected: u64,
        /// How many came.
        found: u64,
    },
    /// More than was announced, or than such a file may have.
    #[error("more than {0} bytes")]
    Long(u64),
    /// Another size than was announced.
    #[error("it offers {found} bytes instead of {expected}")]
    Size {
        /// How many were announced.
        expected: u64,
        /// How many it offers.
        found: u64,
    },
    /// Other bytes than were announced.
    #[error("wrong bytes: they do not have the digest {0}")]
    Digest(String),
    /// No such file on this machine, or none that can be read.
    #[error("{0}")]
    File(String),
    /// Not a place at all.
    #[error("not a place that kiln can fetch from")]
    Scheme,
}

impl PlaceFault {
    /// Whether the same place might do better in a moment.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Slow(_) | Self::Short { .. } => true,
            Self::Status(status) => *status >= 500 || [408, 425, 429].contains(status),
            Self::Redirect(_)
            | Self::Private
            | Self::Long(_)
            | Self::Size { .. }
            | Self::Digest(_)
            | Self::File(_)
            | Self::Scheme => false,
        }
    }
}

struct Blames<'a>(&'a [Blame]);

impl fmt::Display for Blames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        if self.0.is_empty() {
            return f.write_str("it has no place to be fetched from");
        }
        for (index, blame) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{blame}", if index == 0 { "" } else { "; " })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more places"),
        }
    }
}

impl Faulty for FetchError {
    fn fault(&self) -> Fault {
        match self {
            // Bytes that nobody announced are a breach only when no place had the right ones.
            Self::Failed { blames, .. } => {
                let wrong = |blame: &Blame| matches!(blame.fault, PlaceFault::Digest(_));
                if blames.iter().any(wrong) { Fault::Breach } else { Fault::Host }
            }
            Self::Store { source, .. } => source.fault(),
            Self::Setup(_) => Fault::Host,
            Self::Lost(_) => Fault::Kiln,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Failed { blames, .. } => hint(blames.iter().map(|blame| &blame.fault)),
            Self::Store { source, .. } => source.hint(),
            Self::Setup(_) | Self::Lost(_) => None,
        }
    }
}

/// What to do about what every place did, if all of them did the like.
fn hint<'a>(faults: impl Iterator<Item = &'a PlaceFault> + Clone) -> Option<String> {
    let gone = |fault: &PlaceFault| matches!(fault, PlaceFault::Status(404 | 410));
    if faults.clone().next().is_some() && faults.clone().all(gone) {
        let hint = "the repository has moved on: 'kiln target refresh TARGET' reads it again";
        return Some(hint.to_owned());
    }
    network_hint(faults)
}

/// What to do if no place could be reached at all.
pub fn network_hint<'a>(faults: impl Iterator<Item = &'a PlaceFault> + Clone) -> Option<String> {
    let dead =
        |fault: &PlaceFault| matches!(fault, PlaceFault::Connection(_) | PlaceFault::Slow(_));
    let all = faults.clone().next().is_some() && faults.clone().all(dead);
    all.then(|| {
        "look at this machine's network, or set HTTPS_PROXY if it is behind a proxy".to_owned()
    })
}
