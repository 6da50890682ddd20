use kiln_model::Digest;
use kiln_parse::checksum::Checksum;
use kiln_parse::compression::Compression;
use serde::{Deserialize, Serialize};

/// One immutable generation of a repository's metadata.
///
/// It says what the repository's `repomd.xml` said at one moment; the metadata themselves lie in
/// the [`kiln_cas::Cas`] under their sha256. Read them through
/// [`kiln_parse::compression::unpack`] with [`MetadataBlob::open_size`] as the cap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The repository's id in the target.
    pub repo: String,
    /// The digest of `repomd.xml`, which is in the Cas too: it names this generation.
    pub repomd: Digest,
    /// What the repository calls this generation: by habit the second at which it was made.
    pub revision: String,
    /// The newest time stamp of its metadata, in seconds since 1970.
    pub made: u64,
    /// How many packages it says it has; 0 where it doesn't say.
    pub packages: u64,
    /// The packages with their requirements; always in the Cas.
    pub primary: MetadataBlob,
    /// Every file of every package: only fetched when a requirement names a path that
    /// `primary` lacks.
    pub filelists: Option<MetadataRef>,
    /// What it says of modules, if anything; always in the Cas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules: Option<MetadataBlob>,
    /// The bases that metadata lie under, each ending in `/`, best first.
    pub places: Vec<String>,
    /// The bases that packages lie under, each ending in `/`, best first.
    pub package_places: Vec<String>,
    /// What each package's location in `primary` begins with and what is taken off it first;
    /// empty but for repositories whose packages lie above them (`packages_above` of the target).
    pub package_prefix: String,
    /// As in the target: lower is preferred.
    pub priority: u16,
    /// Packages that are not taken, `name`, `name.arch` or NEVRA with `*` and `?`: what the
    /// target says, and those of module streams that don't count, each by its NEVRA.
    pub exclude: Vec<String>,
}

/// A piece of metadata that is in the Cas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataBlob {
    /// The sha256 of the bytes as they came.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// How they are compressed, by their magic.
    pub compression: Compression,
    /// The most bytes that they may unpack to.
    pub open_size: u64,
}

/// A piece of metadata that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataRef {
    /// Where, relative to each of [`Snapshot::places`].
    pub location: String,
    /// What its bytes must hash to.
    pub checksum: Checksum,
    /// Their number, where the repository says it.
    pub size: Option<u64>,
    /// The most bytes that they may unpack to.
    pub open_size: u64,
}
