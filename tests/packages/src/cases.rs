//! The packages: `packages.toml` says what each shows and gives, `sources.toml` what it is built
//! from, `specs/` how.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use kiln_kit::Skipped;
use serde::Deserialize;

use crate::place::own_folder;

/// A package, and what it should come to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What it shows that others don't.
    pub shows: String,
    /// The RPMs besides the source package, by name.
    pub rpms: BTreeSet<String>,
    /// Which of them are for every architecture.
    #[serde(default)]
    pub noarch: BTreeSet<String>,
    /// How many files of messages `%find_lang` should have found.
    #[serde(default)]
    pub languages: usize,
    /// Scriptlets and triggers, each as `RPM:kind`.
    #[serde(default)]
    pub scriptlets: BTreeSet<String>,
    /// What some RPM must provide, beyond its own name.
    #[serde(default)]
    pub provides: BTreeSet<String>,
    /// What must have been asked for at build time, by `%generate_buildrequires`.
    #[serde(default)]
    pub dynamic: BTreeSet<String>,
    /// Packages of this list that have to be built before, which the distribution lacks.
    #[serde(default)]
    pub after: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    package: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Sources {
    source: Vec<Source>,
}

#[derive(Debug, Deserialize)]
struct Source {
    file: String,
    #[serde(rename = "for")]
    packages: Vec<String>,
}

/// The packages of these names, in the order of the table; all where none is named.
pub fn read(names: &[String]) -> Result<Vec<Case>> {
    let path = own_folder().join("packages.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let Table { package: all } = toml::from_str(&text)?;
    for name in names {
        if !all.iter().any(|case| case.name == *name) {
            bail!("there is no package {name} in {}", path.display());
        }
    }
    let wanted = |case: &Case| names.is_empty() || names.contains(&case.name);
    Ok(all.into_iter().filter(wanted).collect())
}

impl Case {
    /// Its tarballs; what is missing where one is.
    pub fn sources(&self) -> Result<Vec<PathBuf>, Skipped> {
        let path = own_folder().join("sources.toml");
        let text = fs::read_to_string(&path).map_err(|error| Skipped(error.to_string()))?;
        let sources: Sources = toml::from_str(&text).map_err(|error| Skipped(error.to_string()))?;
        let own = sources.source.into_iter().filter(|one| one.packages.contains(&self.name));
        own.map(|source| {
            let path = kiln_kit::sources().join(&source.file);
            match path.exists() {
                true => Ok(path),
                false => Err(Skipped(format!(
                    "there is no {} ('scripts/fetch-sources {}' fetches it)",
                    path.display(),
                    self.name
                ))),
            }
        })
        .collect()
    }

    /// The spec, the patches and the tarballs, by their names; the spec changed by `change`.
    pub fn files(&self, change: impl Fn(&str) -> String) -> Result<Vec<(String, Vec<u8>)>> {
        let folder = own_folder().join("specs").join(&self.name);
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        paths.extend(self.sources().map_err(|Skipped(why)| anyhow::anyhow!(why))?);
        let read = |path: PathBuf| -> Result<(String, Vec<u8>)> {
            let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
            let bytes = fs::read(&path)?;
            let bytes = match name.ends_with(".spec") {
                true => change(&String::from_utf8(bytes)?).into_bytes(),
                false => bytes,
            };
            Ok((name, bytes))
        };
        paths.into_iter().map(read).collect()
    }

    /// The text of its spec.
    pub fn spec(&self) -> Result<String> {
        let path = own_folder().join("specs").join(&self.name).join(format!("{}.spec", self.name));
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spec_is_in_the_table_and_has_sources() {
        let folder = own_folder().join("specs");
        let specs: BTreeSet<String> = fs::read_dir(folder)
            .expect("specs")
            .map(|entry| entry.expect("one").file_name().to_string_lossy().into_owned())
            .collect();
        let cases = read(&[]).expect("a table");
        let named: BTreeSet<String> = cases.iter().map(|case| case.name.clone()).collect();
        assert_eq!(specs, named);
        assert!(cases.len() >= 25, "{} packages", cases.len());
        let text = fs::read_to_string(own_folder().join("sources.toml")).expect("a table");
        let sources: Sources = toml::from_str(&text).expect("sources");
        for case in cases {
            let has = sources.source.iter().any(|source| source.packages.contains(&case.name));
            assert!(has, "{} has no sources", case.name);
        }
    }
}
