//! A worker of a service: asks for leases over one outbound connection, runs attempts, and hands
//! over what came out.
//!
//! Zone: `worker`, SEMI-TRUSTED. What does not belong here: how an attempt is run
//! (`worker/agent`), and anything that only control may know.

mod attempt;
mod link;
mod logs;
mod work;

pub use link::{Link, LinkError};
pub use work::{Stop, WorkSettings, work};
