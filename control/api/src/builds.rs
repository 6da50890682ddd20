use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A file that is going to be uploaded.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadAsked {
    /// What its bytes must hash to: `sha256:…`.
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    pub digest: String,
    /// Their number.
    pub size: u64,
}

/// An upload under way.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    /// How many bytes are there: where to go on.
    pub have: u64,
    /// Whether all are, and are what they were to be.
    pub is_whole: bool,
}

/// What is to be built: a source package, or a spec with its sources, every file of which was
/// uploaded; or one of them somewhere else, from where a worker fetches it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// What a person calls it.
    pub title: String,
    /// The name of the spec among the files; nothing for a source package.
    #[serde(default)]
    pub spec: Option<String>,
    /// Its files, plain name to digest; a source package is one.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// A repository with the spec and its sources, instead of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitGiven>,
    /// Where a source package lies, instead of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<AddressGiven>,
}

/// A spec with its sources in a git repository.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GitGiven {
    /// The repository: `https://…`.
    pub url: String,
    /// A branch, a tag or a commit; the repository's own choice where there is none.
    #[serde(default)]
    pub reference: Option<String>,
    /// The folder; the top one where there is none.
    #[serde(default)]
    pub folder: Option<String>,
}

/// A source package at an address.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressGiven {
    /// Which: `https://…`.
    pub url: String,
    /// What its bytes must hash to: `sha256:…`.
    #[serde(default)]
    pub digest: Option<String>,
}

/// Where a build's source is from.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Origin {
    /// The repository or source package.
    pub url: String,
    /// The branch, tag or commit that was asked for.
    pub reference: Option<String>,
    /// The folder.
    pub folder: Option<String>,
    /// The commit that it was, once it was fetched.
    pub commit: Option<String>,
}

/// Builds to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildAsked {
    /// What to build.
    pub given: Vec<Given>,
    /// For which targets; for all of the project where none is named.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Only tried: nothing of it is published.
    #[serde(default)]
    pub scratch: bool,
    /// One after the other, each seeing what those before it made.
    #[serde(default)]
    pub chain: bool,
    /// In the order that what they ask for implies, as far as that can be guessed; each seeing what
    /// those that it waits for made.
    #[serde(default)]
    pub ordered: bool,
    /// Begun only when nothing else can be.
    #[serde(default)]
    pub background: bool,
    /// Among the jobs of its project: higher goes first; 0 is usual.
    #[serde(default)]
    pub priority: i64,
    /// The base profile, where it is not that of the project.
    #[serde(default)]
    pub profile: Option<String>,
    /// Macros besides those of the project, name without `%` to body.
    #[serde(default)]
    pub macros: BTreeMap<String, String>,
    /// Build conditions that are switched on besides.
    #[serde(default)]
    pub with: Vec<String>,
    /// Build conditions that are switched off besides.
    #[serde(default)]
    pub without: Vec<String>,
    /// What they may take, over what target and project say: `memory`, `wall` and others, in bytes,
    /// seconds and counts. Not more than an operator allows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, u64>,
    /// What is to stand between them and their hosts: `namespaces` or `microvm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
}

/// The builds that were made, in the order in which they were given.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BuildsMade {
    /// Each.
    pub builds: Vec<Build>,
}

/// A build.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Build {
    /// Its number.
    pub id: i64,
    /// What a person calls it.
    pub title: String,
    /// The project.
    pub project: String,
    /// Who submitted it.
    pub submitter: String,
    /// When, in milliseconds since 1970.
    pub submitted_at: i64,
    /// Whether it is only tried.
    pub scratch: bool,
    /// The build whose results these are, where they were promoted and not built anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted: Option<i64>,
    /// Where its source is from, if it was not uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Its jobs, one for each target.
    pub jobs: Vec<Job>,
}

/// A build's part for one target.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// The build.
    pub build: i64,
    /// The target.
    pub target: String,
    /// queued, leased, built, failed or cancelled.
    pub state: String,
    /// Whether nothing will happen to it any more: it is published, or never will be.
    pub is_over: bool,
    /// Which attempt this is or was.
    pub attempt: i64,
    /// Who builds or built it.
    pub worker: Option<String>,
    /// When it was queued, in milliseconds since 1970; the others likewise.
    pub queued_at: i64,
    /// When its present or last attempt began.
    pub began_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// Why it failed: whose fault, what, why, what to do.
    #[schema(value_type = Option<Object>)]
    pub report: Option<serde_json::Value>,
    /// The digest of its lock.
    pub lock: Option<String>,
    /// The snapshot in which what it made was published.
    pub snapshot: Option<i64>,
    /// Why it waits, where it does.
    pub wait: Option<Wait>,
    /// What each stage took.
    pub stages: Vec<Stage>,
    /// What it made.
    pub artifacts: Vec<Artifact>,
}

/// Why a job waits.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Wait {
    /// In words.
    pub why: String,
    /// How many jobs are before it.
    pub before: i64,
    /// For how long it probably will, in seconds; nothing where nobody can tell.
    pub seconds: Option<i64>,
}

/// What a stage took.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// Which.
    pub stage: String,
    /// From its beginning to its end, in milliseconds.
    pub wall_ms: u64,
    /// CPU time, in milliseconds.
    pub cpu_ms: u64,
    /// What there is to say of it.
    pub note: String,
}

/// A file that a job made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// Its file name.
    pub name: String,
    /// What its header says it is.
    pub nevra: String,
    /// The digest of what was built; what is published has a signature besides.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next page begins: the value of `before` or `after` to ask for it; nothing on
    /// the last.
    pub next: Option<String>,
}
