//! What files provide and require, in rpm's words.

use std::collections::BTreeSet;

use super::Dep;
use crate::scan::{Fact, Kind, Member};

/// The provides and requires of some files of a package.
#[derive(Debug, Default)]
pub(crate) struct Capabilities {
    pub(crate) provides: BTreeSet<Dep>,
    pub(crate) requires: BTreeSet<Dep>,
    /// Names that Python's distributions go by: `python3-yaml` is asked for as `python3-pyyaml`.
    pub(crate) python: BTreeSet<String>,
}

/// Puts together what the facts of some members say. `python` is Python's version.
pub(crate) fn gather(members: &[&Member], python: &str) -> Capabilities {
    let mut found = Capabilities::default();
    let facts: BTreeSet<&Fact> = members.iter().flat_map(|member| &member.facts).collect();
    for fact in &facts {
        match fact {
            Fact::Provides(name) => drop(found.provides.insert(Dep::any(name))),
            Fact::Requires(name) => drop(found.requires.insert(Dep::any(name))),
            Fact::PkgConfig(name, version) => {
                found.provides.insert(Dep::exact(format!("pkgconfig({name})"), version));
            }
            Fact::Perl(name, version) => {
                found.provides.insert(Dep::exact(format!("perl({name})"), version));
            }
            Fact::Python(name, version) => {
                for prefix in ["python3dist", &format!("python{python}dist")] {
                    found.provides.insert(Dep::exact(format!("{prefix}({name})"), version));
                }
                found.python.insert(format!("python3-{name}"));
            }
            Fact::Cmake(..) => {}
        }
    }
    found.provides.extend(cmake(&facts));
    found.provides.extend(linked_pkgconfig(members));
    found
}

/// A CMake package is one where there is a config file; the file beside it may tell its version.
fn cmake(facts: &BTreeSet<&Fact>) -> Vec<Dep> {
    let pairs = facts.iter().filter_map(|fact| match fact {
        Fact::Cmake(name, version) => Some((name, version)),
        _ => None,
    });
    let pairs: Vec<(&String, &String)> = pairs.collect();
    let mut provides = Vec::new();
    for (name, _) in pairs.iter().filter(|(_, version)| version.is_empty()) {
        let version = pairs.iter().find(|(other, version)| other == name && !version.is_empty());
        let version = version.map(|(_, version)| version.as_str()).unwrap_or_default();
        provides.push(Dep::exact(format!("cmake({name})"), version));
        let lower = name.to_lowercase();
        if lower != **name {
            provides.push(Dep::exact(format!("cmake({lower})"), version));
        }
    }
    provides
}

/// `libpng.pc` is a link to `libpng16.pc`, and provides as much.
fn linked_pkgconfig(members: &[&Member]) -> Vec<Dep> {
    let mut provides = Vec::new();
    for member in members {
        let Kind::Link(target) = &member.kind else { continue };
        let Some((folder, file)) = member.path.rsplit_once('/') else { continue };
        let (Some(name), true) = (file.strip_suffix(".pc"), folder.ends_with("/pkgconfig")) else {
            continue;
        };
        let target = target.rsplit('/').next().unwrap_or(target).trim_end_matches(".pc");
        let version = members.iter().flat_map(|other| &other.facts).find_map(|fact| match fact {
            Fact::PkgConfig(other, version) if other == target => Some(version.as_str()),
            _ => None,
        });
        provides.push(Dep::exact(format!("pkgconfig({name})"), version.unwrap_or_default()));
    }
    provides
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(path: &str, kind: Kind, facts: Vec<Fact>) -> Member {
        let (user, group) = ("root".to_owned(), "root".to_owned());
        Member { path: path.to_owned(), kind, mode: 0o644, user, group, mtime: 0, facts }
    }

    #[test]
    fn facts_become_capabilities() {
        let file = Kind::File { at: 0, size: 0 };
        let fact = |f: fn(String, String) -> Fact, a: &str, b: &str| f(a.to_owned(), b.to_owned());
        let members = [
            member(
                "/usr/lib/pkgconfig/png16.pc",
                file.clone(),
                vec![fact(Fact::PkgConfig, "png16", "1.6")],
            ),
            member("/usr/lib/pkgconfig/png.pc", Kind::Link("png16.pc".to_owned()), vec![]),
            member(
                "/a",
                file.clone(),
                vec![fact(Fact::Cmake, "Foo", ""), fact(Fact::Python, "six", "1.17")],
            ),
            member(
                "/b",
                file.clone(),
                vec![fact(Fact::Cmake, "Foo", "2"), fact(Fact::Cmake, "Bar", "3")],
            ),
            member(
                "/c",
                file,
                vec![fact(Fact::Perl, "A::B", ""), Fact::Requires("libz.so.1".into())],
            ),
        ];
        let found = gather(&members.iter().collect::<Vec<_>>(), "3.13");
        let provides: Vec<String> = found.provides.iter().map(Dep::to_string).collect();
        let expected = [
            "cmake(Foo) = 2",
            "cmake(foo) = 2",
            "perl(A::B)",
            "pkgconfig(png) = 1.6",
            "pkgconfig(png16) = 1.6",
            "python3.13dist(six) = 1.17",
            "python3dist(six) = 1.17",
        ];
        assert_eq!(provides, expected);
        assert_eq!(found.requires.len(), 1);
        assert!(found.python.contains("python3-six"));
    }
}
