use std::ops::Range;

use crate::checksum::Checksum;
use crate::need::Compare;

/// What a package says of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What it gives.
    Provides,
    /// What it asks for.
    Requires,
    /// What cannot be there with it.
    Conflicts,
    /// What it takes the place of.
    Obsoletes,
    /// What it would like to be there.
    Recommends,
    /// What it would like less.
    Suggests,
    /// What would like it to be there.
    Supplements,
    /// What would like it less.
    Enhances,
}

impl Kind {
    /// Whether it only says what somebody would like. A buildroot has what is required and
    /// nothing else; but where a requirement leaves a choice, it is what dnf chooses by.
    pub fn is_weak(self) -> bool {
        match self {
            Self::Provides | Self::Requires | Self::Conflicts | Self::Obsoletes => false,
            Self::Recommends | Self::Suggests | Self::Supplements | Self::Enhances => true,
        }
    }
}

/// One package, binary and installable, with its parts checked as far as they are used: name,
/// version and architecture make a [`kiln_model::Nevra`], the location stays inside the
/// repository.
///
/// All its text lies in one buffer that the next package uses again.
#[derive(Debug, Default)]
pub struct Package {
    pub(super) text: String,
    pub(super) name: Range<usize>,
    pub(super) arch: Range<usize>,
    pub(super) epoch: u32,
    pub(super) version: Range<usize>,
    pub(super) release: Range<usize>,
    pub(super) location: Range<usize>,
    pub(super) source: Range<usize>,
    pub(super) checksum: Option<Checksum>,
    pub(super) size: u64,
    pub(super) entries: Vec<Entry>,
    pub(super) files: Vec<Range<usize>>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: Range<usize>,
    pub(super) compare: Option<Compare>,
    pub(super) version: Range<usize>,
    pub(super) early: bool,
}

/// One entry of a package: a name, perhaps with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency<'a> {
    /// What the package says with it.
    pub kind: Kind,
    /// The name, the path, or the text of a rich dependency.
    pub name: &'a str,
    /// Which versions: `[epoch:]version[-release]`, no epoch where it is 0.
    pub version: Option<(Compare, &'a str)>,
    /// Whether it must be there before the package is installed (`pre="1"`).
    pub early: bool,
}

impl Package {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.text[self.name.clone()]
    }

    /// Its architecture.
    pub fn arch(&self) -> &str {
        &self.text[self.arch.clone()]
    }

    /// `[epoch:]version-release`, no epoch where it is 0.
    pub fn evr(&self) -> String {
        let (version, release) =
            (&self.text[self.version.clone()], &self.text[self.release.clone()]);
        match self.epoch {
            0 => format!("{version}-{release}"),
            epoch => format!("{epoch}:{version}-{release}"),
        }
    }

    /// Where its file is, relative to the repository's base.
    pub fn location(&self) -> &str {
        &self.text[self.location.clone()]
    }

    /// The file name of the source package that it was built from; empty where it isn't told.
    pub fn source(&self) -> &str {
        &self.text[self.source.clone()]
    }

    /// The digest of its file.
    pub fn checksum(&self) -> &Checksum {
        self.checksum.as_ref().expect("a package without one is not handed on")
    }

    /// The size of its file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What it says of others, in the order in which it stands there.
    pub fn dependencies(&self) -> impl Iterator<Item = Dependency<'_>> {
        self.entries.iter().map(|entry| Dependency {
            kind: entry.kind,
            name: &self.text[entry.name.clone()],
            version: entry.compare.map(|compare| (compare, &self.text[entry.version.clone()])),
            early: entry.early,
        })
    }

    /// Those of its files and folders that primary metadata list: by createrepo_c's habit what
    /// lies in `/etc/` or in a folder whose name ends in `bin`, and `/usr/lib/sendmail`.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| &self.text[file.clone()])
    }

    pub(super) fn clear(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        let mut entries = std::mem::take(&mut self.entries);
        let mut files = std::mem::take(&mut self.files);
        text.clear();
        entries.clear();
        files.clear();
        *self = Self { text, entries, files, ..Self::default() };
    }

    /// Keeps `text` and says where.
    pub(super) fn keep(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    pub(super) fn slice(&self, range: &Range<usize>) -> &str {
        &self.text[range.clone()]
    }
}
