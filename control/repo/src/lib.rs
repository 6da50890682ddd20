//! rpm-md in and out: snapshots of upstream repositories, and repositories of our own.
//!
//! Zone: `control`, TRUSTED: it runs no program. What does not belong here: which package
//! answers a requirement (the solver), what a package does when it is installed (the jail).

mod describe;
mod error;
mod folder;
mod keyring;
mod markup;
mod mirrors;
mod package;
mod publish;
mod records;
mod refresh;
mod repos;
mod snapshot;

pub use describe::{DescribeError, Record};
pub use error::{KeyTry, KeyTryReason, Refusal, RefusalReason, RepoError};
pub use keyring::{KEY_CAP, KeyError, Keyring, SIGNATURE_CAP, SignatureError, fingerprints};
pub use markup::MarkupError;
pub use package::{PackageError, check_package, mock_facts};
pub use publish::{
    Chunks, Entry, Generation, Listed, PublishError, RepoFile, WriteOptions, Written,
    remove_old_generations, write_generation, write_repo,
};
pub use records::Records;
pub use repos::{Options, Repos};
pub use snapshot::{MetadataBlob, MetadataRef, Snapshot};
