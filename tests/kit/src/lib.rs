//! What tests share: an unprivileged user to run as, folders that this user can reach, and ways
//! to say that a test was skipped.
//!
//! Zone: tests. Nothing outside `tests/` links it.

#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod browser;
mod ground;
mod postgres;
mod trial;

pub use browser::Browser;
pub use ground::{Ground, Skipped, TEST_USER, begun_by, only_for_root, skip};
pub use postgres::Postgres;
pub use trial::{Trial, sources};
