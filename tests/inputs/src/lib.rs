//! kiln as a program, handed whatever a person or a package can think of; and what must be true
//! of the machine afterwards, whatever came of it.
//!
//! Zone: tests. What does not belong here: attacks on a jail from inside (`tests/contest`).

#![allow(clippy::print_stderr, reason = "a test says what came of it")]

mod kiln;
mod left;
mod mirror;
mod pack;
mod ran;

pub use kiln::Kiln;
pub use mirror::{Reply, dead_mirror, file, mirror};
pub use pack::{Entry, tarball};
pub use ran::Ran;
