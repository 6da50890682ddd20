//! rpm-md in and out: snapshots of upstream repositories, and repositories of our own.
//!
//! Zone: `control`, TRUSTED: it runs no program. What does not belong here: which package
//! answers a requirement (the solver), what a package does when it is installed (the jail).

mod keyring;
mod package;
mod snapshot;

pub use keyring::{KEY_CAP, KeyError, Keyring, SIGNATURE_CAP, SignatureError, fingerprints};
pub use package::{PackageError, check_package};
pub use snapshot::{MetadataBlob, MetadataRef, Snapshot};
