//! Real packages, from upstream's tarballs, built by kiln as a user builds them, and what is
//! measured on them.
//!
//! | measurement | what it shows |
//! | --- | --- |
//! | [`build`] | each package builds and is what it should be |
//! | [`twice`] | each comes out the same, byte for byte, whatever surrounds its build |
//! | [`hints`] | a build that lacks a requirement is told which |
//! | [`together`] | builds at the same time see nothing of each other |
//! | [`verify`] | each comes out the same from its record, also in another world, or it is told why not |
//! | [`elsewhere`] | a bundle in the hands of another user without a network comes out the same |
//! | [`offenders`] | packages that are known not to be the same are found, and rightly named |
//! | [`machine`] | attacks are held off; a build in a machine comes out as in a jail |
//! | [`no_root`] | nothing of a build has root or a capability on the host |
//!
//! Zone: tests. It knows kiln by its command line alone, and links none of its crates.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is its report")]

pub mod build;
pub mod cases;
pub mod elsewhere;
pub mod hints;
pub mod kiln;
pub mod machine;
pub mod no_root;
pub mod offenders;
pub mod place;
pub mod report;
pub mod rpms;
pub mod together;
pub mod twice;
pub mod verify;
