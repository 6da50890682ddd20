use serde::{Deserialize, Serialize};

use crate::{Digest, Variation, Verdict};

/// The version of [`Comparison`].
pub const COMPARISON_VERSION: u32 = 1;

/// What a build and its rebuild are to each other, file by file. It says nothing of when and where
/// it was made: the same files give the same text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`COMPARISON_VERSION`].
    pub version: u32,
    /// What all of it comes to.
    pub verdict: Verdict,
    /// Each file of either, by name.
    pub artifacts: Vec<ComparedArtifact>,
    /// What the logs of the two builds differ in, where there are both and something differed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<ComparedLogs>,
}

impl Comparison {
    /// The verdict over these files.
    pub fn of(artifacts: Vec<ComparedArtifact>, logs: Option<ComparedLogs>) -> Self {
        let has = |state: Match| artifacts.iter().any(|one| one.state == state);
        let verdict = if has(Match::Missing) || has(Match::Extra) {
            Verdict::OtherPackages
        } else if has(Match::Differs) {
            Verdict::Diverged
        } else if has(Match::Equivalent) {
            Verdict::Equivalent
        } else {
            Verdict::Reproduced
        };
        Self { version: COMPARISON_VERSION, verdict, artifacts, logs }
    }

    /// The kinds of causes that were found, each once.
    pub fn causes(&self) -> Vec<CauseKind> {
        let of = |one: &ComparedArtifact| {
            let causes = one.differences.as_ref().map(|found| found.causes.as_slice());
            causes.unwrap_or_default().iter().map(|cause| cause.kind).collect::<Vec<_>>()
        };
        let mut kinds: Vec<CauseKind> = self.artifacts.iter().flat_map(of).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }
}

/// How a file came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// With the same bytes.
    Same,
    /// With the same payload and other tags.
    Equivalent,
    /// With other bytes.
    Differs,
    /// Not at all.
    Missing,
    /// The first build had no such file.
    Extra,
}

/// One file of the two builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedArtifact {
    /// Its name.
    pub name: String,
    /// As it came out first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Digest>,
    /// As it came out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<Digest>,
    /// How it came out.
    pub state: Match,
    /// In what the two differ, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differences: Option<Differences>,
}

/// A part of a package, in the order in which they lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The 96 bytes at the beginning.
    Lead,
    /// The header with digests and signatures.
    SignatureHeader,
    /// The header that describes the package.
    Header,
    /// How the payload is compressed.
    Compression,
    /// The order of files in the payload.
    Order,
    /// What is said of a file: mode, time, owner, link.
    Metadata,
    /// What is in a file.
    Content,
}

impl Layer {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lead => "the lead",
            Self::SignatureHeader => "the signature header",
            Self::Header => "the header",
            Self::Compression => "the compression of the payload",
            Self::Order => "the order of files",
            Self::Metadata => "what is said of a file",
            Self::Content => "what is in a file",
        }
    }
}

/// In what two packages differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// The layers that differ, the first in the file first.
    pub layers: Vec<Layer>,
    /// The tags that differ, apart from those that only follow from a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<DifferingTag>,
    /// The files that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<DifferingFile>,
    /// What probably makes them differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// What was not looked into, and why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// A tag of a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingTag {
    /// Its number in rpm's lib/rpmtag.h.
    pub tag: u32,
    /// Its name there, in small letters; its number where it has none.
    pub name: String,
    /// Whether it is one of the signature header.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_of_signature: bool,
    /// As it came out first; nothing where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// As it came out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<String>,
}

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingFile {
    /// Its path.
    pub path: String,
    /// What is said of it otherwise: each what, as it was, as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<DifferingValue>,
    /// What in it is otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<DifferingContent>,
}

/// A value on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingValue {
    /// What: `mode`, `mtime`, `owner`, …
    pub what: String,
    /// As it came out first; empty where the file is not there.
    pub original: String,
    /// As it came out again.
    pub rebuilt: String,
}

