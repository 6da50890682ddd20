//! An RPM distribution out of a Debian suite: for trials, tests and air-gapped sites.
//!
//! Zone: `app`. Runs on an operator's word, over packages that apt's keys vouch for; nothing of
//! the build service links it. What does not belong here: building packages, and whatever a
//! target says beyond what the distribution itself promises.
//!
//! [`steps`] tells the order: plan, fetch, convert, repo. `archive` is where Debian packages come
//! from, `scan` what is in them, `recipe` what each RPM will be, `write` what makes it one. What
//! stands under `data/` and `distro/` is policy and text, not code.

mod arch;
mod archive;
mod arguments;
mod closure;
mod convert;
mod deb;
mod debian;
mod error;
mod own;
mod parallel;
mod plan;
mod policy;
mod progress;
mod recipe;
mod repo;
mod scan;
mod seeds;
mod steps;
mod target;
mod work;
mod write;

pub use arguments::{Arguments, run};
pub use error::DebrpmError;
