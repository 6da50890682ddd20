//! What clients and the service say to each other under `/api/v1`: the service's pages, the
//! command line and strangers' programs use nothing else.
//!
//! Zone: `control`, linked by `control/server` and by the command line. What does not belong
//! here: behaviour, and what workers say (`kiln_wire::worker`).
//!
//! Fields are only ever added; what somebody sends and we don't know is refused, so that a
//! misspelt setting isn't silently lost.

mod accounts;
mod again;
mod builds;
mod evidence;
mod hooks;
mod operating;
mod projects;
mod repos;

pub use accounts::{
    LoginAsked, Me, NewPassword, NewUser, OperatorAsked, PasswordByLink, PasswordLink, Token,
    TokenAsked, TokenMade, User, UserChange,
};
pub use again::{PromotionAsked, Rebuild, RebuildAsked, RebuildStep, Verification};
pub use builds::{
    AddressGiven, Artifact, Build, BuildAsked, BuildsMade, GitGiven, Given, Job, Origin, Page,
    Stage, Upload, UploadAsked, Wait,
};
pub use evidence::{Attestation, LogEntries, LogPath};
pub use hooks::{Heard, Hook, HookAsked, Listener, ListenerAsked};
pub use operating::{
    Audited, Enrolment, EnrolmentAsked, Problem, Queue, Service, Stats, SweepAsked, Swept, Worker,
    WorkerChange, YOUNG_MOST,
};
pub use projects::{
    Member, MemberChange, Project, ProjectAsked, ProjectChange, Repo, TargetSummary,
};
pub use repos::{Rollback, Snapshot};
