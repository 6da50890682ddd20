//! `primary.xml` of rpm-md: a repository's packages, with what solving and fetching need.
//!
//! The format has no standard; createrepo_c's `src/xml_dump_primary.c` writes it and libsolv's
//! `ext/repo_rpmmd.c` reads it. It is read as a stream, package by package, in memory that is
//! bounded whatever the input: entities are not expanded, and one package that is out of order
//! is left out and named instead of making the whole repository useless.

mod package;
mod reader;

use std::io::BufRead;

use kiln_model::Foreign;

pub use package::{Dependency, Kind, Package};

/// What one `primary.xml` may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Packages.
    pub packages: usize,
    /// Bytes of one tag or one text, and of all that is kept of one package.
    pub text: usize,
    /// Entries (requires, provides, files, …) of one package.
    pub entries: usize,
}

impl Default for Caps {
    /// Ten times what the largest public repositories need.
    fn default() -> Self {
        Self { packages: 1_000_000, text: 64 << 20, entries: 1_000_000 }
    }
}

/// What was in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Packages that were handed on.
    pub packages: usize,
    /// Source packages, which nothing can be built against.
    pub sources: usize,
    /// Weak dependencies.
    pub weak: usize,
    /// How many were left out, because a part of them is not what it should be.
    pub skipped: usize,
    /// Some of these, with the reason.
    pub examples: Vec<Skipped>,
}

/// A package that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its name.
    pub package: Foreign,
    /// What is wrong with it.
    pub why: String,
}

/// How many [`Summary::examples`] are kept.
const EXAMPLES: usize = 8;

/// Why the packages could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PrimaryError {
    /// The bytes end, cannot be unpacked or are no XML.
    #[error("reading the list of packages near byte {at}: {why}")]
    Xml {
        /// Where, in unpacked bytes.
        at: u64,
        /// What is wrong.
        why: Foreign,
    },
    /// XML, but not this kind.
    #[error("not a list of packages: {why}")]
    Form {
        /// What is wrong.
        why: &'static str,
    },
    /// More than [`Caps`] allow.
    #[error("a list of packages with more than {cap} {what}")]
    Large {
        /// Of what.
        what: &'static str,
        /// What is allowed.
        cap: usize,
    },
    /// Its packages are named by a digest that can be forged.
    #[error("package {package} is named by a digest of the kind {kind}, which can be forged")]
    Weak {
        /// The first such package.
        package: Foreign,
        /// The digest's kind.
        kind: Foreign,
    },
}

/// Reads unpacked XML from `from` and hands each package to `take`. `prefix` is what each
/// package's location begins with and what is taken off it: `../` of repositories whose packages
/// lie above them, else nothing.
pub fn read(
    from: impl BufRead,
    caps: Caps,
    prefix: &str,
    take: impl FnMut(&Package),
) -> Result<Summary, PrimaryError> {
    reader::Reading::new(from, caps, prefix, take).run()
}

#[cfg(test)]
mod tests;
