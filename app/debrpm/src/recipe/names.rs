//! What packages are called in RPM's world: `data/names.toml`, and rules for the rest.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;

use super::Trigger;
use crate::error::DebrpmError;

/// The table of names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Names {
    /// Debian's name to the RPM's, then further names that it provides. `*` stands for a number.
    names: BTreeMap<String, Vec<String>>,
    /// The entries with a number in them, as expressions.
    #[serde(skip)]
    numbered: Vec<(Regex, Vec<String>)>,
    /// The RPM's name to what it requires besides; a `?` at the end: if it is there.
    requires: BTreeMap<String, Vec<String>>,
    /// The RPM's name to what it provides besides; `{version}` and `{evr}` are its own.
    provides: BTreeMap<String, Vec<String>>,
    /// Epochs that packages have in RPM's world and that public specs ask for.
    epochs: BTreeMap<String, u32>,
    /// The RPM's name to what it does at the end of a transaction.
    triggers: BTreeMap<String, Trigger>,
    /// RPM names of packages whose programs were in `/bin` and `/sbin` once.
    rooted: Vec<String>,
}

impl Names {
    /// Reads the table that comes with kiln.
    pub(crate) fn built_in() -> Result<Self, DebrpmError> {
        let broken = |why: String| DebrpmError::Policy { subject: "data/names.toml".into(), why };
        let mut names: Self = toml::from_str(include_str!("../../data/names.toml"))
            .map_err(|error| broken(error.to_string()))?;
        let table = std::mem::take(&mut names.names);
        for (debian, rpm) in table {
            if debian.contains('*') {
                let expression = regex::escape(&debian).replace(r"\*", r"([0-9][0-9.]*)");
                let expression = Regex::new(&format!("^{expression}$"))
                    .map_err(|error| broken(error.to_string()))?;
                names.numbered.push((expression, rpm));
            } else {
                names.names.insert(debian, rpm);
            }
        }
        Ok(names)
    }

    /// What the table says of a Debian package.
    fn entry(&self, debian: &str) -> Option<Vec<String>> {
        let plain = debian.strip_suffix("t64").unwrap_or(debian);
        let exact = self.names.get(debian).or_else(|| self.names.get(plain));
        exact.cloned().or_else(|| {
            self.numbered.iter().find_map(|(expression, rpm)| {
                let number = expression.captures(plain)?.get(1)?.as_str().to_owned();
                Some(rpm.iter().map(|name| name.replace('$', &number)).collect())
            })
        })
    }

    /// The RPM's name of the Debian package `debian`; `modules` knows Perl's modules.
    pub(crate) fn rpm_name(&self, debian: &str, modules: &Modules) -> String {
        if let Some(name) = self.entry(debian).and_then(|names| names.into_iter().next()) {
            return name;
        }
        if let Some(name) = modules.package(debian) {
            return name;
        }
        match debian.strip_suffix("-dev") {
            Some(stem) => format!("{stem}-devel"),
            None => debian.to_owned(),
        }
    }

    /// Further names that the package provides with its own version: the Debian one, those of the
    /// table, and `foo-devel` for `libfoo-devel`.
    pub(crate) fn aliases(&self, debian: &str, rpm: &str) -> Vec<String> {
        let mut aliases = vec![debian.to_owned()];
        match self.entry(debian) {
            Some(names) => aliases.extend(names.into_iter().skip(1)),
            None => {
                let stem = rpm.strip_prefix("lib").filter(|stem| stem.ends_with("-devel"));
                aliases.extend(stem.map(str::to_owned));
                aliases.extend(without_number(rpm));
            }
        }
        aliases.retain(|alias| alias != rpm);
        aliases.sort();
        aliases.dedup();
        aliases
    }

    /// What the RPM called `rpm` requires besides.
    pub(crate) fn requires(&self, rpm: &str) -> &[String] {
        self.requires.get(rpm).map(Vec::as_slice).unwrap_or_default()
    }

    /// What it provides besides.
    pub(crate) fn provides(&self, rpm: &str) -> &[String] {
        self.provides.get(rpm).map(Vec::as_slice).unwrap_or_default()
    }

    /// Its epoch.
    pub(crate) fn epoch(&self, rpm: &str) -> u32 {
        self.epochs.get(rpm).copied().unwrap_or(0)
    }

    /// What it does at the end of a transaction.
    pub(crate) fn triggers(&self, rpm: &str) -> Option<&Trigger> {
        self.triggers.get(rpm)
    }

    /// Whether its programs are asked for as `/bin/…` and `/sbin/…`.
    pub(crate) fn is_rooted(&self, rpm: &str) -> bool {
        self.rooted.iter().any(|name| name == rpm)
    }
}

/// `libfoo2.0-devel` is asked for as `libfoo-devel`, too.
fn without_number(rpm: &str) -> Option<String> {
    let stem = rpm.strip_suffix("-devel")?;
    let plain = stem.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    (plain.len() > 3 && plain != stem).then(|| format!("{plain}-devel"))
}

/// Perl's modules by their names in Debian's spelling: `foo-bar` for `Foo::Bar`.
#[derive(Debug, Default)]
pub(crate) struct Modules(BTreeMap<String, String>);

impl Modules {
    /// Takes note of a module.
    pub(crate) fn insert(&mut self, module: &str) {
        self.0
            .entry(module.to_ascii_lowercase().replace("::", "-"))
            .or_insert_with(|| module.replace("::", "-"));
    }

    /// The RPM's name for `libfoo-bar-perl`: `perl-Foo-Bar`.
    pub(crate) fn package(&self, debian: &str) -> Option<String> {
        let stem = debian.strip_prefix("lib")?.strip_suffix("-perl")?;
        self.0.get(stem).map(|name| format!("perl-{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::built_in().expect("a table")
    }

    #[test]
    fn the_table_comes_first_then_perls_modules_then_the_rule() {
        let mut modules = Modules::default();
        modules.insert("Foo::Bar");
        let table = [
            ("zlib1g-dev", "zlib-devel"),
            ("g++", "gcc-c++"),
            ("libssl3t64", "openssl-libs"),
            ("libicu76", "libicu"),
            ("libpython3.13-dev", "libpython3.13-devel"),
            ("librpmbuild10", "rpm-build-libs"),
            ("libfoo-bar-perl", "perl-Foo-Bar"),
            ("libunknown-perl", "libunknown-perl"),
            ("libsomething-dev", "libsomething-devel"),
            ("hello", "hello"),
        ];
        for (debian, rpm) in table {
            assert_eq!(names().rpm_name(debian, &modules), rpm);
        }
    }

    #[test]
    fn the_debian_name_and_shorter_ones_are_provided() {
        let aliases = names().aliases("libsomething2-dev", "libsomething2-devel");
        assert_eq!(aliases, ["libsomething-devel", "libsomething2-dev", "something2-devel"]);
        assert!(names().aliases("zlib1g-dev", "zlib-devel").contains(&"zlib1g-dev".to_owned()));
    }

    #[test]
    fn no_two_debian_packages_get_the_same_name_from_the_table() {
        let mut seen = BTreeMap::new();
        // Suites have one or the other of these.
        let either = ["openldap", "c-ares", "snappy"];
        for (debian, names) in &names().names {
            let name = names.first().expect("a name").as_str();
            let before = seen.insert(name.to_owned(), debian.clone());
            assert!(before.is_none() || either.contains(&name), "{name}: {before:?}, {debian}");
        }
    }
}