/// A piece of content on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingContent {
    /// Where in the file: what it was unpacked from, a member, a section; the file itself where it
    /// is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// What differs there.
    pub what: String,
    /// As it came out first, in short.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub original: String,
    /// As it came out again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rebuilt: String,
    /// For text: its lines, as diff(1) writes them (`-u`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub diff: String,
}

/// Something that makes builds differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseKind {
    /// A time or a date of the build.
    Date,
    /// The folder that it was built in.
    BuildPath,
    /// The name of the machine.
    HostName,
    /// How many processes ran at once, or which of them was first.
    Parallelism,
    /// The order in which a folder lists its files.
    FileOrder,
    /// An order that is not the same each time: of a folder, of keys, or of processes at once.
    Order,
    /// The language.
    Locale,
    /// The time zone.
    TimeZone,
    /// Who built it, or where their home is.
    User,
    /// The release of the kernel.
    Kernel,
    /// Something drawn at random: a seed, a UUID, a key.
    Random,
    /// Bytes that nobody wrote: padding, addresses, what was in memory before.
    Uninitialised,
    /// Something of the environment.
    Environment,
    /// The umask.
    Umask,
    /// What the buildroot was made of: its cached layers.
    Buildroot,
}

impl CauseKind {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Date => "an embedded date",
            Self::BuildPath => "the build path",
            Self::HostName => "the host name",
            Self::Parallelism => "processes at once (-j)",
            Self::FileOrder => "the order of a folder",
            Self::Order => "an order that varies (of a folder, of keys, of processes at once)",
            Self::Locale => "the locale",
            Self::TimeZone => "the time zone",
            Self::User => "the build user or its home",
            Self::Kernel => "the kernel's release",
            Self::Random => "something drawn at random",
            Self::Uninitialised => "bytes that nobody wrote (padding, addresses)",
            Self::Environment => "the environment",
            Self::Umask => "the umask",
            Self::Buildroot => "the buildroot",
        }
    }

    /// What of a challenge brings it about, where one thing alone does.
    pub fn variation(self) -> Option<Variation> {
        Some(match self {
            Self::Date => Variation::Clock,
            Self::BuildPath => Variation::BuildPath,
            Self::HostName => Variation::HostName,
            Self::Parallelism => Variation::Cpus,
            Self::FileOrder | Self::Order => Variation::FileOrder,
            Self::Locale => Variation::Locale,
            Self::TimeZone => Variation::TimeZone,
            Self::User => Variation::User,
            Self::Kernel => Variation::Kernel,
            Self::Environment => Variation::Environment,
            Self::Umask => Variation::Umask,
            Self::Buildroot => Variation::Cache,
            Self::Random | Self::Uninitialised => return None,
        })
    }
}

/// What probably makes two packages differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What.
    pub kind: CauseKind,
    /// What speaks for it.
    pub evidence: Vec<Evidence>,
}

/// What speaks for a cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Where it was found.
    pub place: String,
    /// What stands there in the first build.
    pub original: String,
    /// What stands there in the second.
    pub rebuilt: String,
}

/// What two logs differ in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedLogs {
    /// The lines that differ, as diff(1) writes them (`-u`); bounded.
    pub diff: String,
    /// Whether more differs than is shown.
    pub is_cut: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(state: Match) -> ComparedArtifact {
        let name = "x.rpm".to_owned();
        ComparedArtifact { name, original: None, rebuilt: None, state, differences: None }
    }

    #[test]
    fn the_gravest_file_gives_the_verdict() {
        for (states, verdict) in [
            (&[Match::Same, Match::Same][..], Verdict::Reproduced),
            (&[Match::Same, Match::Equivalent], Verdict::Equivalent),
            (&[Match::Differs, Match::Equivalent], Verdict::Diverged),
            (&[Match::Differs, Match::Missing], Verdict::OtherPackages),
            (&[Match::Same, Match::Extra], Verdict::OtherPackages),
        ] {
            let artifacts = states.iter().map(|state| one(*state)).collect();
            assert_eq!(Comparison::of(artifacts, None).verdict, verdict);
        }
    }
}
