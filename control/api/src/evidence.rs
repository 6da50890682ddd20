use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that is said of a job, signed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Attestation {
    /// `provenance`: how it was built; `verdict`: what became of building it again.
    pub kind: String,
    /// The digest of its envelope.
    pub digest: String,
    /// Where it stands in the log, from 0.
    pub position: u64,
    /// When it was made, in milliseconds since 1970.
    pub made_at: i64,
}

/// Entries of the log of everything that was attested.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogEntries {
    /// How many there are in all.
    pub size: u64,
    /// The position of the first that is told of.
    pub from: u64,
    /// Digests of envelopes, in order.
    pub entries: Vec<String>,
}

/// That a log of so many entries continues one of fewer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogPath {
    /// How many entries the smaller one has.
    pub from: u64,
    /// How many the larger one has.
    pub to: u64,
    /// The hashes that prove it, as RFC 6962 orders them.
    pub path: Vec<String>,
}
