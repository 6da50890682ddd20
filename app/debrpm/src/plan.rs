//! The plan: which Debian packages become the distribution, each pinned by its digest.

use std::collections::BTreeMap;

use kiln_model::Digest;
use serde::{Deserialize, Serialize};

use crate::debian::relation::{self, Clause, Relation};
use crate::debian::stanza::Stanza;

/// The version of the plan's form that this program reads and writes.
pub(crate) const PLAN_SCHEMA: u32 = 1;

/// What `plan.json` holds. The same seeds and the same state of the suite give the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// [`PLAN_SCHEMA`].
    pub(crate) schema: u32,
    /// The suite's codename: `trixie`.
    pub(crate) suite: String,
    /// The number of the release that the suite is: `13`.
    pub(crate) release: String,
    /// rpm's word for the architecture.
    pub(crate) arch: String,
    /// The signed releases that the packages were chosen from.
    pub(crate) releases: Vec<Release>,
    /// The sets of seeds by name: what each asked for, as found in the suite.
    pub(crate) sets: BTreeMap<String, Vec<String>>,
    /// The packages, by name.
    pub(crate) packages: Vec<Package>,
}

/// One signed release file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    pub(crate) codename: String,
    pub(crate) version: String,
    pub(crate) date: String,
    /// Of `InRelease`.
    pub(crate) digest: Digest,
}

/// One binary package, as the suite's index describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Debian's word: `amd64`, `all`.
    pub(crate) arch: String,
    /// The source package's name.
    pub(crate) source: String,
    /// `Pre-Depends` and `Depends`, as in the index.
    pub(crate) depends: String,
    pub(crate) provides: String,
    pub(crate) conflicts: String,
    pub(crate) summary: String,
    pub(crate) homepage: String,
    pub(crate) section: String,
    pub(crate) priority: String,
    /// Its place in the archive.
    pub(crate) filename: String,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

impl Package {
    /// Reads one block of a `Packages` index; `None` where it lacks what a package must have.
    pub(crate) fn read(stanza: &Stanza<'_>) -> Option<Self> {
        let text = |name| stanza.field(name).unwrap_or_default().replace('\n', "");
        let name = stanza.field("Package")?.to_owned();
        let source = stanza.field("Source").unwrap_or(&name);
        let source = source.split(' ').next().unwrap_or(source).to_owned();
        let fields = [text("Pre-Depends"), text("Depends")];
        let depends: Vec<&str> =
            fields.iter().map(String::as_str).filter(|f| !f.is_empty()).collect();
        Some(Self {
            version: stanza.field("Version")?.to_owned(),
            arch: stanza.field("Architecture")?.to_owned(),
            source,
            depends: depends.join(", "),
            provides: text("Provides"),
            conflicts: text("Conflicts"),
            summary: stanza.field("Description")?.lines().next().unwrap_or_default().to_owned(),
            homepage: text("Homepage"),
            section: text("Section"),
            priority: text("Priority"),
            filename: stanza.field("Filename")?.to_owned(),
            size: stanza.field("Size")?.parse().ok()?,
            digest: Digest::from_hex(stanza.field("SHA256")?).ok()?,
            name,
        })
    }

    /// What it depends on.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = Clause<'_>> {
        relation::clauses(&self.depends)
    }

    /// The names that it provides besides its own, with versions where they are given.
    pub(crate) fn provided(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        relation::clauses(&self.provides)
            .filter_map(|clause| clause.into_iter().next())
            .map(|one: Relation<'_>| (one.name, one.version.map(|(_, version)| version)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::debian::stanzas;

    /// A package for tests, from the fields that matter to them.
    pub(crate) fn package(fields: &str) -> Package {
        let hex = "0".repeat(64);
        let text = format!(
            "Architecture: amd64\nDescription: for a test\nFilename: pool/x.deb\nSize: 1\nSHA256: {hex}\n{fields}"
        );
        let stanza = stanzas(&text).next().expect("a stanza");
        Package::read(&stanza).expect("a package")
    }

    #[test]
    fn an_index_entry_reads_with_its_dependencies_in_one_list() {
        let bash = package(
            "Package: bash\nVersion: 5.2-1\nSource: bash (5.2)\nPre-Depends: libc6 (>= 2)\nDepends: base-files,\n debianutils\nProvides: shell (= 1), posix\n",
        );
        assert_eq!(bash.source, "bash");
        assert_eq!(bash.dependencies().count(), 3);
        assert_eq!(bash.provided().collect::<Vec<_>>(), [("shell", Some("1")), ("posix", None)]);
    }

    #[test]
    fn an_entry_without_a_digest_is_no_package() {
        let text =
            "Package: x\nVersion: 1\nArchitecture: all\nDescription: d\nFilename: f\nSize: 1\n";
        assert!(Package::read(&stanzas(text).next().expect("a stanza")).is_none());
    }
}
