//! NARRATOR 1: the life of a build, stage by stage. Begin reading in `life.rs`.
//!
//! Zone: `control`, TRUSTED: it runs no program and evaluates no spec. What does not belong
//! here: HTTP, terminals, and what a worker does with a lease.

mod accept;
mod events;
mod explain;
mod fetched;
mod life;
mod logs;
mod ordering;
mod promote;
mod publish;
mod rebuild;
mod service;
mod share;

pub use accept::AcceptError;
pub use events::{Event, Events};
pub use life::{Flow, FlowError, FlowSettings, GivenLockError, Own, Submission};
pub use logs::{LogError, Logs};
pub use publish::{PublishFailure, Publisher, PublisherSettings};
pub use rebuild::{Dependant, Dependants};
pub use service::{Order, OrderError, Sequence, Sources};
pub use share::{generation, named_by_list, packages_of};
