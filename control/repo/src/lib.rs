//! rpm-md in and out: snapshots of upstream repositories, and repositories of our own.
//!
//! Zone: `control`, TRUSTED: it runs no program. What does not belong here: which package
//! answers a requirement (the solver), what a package does when it is installed (the jail).

mod error;
mod folder;
mod keyring;
mod mirrors;
mod package;
mod refresh;
mod repos;
mod snapshot;

pub use error::{KeyTry, KeyTryReason, Refusal, RefusalReason, RepoError};
pub use keyring::{KEY_CAP, KeyError, Keyring, SIGNATURE_CAP, SignatureError, fingerprints};
pub use package::{PackageError, check_package};
pub use repos::{Options, Repos};
pub use snapshot::{MetadataBlob, MetadataRef, Snapshot};
