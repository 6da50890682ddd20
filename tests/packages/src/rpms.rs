//! What RPM files say of themselves, read by a crate that is not kiln's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rpm::{IndexTag, PackageMetadata};
use sha2::{Digest as _, Sha256};

/// An RPM's header.
pub struct Rpm(PackageMetadata);

impl Rpm {
    /// Reads one.
    pub fn open(path: &Path) -> Result<Self> {
        let read = PackageMetadata::open(path);
        Ok(Self(read.with_context(|| format!("reading {}", path.display()))?))
    }

    /// Its name.
    pub fn name(&self) -> Result<&str> {
        Ok(self.0.get_name()?)
    }

    /// Its architecture.
    pub fn arch(&self) -> Result<&str> {
        Ok(self.0.get_arch()?)
    }

    /// Whether it is a source package.
    pub fn is_source(&self) -> bool {
        self.0.is_source_package()
    }

    /// What it provides, by name.
    pub fn provides(&self) -> Result<BTreeSet<String>> {
        Ok(self.0.get_provides()?.into_iter().map(|one| one.name).collect())
    }

    /// Its files, each with what is said of its content.
    pub fn files(&self) -> Result<BTreeMap<String, String>> {
        let entries = self.0.get_file_entries()?;
        let digest = |entry: &rpm::FileEntry<'_>| {
            entry.digest().map(|digest| format!("{digest:?}")).unwrap_or_default()
        };
        Ok(entries.iter().map(|one| (one.path().display().to_string(), digest(one))).collect())
    }

    /// How many files are messages of one language.
    pub fn languages(&self) -> Result<usize> {
        let entries = self.0.get_file_entries()?;
        let of_one =
            |entry: &&rpm::FileEntry<'_>| entry.language().is_some_and(|one| !one.is_empty());
        Ok(entries.iter().filter(of_one).count())
    }

    /// Its scriptlets and triggers, by what specs call them.
    pub fn scriptlets(&self) -> BTreeSet<String> {
        let known = [
            (IndexTag::RPMTAG_PREIN, "pre"),
            (IndexTag::RPMTAG_POSTIN, "post"),
            (IndexTag::RPMTAG_PREUN, "preun"),
            (IndexTag::RPMTAG_POSTUN, "postun"),
            (IndexTag::RPMTAG_TRIGGERNAME, "trigger"),
        ];
        let there = known.iter().filter(|(tag, _)| self.0.header.entry_is_present(*tag));
        there.map(|(_, name)| (*name).to_owned()).collect()
    }

    /// Every tag of the header with its value in words, to compare two of them.
    fn tags(&self) -> BTreeMap<String, String> {
        let text = format!("{:#?}", self.0.header);
        let mut tags = BTreeMap::new();
        let mut last = String::new();
        for line in text.lines() {
            if let Some((_, tag)) = line.trim().split_once("tag: ") {
                last = tag.trim_end_matches(',').to_owned();
            }
            let value: &mut String = tags.entry(last.clone()).or_default();
            value.push_str(line);
        }
        tags
    }
}

/// The SHA-256 of a file, in hex.
pub fn digest(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// In what two RPMs of one name differ: their files, else their tags, else no more than bytes.
pub fn difference(one: &Path, other: &Path) -> Result<String> {
    let (one, other) = (Rpm::open(one)?, Rpm::open(other)?);
    let (files, others) = (one.files()?, other.files()?);
    let paths: BTreeSet<&String> = files.keys().chain(others.keys()).collect();
    let differing: Vec<&str> = paths
        .into_iter()
        .filter(|path| files.get(*path) != others.get(*path))
        .map(String::as_str)
        .collect();
    if !differing.is_empty() {
        let first = differing.iter().take(3).copied().collect::<Vec<_>>().join(", ");
        return Ok(format!("{} files: {first}", differing.len()));
    }
    let (tags, others) = (one.tags(), other.tags());
    let differing: Vec<&str> = tags
        .iter()
        .filter(|(tag, value)| others.get(*tag) != Some(value))
        .map(|(tag, _)| tag.as_str())
        .collect();
    Ok(match differing.is_empty() {
        true => "the same files and tags in other bytes".to_owned(),
        false => format!("tags: {}", differing.join(", ")),
    })
}
