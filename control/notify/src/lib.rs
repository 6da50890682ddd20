//! Tells others what becomes of jobs: listeners by signed webhooks, forges by the state of a commit.
//!
//! Zone: `control`, TRUSTED. It takes messages from the store's outbox and takes them out when they
//! have arrived. What does not belong here: what is told to whom, which the store writes down with
//! the change itself.

mod forge;
mod sign;
mod tell;

pub use sign::{check_hex, check_shared, sign, sign_hex};
pub use tell::{Notifier, NotifierSettings};
