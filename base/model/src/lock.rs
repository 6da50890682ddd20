use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Nevra, Requirement, TargetName};

/// The version of `kiln.lock` that this kiln writes, and the only one that it reads.
pub const LOCK_VERSION: u32 = 1;

/// `kiln.lock`: exactly what a buildroot is made of, and why.
///
/// Written as JSON with sorted, stable fields: the same lock is the same bytes, and its digest
/// names it. Everything that decides what a build sees of its distribution stands in it, so that
/// a buildroot can be made again from the lock and the blobs alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// [`LOCK_VERSION`].
    pub version: u32,
    /// The target it was resolved for.
    pub target: TargetName,
    /// The base profile and its version, as `distribution/2`.
    pub profile: String,
    /// The architecture that is built for.
    pub arch: String,
    /// The solver and its version, as `libsolv 0.7.23`.
    pub solver: String,
    /// rpm macros of the target and of this build, name without `%` to body.
    pub macros: BTreeMap<String, String>,
    /// What was asked for besides the profile: the BuildRequires, sorted, each once.
    pub requires: Vec<Requirement>,
    /// The repositories' generations that the answer was found in, in the order of the target.
    pub snapshots: Vec<LockedSnapshot>,
    /// What is installed in the buildroot, sorted by NEVRA.
    pub packages: Vec<LockedPackage>,
    /// What installs it: the target's own rpm and what that needs, sorted by NEVRA.
    pub toolbox: Vec<LockedPackage>,
}

/// One generation of a repository's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSnapshot {
    /// The repository's id in the target.
    pub repo: String,
    /// The digest of its `repomd.xml`.
    pub repomd: Digest,
}

/// One RPM of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// What it is.
    pub nevra: Nevra,
    /// The id of the repository that it comes from.
    pub repo: String,
    /// Where in the repository, relative to its base.
    pub location: String,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of the file.
    pub digest: Digest,
    /// Why it is there.
    pub why: Reason,
}

/// Why a package is in a buildroot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Reason {
    /// The base profile names it.
    Profile(Requirement),
    /// The package that is built asks for it.
    Build(Requirement),
    /// The target's toolbox names it: what installs the others.
    Toolbox(Requirement),
    /// Another package of the lock asks for it.
    Package {
        /// Which package.
        of: Nevra,
        /// What it asks for.
        requirement: Requirement,
    },
}

impl Lock {
    /// The first thing in which the lock contradicts itself, or nothing: packages and toolbox
    /// sorted by NEVRA and each there once, each from a repository whose snapshot is named, at a
    /// location that stays inside it, and there for something that is there too; `requires`
    /// sorted.
    pub fn contradiction(&self) -> Option<String> {
        if !self.requires.is_sorted_by(|a, b| a < b) {
            return Some("its requires are not sorted, or stand twice".to_owned());
        }
        for (list, packages) in [("packages", &self.packages), ("toolbox", &self.toolbox)] {
            if let Some(pair) = packages.windows(2).find(|pair| pair[0].nevra >= pair[1].nevra) {
                return Some(format!("{} is out of order or twice in its {list}", pair[1].nevra));
            }
            for package in packages {
                if !self.snapshots.iter().any(|snapshot| snapshot.repo == package.repo) {
                    return Some(format!("{} is of a repo without a snapshot", package.nevra));
                }
                if !stays_inside(&package.location) {
                    return Some(format!("the location of {} leaves its repo", package.nevra));
                }
                if let Reason::Package { of, .. } = &package.why
                    && packages.binary_search_by(|other| other.nevra.cmp(of)).is_err()
                {
                    return Some(format!("{} is there for {of}, which is not", package.nevra));
                }
            }
        }
        None
    }

    /// The base profile's name, without its version.
    pub fn profile_name(&self) -> &str {
        self.profile.split_once('/').map_or(&self.profile, |(name, _)| name)
    }

    /// Every RPM that the lock names, of the buildroot and of the toolbox.
    pub fn every_package(&self) -> impl Iterator<Item = &LockedPackage> {
        self.packages.iter().chain(&self.toolbox)
    }
}

/// Whether a location, relative to a repository's base, is a plain path below it, and no part of
/// a URL but its path.
pub fn stays_inside(location: &str) -> bool {
    !location.is_empty()
        && !location.contains(['\\', '?', '#', ':'])
        && !location.chars().any(char::is_control)
        && location.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock_of(locations: &[(&str, &str)]) -> Lock {
        let packages = locations
            .iter()
            .map(|(nevra, location)| LockedPackage {
                nevra: nevra.parse().expect("a NEVRA"),
                repo: "base".to_owned(),
                location: (*location).to_owned(),
                size: 1,
                digest: Digest::of(location.as_bytes()),
                why: Reason::Profile("bash".parse().expect("a requirement")),
            })
            .collect();
        Lock {
            version: LOCK_VERSION,
            target: "trial-13-x86_64".parse().expect("a target's name"),
            profile: "distribution/1".to_owned(),
            arch: "x86_64".to_owned(),
            solver: "libsolv 0.7.23".to_owned(),
            macros: BTreeMap::new(),
            requires: Vec::new(),
            snapshots: vec![LockedSnapshot { repo: "base".to_owned(), repomd: Digest::of(b"") }],
            packages,
            toolbox: Vec::new(),
        }
    }

    #[test]
    fn a_sound_lock_does_not_contradict_itself() {
        let lock = lock_of(&[("a-1-1.noarch", "Packages/a.rpm"), ("b-1-1.noarch", "b.rpm")]);
        assert_eq!(lock.contradiction(), None);
    }

    #[test]
    fn contradictions_are_named() {
        let twice = lock_of(&[("a-1-1.noarch", "a.rpm"), ("a-1-1.noarch", "a.rpm")]);
        assert!(twice.contradiction().is_some_and(|text| text.contains("twice")));
        for location in ["", "../a.rpm", "/a.rpm", "x//a.rpm", "http://h/a.rpm", "a\n.rpm", "a?b"] {
            let lock = lock_of(&[("a-1-1.noarch", location)]);
            assert!(lock.contradiction().is_some(), "{location:?}");
        }
        let mut orphan = lock_of(&[("a-1-1.noarch", "a.rpm")]);
        orphan.packages[0].why = Reason::Package {
            of: "b-1-1.noarch".parse().expect("a NEVRA"),
            requirement: "a".parse().expect("a requirement"),
        };
        assert!(orphan.contradiction().is_some_and(|text| text.contains("is there for")));
        let mut lost = lock_of(&[("a-1-1.noarch", "a.rpm")]);
        lost.snapshots.clear();
        assert!(lost.contradiction().is_some_and(|text| text.contains("snapshot")));
    }
}
