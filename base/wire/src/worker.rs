//! Between control and a worker: what is to be built, and what the worker says came of it.
//!
//! Everything from a worker is a claim: control believes it when it has checked it.

use std::collections::BTreeMap;

use kiln_model::{
    Around, Digest, Isolation, IsolationBy, LeaseKey, Limits, Lock, Outlets, Report, Requirement,
    Stage, TargetName, Variations,
};
use serde::{Deserialize, Serialize};

/// The version of these messages.
pub const VERSION: u32 = 1;

/// The right to run one attempt, and all that is needed for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Which job and which attempt; every later message carries it.
    pub key: LeaseKey,
    /// What to build.
    pub source: Source,
    /// How.
    pub settings: Settings,
    /// What it may take.
    pub limits: Limits,
    /// How sources may be fetched, where they have to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetching: Option<Fetching>,
}

/// How a worker may fetch sources: the operator's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetching {
    /// Whom the jail may speak to.
    pub outlets: Outlets,
    /// Where dist-git keeps what its file `sources` names, with `{name}`, `{file}`, `{kind}` and
    /// `{hash}` in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookaside: Option<String>,
}

/// What is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// A source package.
    Srpm(SourceFile),
    /// A spec and what it names, as files beside each other.
    Folder {
        /// The name of the spec among the files.
        spec: String,
        /// All of them; plain names, each once.
        files: Vec<SourceFile>,
    },
    /// What has to be fetched first, in a jail. Once it is, the build's source is what came of it.
    Remote(Remote),
}

/// Where a build's source is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Remote {
    /// In a git repository: a spec in a folder, with what it names.
    Git {
        /// The repository.
        url: String,
        /// A branch, a tag or a commit.
        reference: String,
        /// The folder; the top one where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<String>,
    },
    /// A source package at an address.
    Srpm {
        /// Which.
        url: String,
        /// What its bytes must hash to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
    },
}

/// What a worker fetched: it is in control's store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetched {
    /// The lease.
    pub key: LeaseKey,
    /// A source package or a folder.
    pub source: Source,
    /// The commit that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// What the build is of from now on: what was fetched, or what somebody else fetched before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// A source package or a folder.
    pub source: Source,
}

impl Source {
    /// Its files, as far as they are known.
    pub fn files(&self) -> &[SourceFile] {
        match self {
            Self::Srpm(file) => std::slice::from_ref(file),
            Self::Folder { files, .. } => files,
            Self::Remote(_) => &[],
        }
    }
}

/// A file that goes into a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its plain name.
    pub name: String,
    /// Its bytes.
    pub digest: Digest,
    /// How many.
    pub size: u64,
}

/// How a package is built; all of it stands in the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The target.
    pub target: TargetName,
    /// Its architecture.
    pub arch: String,
    /// The base profile.
    pub profile: String,
    /// Macros of the target and of the build, name without `%` to body.
    pub macros: BTreeMap<String, String>,
    /// Build conditions that are switched on (`--with`).
    pub with: Vec<String>,
    /// Build conditions that are switched off (`--without`).
    pub without: Vec<String>,
    /// How many processes a build may start at once (`-jN`), and how many CPUs it sees.
    pub jobs: u32,
    /// The lock that it is built on, in the store: nothing is resolved anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Digest>,
    /// What must be in the buildroot besides, each `name = version`: the packages of a list that
    /// another program wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Requirement>,
    /// How many times the same release was built anew because of what it is built with: from the
    /// first time on, `%dist` ends in `.r` and this number, whoever defines it.
    #[serde(default, skip_serializing_if = "is_first")]
    pub rebuild: u32,
    /// The lock of the profile alone, in the store, beside `lock`: what the source package is made
    /// anew on, so that it comes out as it did first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    /// Whether files stay as the package made them: kiln takes no times, owners and dates out of
    /// archives, compiled Python and documents.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_raw: bool,
    /// What is different around this build, to challenge it; nothing around a usual one.
    #[serde(default, skip_serializing_if = "Variations::is_none")]
    pub variations: Variations,
    /// What stands between the build and its host.
    #[serde(default, skip_serializing_if = "Isolation::is_default")]
    pub isolation: Isolation,
    /// Who says so.
    #[serde(default, skip_serializing_if = "IsolationBy::is_default")]
    pub isolation_by: IsolationBy,
}

