use std::collections::BTreeSet;

use kiln_parse::rpmhead::Tags;

use crate::markup::{MarkupError, exact, push_text};

mod tag {
    pub(super) const OLD_FILENAMES: u32 = 1027;
    pub(super) const FILE_MODES: u32 = 1030;
    pub(super) const FILE_FLAGS: u32 = 1037;
    pub(super) const DIR_INDEXES: u32 = 1116;
    pub(super) const BASENAMES: u32 = 1117;
    pub(super) const DIRNAMES: u32 = 1118;
}

/// `RPMFILE_GHOST` of rpm's lib/rpmfiles.h.
const GHOST: u64 = 1 << 6;

/// The file type's bits of a mode, and a folder's (stat(2)).
const TYPE: u64 = 0o170_000;
const FOLDER: u64 = 0o040_000;

/// The files of a package, in its order.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<(String, Kind)>,
    paths: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain,
    Folder,
    Ghost,
}

impl Files {
    pub(super) fn of(main: &Tags<'_>) -> Result<Self, MarkupError> {
        let (modes, flags) = (main.numbers(tag::FILE_MODES), main.numbers(tag::FILE_FLAGS));
        let kind = |at: usize| {
            if modes.get(at).is_some_and(|mode| mode & TYPE == FOLDER) {
                Kind::Folder
            } else if flags.get(at).is_some_and(|flags| flags & GHOST != 0) {
                Kind::Ghost
            } else {
                Kind::Plain
            }
        };
        let files: Vec<(String, Kind)> =
            paths(main)?.into_iter().enumerate().map(|(at, path)| (path, kind(at))).collect();
        let paths = files.iter().map(|(path, _)| path.clone()).collect();
        Ok(Self { files, paths })
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    pub(super) fn all(&self) -> String {
        self.written(|_| true)
    }

    pub(super) fn primary(&self) -> String {
        self.written(is_primary)
    }

    fn written(&self, wanted: fn(&str) -> bool) -> String {
        let mut xml = String::new();
        for (path, kind) in self.files.iter().filter(|(path, _)| wanted(path)) {
            xml.push_str(match kind {
                Kind::Plain => "<file>",
                Kind::Folder => "<file type=\"dir\">",
                Kind::Ghost => "<file type=\"ghost\">",
            });
            push_text(&mut xml, path);
            xml.push_str("</file>");
        }
        xml
    }
}

/// The files that stand in primary metadata, so that most requirements for a path need no file
/// lists: by yum's old habit, which every reader counts on.
pub(super) fn is_primary(path: &str) -> bool {
    path.starts_with("/etc/") || path.contains("bin/") || path == "/usr/lib/sendmail"
}

fn paths(main: &Tags<'_>) -> Result<Vec<String>, MarkupError> {
    let names = main.texts(tag::BASENAMES);
    if names.is_empty() {
        let old = main.texts(tag::OLD_FILENAMES).into_iter();
        return old.map(|path| exact("file name", path).map(str::to_owned)).collect();
    }
    let folders = main.texts(tag::DIRNAMES);
    let indexes = main.numbers(tag::DIR_INDEXES);
    let path = |(at, name): (usize, &[u8])| {
        let index = indexes.get(at).and_then(|index| usize::try_from(*index).ok());
        let folder = index.and_then(|index| folders.get(index)).copied().unwrap_or_default();
        Ok([exact("folder's name", folder)?, exact("file name", name)?].concat())
    };
    names.into_iter().enumerate().map(path).collect()
}
