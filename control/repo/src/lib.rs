//! rpm-md in and out: snapshots of upstream repositories, and repositories of our own.
//!
//! Zone: `control`, TRUSTED: it runs no program. What does not belong here: which package
//! answers a requirement (the solver), what a package does when it is installed (the jail).

mod snapshot;

pub use snapshot::{MetadataBlob, MetadataRef, Snapshot};
