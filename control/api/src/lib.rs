//! What clients and the service say to each other under `/api/v1`: the service's pages, the
//! command line and strangers' programs use nothing else.
//!
//! Zone: `control`, linked by `control/server` and by the command line. What does not belong
//! here: behaviour, and what workers say (`kiln_wire::worker`).
//!
//! Fields are only ever added; what somebody sends and we don't know is refused, so that a
//! misspelt setting isn't silently lost.

mod accounts;
mod builds;
mod operating;
mod projects;
mod repos;

pub use accounts::{
    LoginAsked, Me, NewPassword, NewUser, OperatorAsked, Token, TokenAsked, TokenMade, User,
    UserChange,
};
pub use builds::{
    Artifact, Build, BuildAsked, BuildsMade, Given, Job, Page, Stage, Upload, UploadAsked, Wait,
};
pub use operating::{
    Audited, Enrolment, EnrolmentAsked, Problem, Queue, Stats, SweepAsked, Swept, Worker,
    WorkerChange,
};
pub use projects::{
    Member, MemberChange, Project, ProjectAsked, ProjectChange, Repo, TargetSummary,
};
pub use repos::{Rollback, Snapshot};
