//! What is left out, moved, linked or changed: `data/policy.toml`, read once and checked.

use std::collections::{BTreeMap, BTreeSet};

use regex::bytes::Regex as BytesRegex;
use regex::{Regex, RegexSet};
use serde::Deserialize;

use crate::arch::Arch;
use crate::error::DebrpmError;
use crate::plan::Package;

/// The policy as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    cut: BTreeSet<String>,
    avoid: BTreeSet<String>,
    drop: Vec<String>,
    keep: Vec<String>,
    relocate: Vec<String>,
    /// What Debian only recommends and RPM distributions require.
    requires: BTreeMap<String, BTreeSet<String>>,
    prefer: BTreeMap<String, String>,
    /// Links to their targets, decided whatever the packages ask for.
    pub(crate) alternatives: BTreeMap<String, String>,
    #[serde(rename = "link")]
    links: Vec<AddedLink>,
    #[serde(rename = "join")]
    joins: Vec<Join>,
    #[serde(rename = "without")]
    withouts: Vec<Without>,
    #[serde(rename = "edit")]
    edits: Vec<Edit>,
    /// Packages that become several.
    #[serde(rename = "split")]
    splits: Vec<Split>,
}

/// A link that no Debian package has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddedLink {
    package: String,
    pub(crate) path: String,
    pub(crate) target: String,
}

/// A file that is put together from others.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    package: String,
    path: String,
    from: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Without {
    package: String,
    path: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    #[serde(rename = "why")]
    _why: String,
    package: String,
    path: String,
    changes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    find: String,
    put: String,
    #[serde(default)]
    first: bool,
}

/// A part of a Debian package that becomes an RPM of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Split {
    package: String,
    pub(crate) into: String,
    pub(crate) summary: String,
    paths: Vec<String>,
}

impl Policy {
    /// Reads the policy that comes with kiln.
    pub(crate) fn built_in() -> Result<Self, DebrpmError> {
        toml::from_str(include_str!("../data/policy.toml")).map_err(|error| DebrpmError::Policy {
            subject: "data/policy.toml".to_owned(),
            why: error.to_string(),
        })
    }

    /// Whether dependencies on `name` are not followed.
    pub(crate) fn cuts(&self, name: &str) -> bool {
        self.cut.contains(name)
    }

    /// Whether the package is not to be chosen where something else would do.
    pub(crate) fn avoids(&self, package: &str) -> bool {
        self.avoid.contains(package)
    }

    /// Makes dependencies of what Debian only recommends, where the suite has it.
    pub(crate) fn complete(&self, mut packages: Vec<Package>) -> Vec<Package> {
        let there: BTreeSet<String> = packages.iter().map(|package| package.name.clone()).collect();
        for package in &mut packages {
            let more = self.requires.get(&package.name).into_iter().flatten();
            for name in more.filter(|name| there.contains(*name)) {
                if !package.depends.is_empty() {
                    package.depends.push_str(", ");
                }
                package.depends.push_str(name);
            }
        }
        packages
    }

    /// The package to take for a name, where several would do.
    pub(crate) fn preferred(&self, name: &str) -> Option<&str> {
        self.prefer.get(name).map(String::as_str)
    }

    /// The policy for one architecture and one version of Python, with its expressions compiled.
    pub(crate) fn rules(&self, arch: Arch, python: &str) -> Result<Rules<'_>, DebrpmError> {
        let fill = Fill { arch, python };
        let edits = self
            .edits
            .iter()
            .map(|edit| Ok((fill.regex(&edit.package)?, FileEdit::new(edit, &fill)?)))
            .collect::<Result<_, DebrpmError>>()?;
        let withouts = self
            .withouts
            .iter()
            .map(|without| Ok((without.package.as_str(), fill.regex(&without.path)?)))
            .collect::<Result<_, DebrpmError>>()?;
        let joins = self
            .joins
            .iter()
            .map(|join| Ok((join, fill.regex(&join.from)?)))
            .collect::<Result<_, DebrpmError>>()?;
        let splits = self
            .splits
            .iter()
            .map(|split| Ok((split, fill.set(&split.paths)?)))
            .collect::<Result<_, DebrpmError>>()?;
        Ok(Rules {
            drop: fill.set(&self.drop)?,
            keep: fill.set(&self.keep)?,
            relocate: fill.set(&self.relocate)?,
            links: &self.links,
            joins,
            withouts,
            edits,
            splits,
        })
    }
}

/// What stands for the variables in the policy's expressions.
struct Fill<'a> {
    arch: Arch,
    python: &'a str,
}

