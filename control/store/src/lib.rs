//! The only SQL. One change of state is one function and one transaction; each that a worker
//! causes carries its lease and is refused when that is stale.
//!
//! Zone: `control`, TRUSTED. What does not belong here: what happens next (`control/flow`), and
//! bytes of any size (`base/cas`).

mod audit;
mod builds;
mod database;
mod dump;
mod error;
mod history;
mod jobs;
mod notices;
mod once;
mod people;
mod projects;
mod publishing;
mod queue;
mod records;
mod retention;
mod turn;
mod workers;

pub use audit::{Audited, Deed};
pub use builds::{BuildRecord, BuildsAsked};
pub use database::Store;
pub use error::StoreError;
pub use history::{Ended, InQueue};
pub use notices::Notices;
pub use once::Once;
pub use people::{NewToken, NewUser, TicketKind, TokenKind, TokenRecord, UserRecord};
pub use projects::{Member, NewProject, ProjectRecord, RepoRecord};
pub use publishing::{NewSnapshot, Published, SnapshotRecord};
pub use queue::{Ability, Caps, QueueFigures};
pub use records::{
    Accepted, Artifact, JobRecord, Kept, NewBuild, NewJob, Owner, StageRecord, Submitted,
};
pub use retention::{Leaving, Retained};
pub use turn::{Turn, Work};
pub use workers::{NewWorker, WorkerRecord, WorkerState};