impl Settings {
    /// Those of a build of which nothing is said but what it is for.
    pub fn plain(target: TargetName, arch: &str) -> Self {
        Self {
            target,
            arch: arch.to_owned(),
            profile: "distribution".to_owned(),
            macros: BTreeMap::new(),
            with: Vec::new(),
            without: Vec::new(),
            jobs: 1,
            lock: None,
            pins: Vec::new(),
            rebuild: 0,
            base: None,
            is_raw: false,
            variations: Variations::default(),
            isolation: Isolation::default(),
            isolation_by: IsolationBy::default(),
        }
    }

    /// What the build sees around it.
    pub fn around(&self) -> Around {
        Around::of(&self.variations, self.jobs)
    }
}

/// Whether a release is built for the first time.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_first(rebuild: &u32) -> bool {
    *rebuild == 0
}

/// What a worker asks while it holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// The lease.
    pub key: LeaseKey,
    /// What the package asks for: as its header said, as its re-made header said, or as its
    /// build said.
    pub requires: Vec<Requirement>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// The profile alone.
    pub base: Lock,
    /// The profile and what the package asks for.
    pub lock: Lock,
}

/// What a worker says it has built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The lease.
    pub key: LeaseKey,
    /// The digest of the lock that it was built with.
    pub lock: Digest,
    /// The source package, as re-made in the base buildroot.
    pub srpm: ClaimedArtifact,
    /// The binary packages.
    pub rpms: Vec<ClaimedArtifact>,
    /// Files of the output folder that were not taken, with the reason.
    pub refused: Vec<String>,
}

/// A file that a build made, by its digest; the bytes were stored before it is claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimedArtifact {
    /// Its file name.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Ending {
    /// It was built.
    Built(Claim),
    /// It was not.
    Failed(Report),
    /// Someone ended it.
    Cancelled,
    /// Its worker was told to stop: another one is to have it, and nothing was wrong with it.
    Stopped,
}

/// A stage that ended, and what it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageEnded {
    /// How many of the attempt ended before it: said twice, it is known to be the same.
    pub position: u32,
    /// Which.
    pub stage: Stage,
    /// From its beginning to its end, in milliseconds.
    pub wall_ms: u64,
    /// CPU time of all processes that it started, in milliseconds.
    pub cpu_ms: u64,
    /// What there is to say of it: how many packages, from the cache, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What a worker says when it is enrolled; the answer is an [`Enrolled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    /// The one-time right that an operator made.
    pub ticket: String,
    /// The architecture that it builds for.
    pub arch: String,
    /// How many attempts it runs at once.
    pub slots: u32,
    /// The version of its program.
    pub version: String,
}

/// The credential by which a worker is known from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    /// Its name.
    pub name: String,
    /// What it shows with each request.
    pub credential: String,
}

/// A worker with a free slot asks for something to do. The answer comes when there is something,
/// or after half a minute without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// [`VERSION`], as the worker speaks it.
    pub protocol: u32,
    /// The version of its program.
    pub version: String,
    /// How many attempts it runs at once.
    pub slots: u32,
    /// The strongest isolation that it offers.
    #[serde(default, skip_serializing_if = "Isolation::is_default")]
    pub isolation: Isolation,
    /// Whether its processor runs the machines that it offers, and nothing emulates them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_kvm: bool,
}

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseAnswer {
    /// A lease, if something waits.
    pub lease: Option<Lease>,
    /// Whether nothing more will be given out: it ends what it has, and stops.
    pub is_draining: bool,
}

/// A worker is still at these. The answer comes when it has lost one of them, or after a third of
/// a lease's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renew {
    /// The leases.
    pub keys: Vec<LeaseKey>,
}

/// Which are not its any more: what runs for them is to be ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewed {
    /// The leases.
    pub lost: Vec<LeaseKey>,
}

/// A worker is going to need the packages of a lock that it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provide {
    /// The lease.
    pub key: LeaseKey,
    /// The digest of the lock.
    pub lock: Digest,
}

/// They are there to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provided {
    /// How many of them the service had to fetch itself.
    pub fetched: u64,
}

/// A stage began or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageNote {
    /// The lease.
    pub key: LeaseKey,
    /// What ended.
    pub ended: StageEnded,
}

/// An attempt is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// The lease.
    pub key: LeaseKey,
    /// How.
    pub ending: Ending,
}