impl Fill<'_> {
    fn text(&self, text: &str) -> String {
        text.replace("{triplet}", self.arch.triplet)
            .replace("{arch}", self.arch.rpm)
            .replace("{lib}", crate::recipe::paths::LIB)
            .replace("{python}", self.python)
    }

    fn regex(&self, text: &str) -> Result<Regex, DebrpmError> {
        Regex::new(&self.text(text)).map_err(|error| broken(text, &error))
    }

    fn set(&self, texts: &[String]) -> Result<RegexSet, DebrpmError> {
        let filled = texts.iter().map(|text| self.text(text));
        RegexSet::new(filled).map_err(|error| broken(&texts.join(" "), &error))
    }
}

fn broken(text: &str, error: &regex::Error) -> DebrpmError {
    DebrpmError::Policy { subject: text.to_owned(), why: error.to_string() }
}

/// The policy, compiled.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    drop: RegexSet,
    keep: RegexSet,
    relocate: RegexSet,
    links: &'a [AddedLink],
    joins: Vec<(&'a Join, Regex)>,
    withouts: Vec<(&'a str, Regex)>,
    edits: Vec<(Regex, FileEdit)>,
    splits: Vec<(&'a Split, RegexSet)>,
}

impl Rules<'_> {
    /// What the policy says about the files of one Debian package.
    pub(crate) fn of(&self, package: &str) -> FilePolicy<'_> {
        let withouts = self.withouts.iter().filter(|(name, _)| *name == package);
        let edits = self.edits.iter().filter(|(name, _)| name.is_match(package));
        FilePolicy {
            rules: self,
            links: self.links.iter().filter(|link| link.package == package).collect(),
            joins: self.joins.iter().filter(|(join, _)| join.package == package).collect(),
            withouts: withouts.map(|(_, path)| path).collect(),
            edits: edits.map(|(_, edit)| edit).collect(),
            splits: self.splits.iter().filter(|(split, _)| split.package == package).collect(),
        }
    }
}

/// What the policy says about the files of one package.
#[derive(Debug)]
pub(crate) struct FilePolicy<'a> {
    rules: &'a Rules<'a>,
    /// Links to add.
    pub(crate) links: Vec<&'a AddedLink>,
    joins: Vec<&'a (&'a Join, Regex)>,
    withouts: Vec<&'a Regex>,
    edits: Vec<&'a FileEdit>,
    splits: Vec<&'a (&'a Split, RegexSet)>,
}

#[derive(Debug)]
struct FileEdit {
    path: Regex,
    changes: Vec<(BytesRegex, String, bool)>,
}

impl FileEdit {
    fn new(edit: &Edit, fill: &Fill<'_>) -> Result<Self, DebrpmError> {
        let changes = edit
            .changes
            .iter()
            .map(|change| {
                let find = fill.text(&change.find);
                let find = BytesRegex::new(&find).map_err(|error| broken(&change.find, &error))?;
                Ok((find, fill.text(&change.put), change.first))
            })
            .collect::<Result<_, DebrpmError>>()?;
        Ok(Self { path: fill.regex(&edit.path)?, changes })
    }
}

impl<'a> FilePolicy<'a> {
    /// Whether the file at `path` (where Debian has it) is left out.
    pub(crate) fn drops(&self, path: &str) -> bool {
        let dropped = self.rules.drop.is_match(path)
            || self.withouts.iter().any(|expression| expression.is_match(path));
        dropped && !self.rules.keep.is_match(path)
    }

    /// Whether Debian's folder of libraries is written as rpm's in the file at `path`.
    pub(crate) fn relocates(&self, path: &str) -> bool {
        self.rules.relocate.is_match(path)
    }

    /// Whether the text of the file at `path` is changed.
    pub(crate) fn edits(&self, path: &str) -> bool {
        self.edits.iter().any(|edit| edit.path.is_match(path))
    }

    /// Changes the text of the file at `path`. Fails where a change finds nothing to change.
    pub(crate) fn edit(&self, path: &str, mut text: Vec<u8>) -> Result<Vec<u8>, DebrpmError> {
        for edit in self.edits.iter().filter(|edit| edit.path.is_match(path)) {
            for (find, put, first) in &edit.changes {
                if !find.is_match(&text) {
                    let why = format!("nothing in {path} matches {find}");
                    return Err(DebrpmError::Policy { subject: path.to_owned(), why });
                }
                let limit = usize::from(*first);
                text = find.replacen(&text, limit, put.as_bytes()).into_owned();
            }
        }
        Ok(text)
    }

