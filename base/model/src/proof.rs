use serde::{Deserialize, Serialize};

use crate::{Comparison, Digest, Report, Variation, Variations, Verdict};

/// The version of [`Proof`].
pub const PROOF_VERSION: u32 = 1;

/// What came of building something again, with all that the verdict rests on. It says nothing of
/// when and where: the same outcome is the same text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// [`PROOF_VERSION`].
    pub version: u32,
    /// What a person calls the build.
    pub title: String,
    /// The digest of the record that it was built again from.
    pub record: Digest,
    /// The lock that both buildroots were made of.
    pub lock: Digest,
    /// The version of the kiln that built it first.
    pub built_by: String,
    /// The version of the kiln that built it again.
    pub rebuilt_by: String,
    /// What it comes to.
    pub verdict: Verdict,
    /// How many times it was built again.
    pub rebuilds: u32,
    /// What was made different around it, in a challenge.
    #[serde(default, skip_serializing_if = "Variations::is_none")]
    pub varied: Variations,
    /// What of it makes a difference on its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub culprits: Vec<Variation>,
    /// Whether it differs from one time to the next with nothing made different around it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unstable: bool,
    /// In what it differs; nothing where it wasn't built again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Why it wasn't built again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Report>,
}
