//! Strangers' bytes become types: bounded in time and memory, and never by running anything.
//!
//! Zone: `base`. No network, no disk beyond what a caller hands in, no secrets. What does not
//! belong here: evaluating a spec (only the jail may), deciding what a thing is good for.

pub mod buildlog;
pub mod checksum;
pub mod compression;
pub mod cpio;
pub mod filelists;
pub mod lock;
pub mod metalink;
pub mod mirrorlist;
pub mod mock_config;
pub mod mock_lock;
pub mod modules;
pub mod need;
pub mod place;
pub mod primary;
pub mod remote;
pub mod repomd;
pub mod rpmfile;
pub mod rpmhead;
pub mod spectext;
pub mod target;

mod xml;

pub use xml::XmlError;