    /// Files to put together: the path of each, and what tells which files it is made from.
    pub(crate) fn joins(&self) -> impl Iterator<Item = (&'a str, &'a Regex)> {
        self.joins.iter().map(|(join, from)| (join.path.as_str(), from))
    }

    /// The part of the package that the file at `path` goes to; none: the main one.
    pub(crate) fn part(&self, path: &str) -> Option<&'a Split> {
        self.splits.iter().find(|(_, paths)| paths.is_match(path)).map(|(split, _)| *split)
    }

    /// Whether the package becomes several.
    pub(crate) fn is_split(&self) -> bool {
        !self.splits.is_empty()
    }

    /// The parts that it becomes besides the main one.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'a Split> {
        self.splits.iter().map(|(split, _)| *split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::package;

    #[test]
    fn a_compiler_draws_in_what_it_links_with_where_the_suite_has_it() {
        let policy = Policy::built_in().expect("a policy");
        let suite = |names: &[&str]| {
            let read = |name: &&str| package(&format!("Package: {name}\nVersion: 1\nDepends: x\n"));
            policy.complete(names.iter().map(read).collect())
        };
        assert_eq!(suite(&["gcc", "libc6-dev"])[0].depends, "x, libc6-dev");
        assert_eq!(suite(&["gcc", "other"])[0].depends, "x");
    }

    #[test]
    fn the_built_in_policy_compiles_and_drops_what_no_build_reads() {
        let policy = Policy::built_in().expect("a policy");
        let rules = policy.rules(Arch::find("x86_64").expect("known"), "3.13").expect("rules");
        let table = [
            ("/usr/share/man/man1/ls.1.gz", true),
            ("/usr/share/doc/bash", false),
            ("/usr/share/doc/bash/copyright", false),
            ("/usr/share/doc/bash/README", true),
            ("/usr/share/locale/de/LC_MESSAGES/a.mo", true),
            ("/usr/share/locale/locale.alias", false),
            ("/usr/lib/locale/C.utf8/LC_CTYPE", false),
            ("/usr/share/aclocal/gettext.m4", false),
            ("/usr/lib/rpm/platform/x86_64-linux/macros", false),
            ("/usr/lib/rpm/platform/s390x-linux/macros", true),
            ("/usr/lib/gcc/x86_64-linux-gnu/14/libgomp.spec", false),
            ("/usr/lib/gcc/x86_64-linux-gnu/14/libgomp.a", false),
            ("/usr/lib/gcc/x86_64-linux-gnu/14/libgo.a", true),
            ("/usr/lib/gcc/x86_64-linux-gnu/14/libgolibbegin.a", true),
        ];
        for (path, dropped) in table {
            assert_eq!(rules.of("bash").drops(path), dropped, "{path}");
        }
        assert!(rules.of("dash").drops("/usr/bin/sh") && !rules.of("bash").drops("/usr/bin/sh"));
    }

    #[test]
    fn pythons_schemes_become_rpms() {
        let policy = Policy::built_in().expect("a policy");
        let rules = policy.rules(Arch::find("x86_64").expect("known"), "3.13").expect("rules");
        let text = "_INSTALL_SCHEMES = {\n    'posix_prefix': {\n        'platlib': '{platbase}/{platlibdir}/x/site-packages',\n        },\n    'deb_system': {\n        'purelib': '{base}/lib/python3/dist-packages',\n        },\n    'posix_local': {\n        'a': 'b',\n        },\n    'venv': {\n        'platlib': '{platbase}/{platlibdir}/x/site-packages',\n        },\n}\n    for scheme in ('posix_prefix', 'posix_home', 'posix_local', 'deb_system'):\n            prefix_scheme = 'deb_system'\n        else:\n            prefix_scheme = 'posix_local'\n";
        let files = rules.of("libpython3.13-minimal");
        let path = "/usr/lib/python3.13/sysconfig/__init__.py";
        assert!(files.edits(path) && !rules.of("other").edits(path));
        let edited = files.edit(path, text.as_bytes().to_vec()).expect("edited");
        let edited = String::from_utf8(edited).expect("text");
        assert!(!edited.contains("deb_system") && !edited.contains("posix_local"), "{edited}");
        assert!(edited.contains("'platlib': '{platbase}/lib64/x/site-packages'"), "{edited}");
        assert!(edited.contains("'platlib': '{platbase}/{platlibdir}/x"), "{edited}");
        assert!(files.edit(path, b"other".to_vec()).is_err());
    }
}
