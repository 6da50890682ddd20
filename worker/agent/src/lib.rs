//! NARRATOR 2: what a worker does with a lease, from lock to claim. Begin reading in
//! [`Agent::run`].
//!
//! Zone: `worker`, SEMI-TRUSTED: it holds a lease and never a key, and all that it says is a
//! claim. What does not belong here: deciding what is built, resolving, signing; system calls of
//! the jail.

mod attempt;
mod commands;
mod control;
mod door;
mod error;
mod folders;
mod jails;
mod kept;
mod layers;
mod machines;
mod materialise;
mod slot;

pub use attempt::{Agent, AgentSettings};
pub use control::{Control, LogKind};
pub use error::AttemptError;
pub use folders::Folders;
pub use kept::KeptRoot;
pub use layers::{Layer, LayerError, Layers};
pub use machines::open_machines;
pub use slot::{Slot, SlotError, Slots};
