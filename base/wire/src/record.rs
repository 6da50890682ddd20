//! What it takes to make a build again, and to hold what comes out against what came out first.

use kiln_model::{Digest, Limits};
use serde::{Deserialize, Serialize};

use crate::worker::{ClaimedArtifact, Settings, Source};

/// The version of [`Record`].
pub const VERSION: u32 = 1;

/// A build that ended well: what went in and what came out, all of it by digest. Whoever has the
/// blobs that it names can make the build again, on another host and without a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`VERSION`].
    pub version: u32,
    /// The version of the kiln that built it.
    pub kiln: String,
    /// What a person calls the build.
    pub title: String,
    /// What was built: a source package or a folder, never an address.
    pub source: Source,
    /// How.
    pub settings: Settings,
    /// What it was allowed to take.
    pub limits: Limits,
    /// The `kiln.lock` that its buildroot was made of.
    pub lock: Digest,
    /// That of the profile alone, which its source package was made on; the same as `lock` where
    /// there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    /// What was made, the source package among it: unsigned, sorted by name.
    pub artifacts: Vec<ClaimedArtifact>,
}
