use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was refused, as RFC 9457 has it (`application/problem+json`).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What went wrong.
    pub title: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Whose fault it is: caller, package, host, kiln or breach.
    pub fault: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A worker.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// The architecture that it builds for.
    pub arch: String,
    /// How many attempts it runs at once.
    pub slots: i64,
    /// The version of its program.
    pub version: String,
    /// active, draining or aside.
    pub state: String,
    /// Why it is set aside.
    pub why: String,
    /// When it was last heard of, in milliseconds since 1970.
    pub seen_at: Option<i64>,
}

/// What an operator changes of a worker.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerChange {
    /// active, draining or aside.
    #[schema(pattern = "^(active|draining|aside)$")]
    pub state: String,
}

/// A worker that is to be enrolled.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentAsked {
    /// What it will be called.
    #[schema(pattern = "^[a-z0-9]([a-z0-9_+-]|[.][a-z0-9_+-])*$", max_length = 63)]
    pub name: String,
}

/// A one-time right to enrol a worker.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Enrolment {
    /// What `kiln worker --enrol` takes.
    pub ticket: String,
    /// Until when, in milliseconds since 1970.
    pub expires_at: i64,
}

/// A line of the audit log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Audited {
    /// Its number.
    pub id: i64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// Anything else that there is to say.
    pub detail: String,
}

/// The most hours for which a sweep lets a blob stay: ten years.
pub const YOUNG_MOST: u32 = 87_600;

/// A sweep: what nothing needs is to go.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepAsked {
    /// For how many hours a blob stays that was written or asked for and that nothing names; at
    /// least 1, at most [`YOUNG_MOST`].
    #[schema(minimum = 1, maximum = 87600)]
    #[serde(default = "a_day")]
    pub young_hours: u32,
    /// Whether only to tell what would go, at the least: what is named by snapshots alone that
    /// would go themselves is not counted.
    #[serde(default)]
    pub is_trial: bool,
}

fn a_day() -> u32 {
    24
}

/// What went, or would.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Swept {
    /// Snapshots that their projects keep no longer.
    pub snapshots: u64,
    /// Jobs whose results, locks, logs and sources were let go of.
    pub jobs: u64,
    /// Blobs that nothing names any more.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How full the queue is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// Jobs that could begin.
    pub ready: i64,
    /// Jobs that wait for others.
    pub held: i64,
    /// Jobs that are being built.
    pub leased: i64,
    /// For how long the first of them has waited, in seconds.
    pub oldest_s: i64,
}

/// What this service is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// The version of its program.
    pub version: String,
    /// Where it takes itself to be reached: what it gives out as addresses begins so.
    pub url: String,
    /// Who signs people in besides the service itself, by the name that its page says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signs_in_by: Option<String>,
}

/// How the service does.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// The queue.
    pub queue: Queue,
    /// Workers that were heard of in the last minute.
    pub workers: i64,
    /// Attempts that they can run at once.
    pub slots: i64,
}
