//! The words of kiln as types: what every zone may know and no zone may bend.
//!
//! Zone: `base`. Linked by everyone, so it has no network, no privilege, no secrets and no I/O.
//! What does not belong here: parsing of strangers' bytes (`base/parse`), messages between zones
//! (`base/wire`), anything that touches a disk (`base/cas`).

mod account;
mod around;
mod comparison;
mod digest;
mod fault;
mod foreign;
mod isolation;
mod job;
mod limits;
mod lock;
mod name;
mod nevra;
mod outlet;
mod project;
mod proof;
mod reach;
mod requirement;
mod target;
mod text;
mod verdict;

pub use account::{ProjectId, Role, Scope, UserId};
pub use around::Around;
pub use comparison::{
    COMPARISON_VERSION, Cause, CauseKind, ComparedArtifact, ComparedLogs, Comparison, Differences,
    DifferingContent, DifferingFile, DifferingTag, DifferingValue, Evidence, Layer, Match,
};
pub use digest::{Digest, DigestError, Hasher};
pub use fault::{Fault, Faulty, Report};
pub use foreign::{Foreign, LINE_CAP, is_plain};
pub use isolation::{Isolation, IsolationBy, IsolationError};
pub use job::{BuildId, Epoch, IllegalStep, JobEvent, JobId, JobState, LeaseKey, Stage};
pub use limits::{Breached, Limit, LimitError, Limits, SetLimit, SomeLimits};
pub use lock::{LOCK_VERSION, Lock, LockedPackage, LockedSnapshot, Reason, stays_inside};
pub use name::{NameError, ProjectName, UserName, WorkerName};
pub use nevra::{Nevra, NevraError};
pub use outlet::{Outlet, OutletError, Outlets, Permit};
pub use project::ProjectSettings;
pub use proof::{PROOF_VERSION, Proof};
pub use reach::is_public;
pub use requirement::{Requirement, RequirementError};
pub use target::{
    Key, Knobs, ProfileSpec, RepoSpec, TARGET_SCHEMA, Target, TargetName, TargetNameError,
};
pub use verdict::{Variation, VariationError, Variations, Verdict};
