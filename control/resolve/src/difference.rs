//! What is different between two locks.

use std::collections::BTreeMap;
use std::fmt;

use kiln_model::{Lock, LockedPackage};

/// Packages that came, went or changed, and what else is not the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// What is not the same besides packages, each as `what: before -> after`.
    pub other: Vec<String>,
    /// Packages of the buildroot.
    pub packages: Changes,
    /// Packages of the toolbox.
    pub toolbox: Changes,
}

/// What became of some packages, by name and architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Only in the second lock.
    pub came: Vec<LockedPackage>,
    /// Only in the first.
    pub went: Vec<LockedPackage>,
    /// In both, and not the same: another version, or the same one with other bytes.
    pub changed: Vec<(LockedPackage, LockedPackage)>,
}

/// What is different in `after`.
pub fn difference(before: &Lock, after: &Lock) -> Difference {
    let mut other = Vec::new();
    let mut compare = |what: &str, before: String, after: String| {
        if before != after {
            other.push(format!("{what}: {before} -> {after}"));
        }
    };
    compare("target", before.target.to_string(), after.target.to_string());
    compare("profile", before.profile.clone(), after.profile.clone());
    compare("arch", before.arch.clone(), after.arch.clone());
    compare("solver", before.solver.clone(), after.solver.clone());
    let macros = pairs(&before.macros, &after.macros);
    for (name, (before, after)) in macros {
        compare(&format!("macro {name}"), shown(before), shown(after));
    }
    let snapshots = |lock: &Lock| -> BTreeMap<String, String> {
        let pair = |one: &kiln_model::LockedSnapshot| (one.repo.clone(), one.repomd.short());
        lock.snapshots.iter().map(pair).collect()
    };
    let (old, new) = (snapshots(before), snapshots(after));
    for (repo, (before, after)) in pairs(&old, &new) {
        compare(&format!("snapshot of {repo}"), shown(before), shown(after));
    }
    for requirement in before.requires.iter().filter(|one| !after.requires.contains(one)) {
        other.push(format!("no longer asked for: {requirement}"));
    }
    for requirement in after.requires.iter().filter(|one| !before.requires.contains(one)) {
        other.push(format!("asked for: {requirement}"));
    }
    Difference {
        other,
        packages: changes(&before.packages, &after.packages),
        toolbox: changes(&before.toolbox, &after.toolbox),
    }
}

fn shown(text: Option<&String>) -> String {
    text.map_or("nothing".to_owned(), |text| format!("'{text}'"))
}

/// The values of both sides by their key.
fn pairs<'a, V>(
    before: &'a BTreeMap<String, V>,
    after: &'a BTreeMap<String, V>,
) -> BTreeMap<&'a String, (Option<&'a V>, Option<&'a V>)> {
    let keys = before.keys().chain(after.keys());
    keys.map(|key| (key, (before.get(key), after.get(key)))).collect()
}

fn changes(before: &[LockedPackage], after: &[LockedPackage]) -> Changes {
    // Several versions of one package may be there together, as of a kernel: then the same ones
    // are taken off first, and what is left is told apart by its order.
    let key = |one: &LockedPackage| format!("{}.{}", one.nevra.name(), one.nevra.arch());
    let same = |a: &LockedPackage, b: &LockedPackage| a.nevra == b.nevra && a.digest == b.digest;
    let only = |side: &[LockedPackage], other: &[LockedPackage]| {
        let mut by_key: BTreeMap<String, Vec<LockedPackage>> = BTreeMap::new();
        for one in side.iter().filter(|one| !other.iter().any(|known| same(one, known))) {
            by_key.entry(key(one)).or_default().push(one.clone());
        }
        by_key
    };
    let (old, new) = (only(before, after), only(after, before));
    let mut changes = Changes::default();
    for (_, (old, new)) in pairs(&old, &new) {
        let (old, new) = (old.cloned().unwrap_or_default(), new.cloned().unwrap_or_default());
        let both = old.len().min(new.len());
        changes.changed.extend(old[..both].iter().cloned().zip(new[..both].iter().cloned()));
        changes.went.extend_from_slice(&old[both..]);
        changes.came.extend_from_slice(&new[both..]);
    }
    changes
}

