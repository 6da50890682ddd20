//! The only SQL. One change of state is one function and one transaction; each that a worker
//! causes carries its lease and is refused when that is stale.
//!
//! Zone: `control`, TRUSTED. What does not belong here: what happens next (`control/flow`), and
//! bytes of any size (`base/cas`).

mod attestations;
mod audit;
mod builds;
mod database;
mod dump;
mod error;
mod history;
mod hooks;
mod jobs;
mod look;
mod made;
mod notices;
mod once;
mod origin;
mod outbox;
mod people;
mod projects;
mod publishing;
mod queue;
mod records;
mod retention;
mod turn;
mod uploads;
mod verdicts;
mod workers;

pub use attestations::{Attestation, AttestationKind, NewAttestation, SignedHead};
pub use audit::{Audited, Deed};
pub use builds::{BuildRecord, BuildsAsked};
pub use database::Store;
pub use error::StoreError;
pub use history::{Ended, InQueue, Ran};
pub use hooks::{ForgeKind, HookRecord, ListenerRecord, NewHook};
pub use look::Look;
pub use made::Made;
pub use notices::Notices;
pub use once::Once;
pub use origin::Origin;
pub use outbox::{Message, What};
pub use people::{NewToken, NewUser, TicketKind, TokenKind, TokenRecord, UserRecord};
pub use projects::{Member, NewProject, ProjectRecord, RepoRecord};
pub use publishing::{NewSnapshot, Published, SnapshotRecord};
pub use queue::{Ability, Caps, QueueFigures, Waiting};
pub use records::{
    Accepted, Artifact, JobRecord, Kept, NewBuild, NewJob, Owner, StageRecord, Submitted, Turns,
};
pub use retention::{Leaving, Retained};
pub use turn::{Turn, Work};
pub use uploads::UploadCaps;
pub use verdicts::{Spared, VerdictRecord};
pub use workers::{NewWorker, WorkerRecord, WorkerSays, WorkerState};
