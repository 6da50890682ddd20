use kiln_model::{
    BuildId, Digest, Epoch, JobId, JobState, LeaseKey, Limits, Nevra, ProjectId, Report, Stage,
    UserId,
};
use kiln_wire::worker::{Settings, Source};

use crate::origin::Origin;

/// A build to be stored.
#[derive(Debug, Clone)]
pub struct NewBuild {
    /// What a person calls it.
    pub title: String,
    /// What is built.
    pub source: Source,
    /// Its jobs, one for each target.
    pub jobs: Vec<NewJob>,
    /// Whose it is; nobody's where it is built on one's own machine.
    pub owner: Option<Owner>,
    /// Where its source is from, if it isn't from whoever submits it.
    pub origin: Option<Origin>,
}

/// Whose a build is.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// The project.
    pub project: ProjectId,
    /// Who submitted it.
    pub submitter: UserId,
    /// Whether it is only tried: nothing of it is published.
    pub is_scratch: bool,
    /// The hook by which it came.
    pub hook: Option<i64>,
}

/// A job to be stored.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// How it is built.
    pub settings: Settings,
    /// What it may take.
    pub limits: Limits,
    /// Whether it is begun only when nothing else can be.
    pub is_background: bool,
    /// Among the jobs of its project: higher goes first.
    pub priority: i64,
    /// What has to be published before it can begin.
    pub waits_for: Vec<JobId>,
}

/// What a new build and its jobs are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The build.
    pub build: BuildId,
    /// Its jobs, in the order in which they were given.
    pub jobs: Vec<JobId>,
}

/// A job as it stands.
#[derive(Debug, Clone)]
pub struct JobRecord {
    /// Its id.
    pub id: JobId,
    /// The build that it is of.
    pub build: BuildId,
    /// What a person calls the build.
    pub title: String,
    /// What is built.
    pub source: Source,
    /// How.
    pub settings: Settings,
    /// What it may take.
    pub limits: Limits,
    /// Where it stands.
    pub state: JobState,
    /// The present or last attempt.
    pub epoch: Epoch,
    /// Who has or had the lease.
    pub worker: Option<String>,
    /// When it was queued, in milliseconds since 1970.
    pub queued_at: i64,
    /// When it ended, likewise.
    pub ended_at: Option<i64>,
    /// Why it failed.
    pub report: Option<Report>,
    /// The lock that it was built with.
    pub lock: Option<Digest>,
    /// The project, where it is of one.
    pub project: Option<ProjectId>,
    /// Who submitted it.
    pub submitter: Option<UserId>,
    /// Whether it is begun only when nothing else can be.
    pub is_background: bool,
    /// Among the jobs of its project: higher goes first.
    pub priority: i64,
    /// How many jobs it still waits for.
    pub waits: i64,
    /// When its present or last attempt began, in milliseconds since 1970.
    pub leased_at: Option<i64>,
    /// How often its host failed it.
    pub setbacks: i64,
    /// Whether what it makes is to be published.
    pub publishes: bool,
    /// The snapshot in which that was done.
    pub snapshot: Option<i64>,
}

impl JobRecord {
    /// The lease that holds it, if one does.
    pub fn lease(&self) -> Option<LeaseKey> {
        (self.state == JobState::Leased).then_some(LeaseKey { job: self.id, epoch: self.epoch })
    }
}

/// A stage of an attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRecord {
    /// Which.
    pub stage: Stage,
    /// From its beginning to its end, in milliseconds.
    pub wall_ms: u64,
    /// CPU time, in milliseconds.
    pub cpu_ms: u64,
    /// What there is to say of it.
    pub note: String,
}

/// What a claim became when it was checked and found true. Only `control/flow` makes one.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The lease under which it was claimed.
    pub key: LeaseKey,
    /// The lock that it was built with.
    pub lock: Digest,
    /// What was built.
    pub artifacts: Vec<Artifact>,
}

/// A file that a job made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its file name.
    pub name: String,
    /// What its header says it is.
    pub nevra: Nevra,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// What the kept builds name: nothing of it may be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The locks that were given out; each names packages.
    pub locks: Vec<Digest>,
    /// Sources and artifacts, as built and as signed.
    pub blobs: Vec<Digest>,
    /// The lists of what snapshots consist of; each names metadata or packages.
    pub lists: Vec<Digest>,
}
