use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A build whose results another project takes over.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromotionAsked {
    /// The build.
    pub build: i64,
}

/// A job that is built again, to be held against what came out first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// The job that built it first.
    pub job: i64,
    /// The job that builds it again.
    pub rebuild: i64,
    /// The build of that job.
    pub build: i64,
    /// Where that job stands: `queued`, `leased`, `built`, `failed` or `cancelled`.
    pub state: String,
    /// The worker that has or had it.
    pub worker: Option<String>,
    /// `reproduced`, `equivalent`, `diverged`, `other-packages`, `unbuilt`, `unavailable` or
    /// `invalid`; nothing before it is judged.
    pub verdict: Option<String>,
    /// What that means.
    pub meaning: Option<String>,
    /// When it was asked for, in milliseconds since 1970.
    pub asked_at: i64,
    /// When it was judged, likewise.
    pub ended_at: Option<i64>,
}

/// What was built with some packages is to be built anew.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RebuildAsked {
    /// What it was built with: names of packages of the project, source or binary.
    pub packages: Vec<String>,
    /// For which targets; for all of the project where none is named.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Also what was built with those, and so on.
    #[serde(default)]
    pub deep: bool,
    /// Only tell what it would be.
    #[serde(default)]
    pub tell: bool,
}

/// What is built anew, in order.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Rebuild {
    /// Each.
    pub steps: Vec<RebuildStep>,
}

/// A package that is built anew.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RebuildStep {
    /// The source package's name.
    pub name: String,
    /// The target.
    pub target: String,
    /// The job of its last good build.
    pub last: i64,
    /// What of the packages was in its buildroot, by NEVRA.
    pub had: Vec<String>,
    /// The names of those of the list that go before it.
    pub after: Vec<String>,
    /// The new build; nothing where it was only to be told.
    pub build: Option<i64>,
}
