//! NARRATOR 1: the life of a build, stage by stage. Begin reading in `life.rs`.
//!
//! Zone: `control`, TRUSTED: it runs no program and evaluates no spec. What does not belong
//! here: HTTP, terminals, and what a worker does with a lease.

mod accept;
mod attest;
mod bill;
mod bounds;
mod events;
mod explain;
mod fetched;
mod judge;
mod life;
mod line;
mod logs;
mod ordering;
mod promote;
mod publish;
mod rebuild;
mod recall;
mod relay;
mod service;
mod share;
mod sweep;

pub use accept::AcceptError;
pub use attest::EVIDENCE_KEY;
pub use bounds::Bounds;
pub use events::{Event, Events, Listener};
pub use judge::{Judge, VerifyError};
pub use life::{Flow, FlowError, FlowSettings, GivenLockError, Own, Submission};
pub use line::Line;
pub use logs::{LogError, Logs};
pub use publish::{PublishFailure, Publisher, PublisherSettings};
pub use rebuild::{Dependant, Dependants};
pub use recall::{RecallError, Recalled, submission_of, target_of};
pub use relay::Relay;
pub use service::{Order, OrderError, Sequence, Sources};
pub use share::{generation, named_by_list, packages_of};
pub use sweep::{Sweep, Swept};