impl Difference {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Difference {
    /// One line for each difference: `+` came, `-` went, `~` changed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.other {
            writeln!(f, "~ {line}")?;
        }
        for (changes, of) in [(&self.packages, ""), (&self.toolbox, " (toolbox)")] {
            for package in &changes.went {
                writeln!(f, "- {}{of}", package.nevra)?;
            }
            for package in &changes.came {
                writeln!(f, "+ {}{of}", package.nevra)?;
            }
            for (before, after) in &changes.changed {
                if before.nevra == after.nevra {
                    writeln!(f, "~ {} has other bytes{of}", before.nevra)?;
                } else {
                    writeln!(f, "~ {} -> {}{of}", before.nevra, after.nevra.evr())?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kiln_model::{Digest, LOCK_VERSION, LockedSnapshot, Reason};

    use super::*;
    use crate::why::why;

    fn package(nevra: &str, why: Reason) -> LockedPackage {
        LockedPackage {
            nevra: nevra.parse().expect("a NEVRA"),
            repo: "base".to_owned(),
            location: "x.rpm".to_owned(),
            size: 1,
            digest: Digest::of(nevra.as_bytes()),
            why,
        }
    }

    fn of(of: &str, requirement: &str) -> Reason {
        Reason::Package {
            of: of.parse().expect("a NEVRA"),
            requirement: requirement.parse().expect("a requirement"),
        }
    }

    fn lock() -> Lock {
        let requirement = |text: &str| text.parse().expect("a requirement");
        Lock {
            version: LOCK_VERSION,
            target: "trial-13-x86_64".parse().expect("a name"),
            profile: "distribution/2".to_owned(),
            arch: "x86_64".to_owned(),
            solver: "libsolv 0.7.23".to_owned(),
            macros: BTreeMap::from([("dist".to_owned(), ".t".to_owned())]),
            requires: vec![requirement("gcc")],
            snapshots: vec![LockedSnapshot { repo: "base".to_owned(), repomd: Digest::of(b"1") }],
            packages: vec![
                package("bash-5-1.x86_64", Reason::Profile(requirement("bash"))),
                package("binutils-2-1.x86_64", of("gcc-14-1.x86_64", "binutils")),
                package("gcc-14-1.x86_64", Reason::Build(requirement("gcc"))),
                package("zlib-1-1.x86_64", of("binutils-2-1.x86_64", "libz.so.1()(64bit)")),
            ],
            toolbox: vec![package("rpm-4-1.x86_64", Reason::Toolbox(requirement("rpm")))],
        }
    }

    #[test]
    fn a_lock_and_itself_are_not_different() {
        assert!(difference(&lock(), &lock()).is_empty());
        assert_eq!(difference(&lock(), &lock()).to_string(), "");
    }

    #[test]
    fn what_came_went_and_changed_is_told() {
        let mut after = lock();
        after.packages.remove(0);
        after.packages[0].nevra = "binutils-2-2.x86_64".parse().expect("a NEVRA");
        after.packages[1].digest = Digest::of(b"other");
        after.packages.push(package("zstd-1-1.x86_64", of("gcc-14-1.x86_64", "zstd")));
        after.toolbox[0].nevra = "rpm-5-1.x86_64".parse().expect("a NEVRA");
        after.macros.insert("vendor".to_owned(), "ACME".to_owned());
        after.requires = vec!["make".parse().expect("a requirement")];
        after.snapshots[0].repomd = Digest::of(b"2");
        let told = difference(&lock(), &after).to_string();
        let lines: Vec<&str> = told.lines().collect();
        let snapshot = format!(
            "~ snapshot of base: '{}' -> '{}'",
            Digest::of(b"1").short(),
            Digest::of(b"2").short()
        );
        assert_eq!(
            lines,
            [
                "~ macro vendor: nothing -> 'ACME'",
                snapshot.as_str(),
                "~ no longer asked for: gcc",
                "~ asked for: make",
                "- bash-5-1.x86_64",
                "+ zstd-1-1.x86_64",
                "~ binutils-2-1.x86_64 -> 2-2",
                "~ gcc-14-1.x86_64 has other bytes",
                "~ rpm-4-1.x86_64 -> 5-1 (toolbox)",
            ]
        );
    }

    #[test]
    fn a_chain_leads_from_a_package_to_what_was_asked_for() {
        let chains = why(&lock(), "zlib");
        let told: Vec<String> = chains[0].iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "zlib-1-1.x86_64: binutils-2-1.x86_64 asks for 'libz.so.1()(64bit)'",
                "binutils-2-1.x86_64: gcc-14-1.x86_64 asks for 'binutils'",
                "gcc-14-1.x86_64: the package asks for 'gcc'",
            ]
        );
        assert_eq!(
            why(&lock(), "rpm")[0][0].to_string(),
            "rpm-4-1.x86_64: the toolbox asks for 'rpm'"
        );
        assert!(why(&lock(), "nothing").is_empty());
    }

    #[test]
    fn a_chain_in_circles_ends() {
        let mut lock = lock();
        lock.packages[1].why = of("zlib-1-1.x86_64", "zlib");
        assert_eq!(why(&lock, "zlib")[0].len(), 2);
    }
}
