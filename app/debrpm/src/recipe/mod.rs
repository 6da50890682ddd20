//! The checked plan of every RPM: what will be in it, down to the last link, before any is made.

pub(crate) mod alternatives;
pub(crate) mod check;
pub(crate) mod decide;
pub(crate) mod facts;
pub(crate) mod files;
pub(crate) mod names;
pub(crate) mod paths;
pub(crate) mod relations;

use std::fmt;

use kiln_model::Digest;
use serde::Serialize;

/// The version of what writing a recipe gives: goes up when the same recipe gives other bytes.
const WRITER_VERSION: u32 = 1;

/// One RPM, decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Recipe {
    pub(crate) name: String,
    pub(crate) evr: Evr,
    /// rpm's word, or `noarch`.
    pub(crate) arch: String,
    pub(crate) summary: String,
    pub(crate) description: String,
    pub(crate) license: String,
    pub(crate) url: String,
    pub(crate) group: String,
    pub(crate) provides: Vec<Dep>,
    pub(crate) requires: Vec<Dep>,
    pub(crate) conflicts: Vec<Dep>,
    /// By path.
    pub(crate) entries: Vec<Entry>,
    pub(crate) scripts: Vec<Script>,
    /// Seconds since 1970: the newest file's time, which is the package's own.
    pub(crate) date: u32,
    /// The Debian package that the files come from; none for one of our own.
    pub(crate) deb: Option<Deb>,
    /// What else the bytes depend on: the policy's text where it changes files.
    pub(crate) policy: Option<Digest>,
}

/// Where a recipe's files come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Deb {
    pub(crate) name: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Epoch, version and release. An epoch of 0 is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Evr {
    pub(crate) epoch: u32,
    pub(crate) version: String,
    /// Empty in a requirement of any release.
    pub(crate) release: String,
}

impl fmt::Display for Evr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.epoch != 0 {
            write!(f, "{}:", self.epoch)?;
        }
        f.write_str(&self.version)?;
        if !self.release.is_empty() {
            write!(f, "-{}", self.release)?;
        }
        Ok(())
    }
}

/// Something provided, required or in conflict.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Dep {
    /// A name, a path or a capability; a whole rich dependency, in its parentheses.
    pub(crate) name: String,
    /// `<`, `<=`, `=`, `>=` or `>` with a version.
    pub(crate) bound: Option<(&'static str, String)>,
    /// Whether it must be there before the package's files are.
    pub(crate) first: bool,
}

impl Dep {
    /// Any version.
    pub(crate) fn any(name: impl Into<String>) -> Self {
        Self { name: name.into(), bound: None, first: false }
    }

    /// Exactly this version; any, where it is empty.
    pub(crate) fn exact(name: impl Into<String>, version: &str) -> Self {
        let bound = (!version.is_empty()).then(|| ("=", version.to_owned()));
        Self { bound, ..Self::any(name) }
    }

    /// Reads what a data file says: `name`, or `name >= 1`.
    pub(crate) fn parse(text: &str) -> Self {
        if text.starts_with('(') {
            return Self::any(text);
        }
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let operator = words.next().unwrap_or_default();
        let operator = ["<", "<=", "=", ">=", ">"].into_iter().find(|known| *known == operator);
        let bound = operator.zip(words.next().map(str::to_owned));
        Self { bound, ..Self::any(name) }
    }
}

impl fmt::Display for Dep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bound {
            None => f.write_str(&self.name),
            Some((operator, version)) => write!(f, "{} {operator} {version}", self.name),
        }
    }
}

/// One file, folder or link of an RPM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) mode: u16,
    pub(crate) user: String,
    pub(crate) group: String,
    pub(crate) mtime: u32,
    pub(crate) what: What,
    pub(crate) mark: Mark,
}

/// What rpm is told about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Mark {
    Plain,
    /// `%config(noreplace)`
    Config,
    /// `%license`
    License,
}

/// Where an entry's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum What {
    Folder,
    /// A symbolic link's target.
    Link(String),
    /// A part of the Debian package's data archive.
    Slice {
        at: u64,
        size: u64,
        change: Change,
        hard: Option<String>,
    },
    /// Parts of the Debian package's data archive, one after the other: where, and how long.
    Joined(Vec<(u64, u64)>),
    /// Text of our own.
    Text(String),
}

/// What becomes of a file's bytes on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum Change {
    None,
    /// Debian's folder of libraries is written as rpm's.
    Relocate,
    /// As the policy says of the file that Debian has at this path.
    Edit(String),
}

/// Something that rpm runs when packages come or go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum Script {
    /// Once at the end of a transaction that brings or removes files.
    TransFileTrigger(Trigger),
}

/// A shell script, and the beginning of the paths that call for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trigger {
    pub(crate) paths: String,
    pub(crate) script: String,
}

impl Recipe {
    /// The name of the RPM's file.
    pub(crate) fn file_name(&self) -> String {
        let Evr { version, release, .. } = &self.evr;
        format!("{}-{version}-{release}.{}.rpm", self.name, self.arch)
    }

    /// The digest of all that decides the RPM's bytes.
    pub(crate) fn digest(&self) -> Digest {
        let text = serde_json::to_vec(&(WRITER_VERSION, self)).expect("a recipe is plain data");
        Digest::of(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_read_as_they_are_written() {
        for text in ["zlib", "zlib >= 1:1.2-3", "(a or b)", "libz.so.1()(64bit)", "/bin/sh"] {
            assert_eq!(Dep::parse(text).to_string(), text);
        }
        assert_eq!(Dep::exact("x", "").to_string(), "x");
    }
}
