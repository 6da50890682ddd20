//! `filelists.xml` of rpm-md: which package has a file.
//!
//! The largest of the metadata (several hundred megabytes unpacked), and needed only for a few
//! paths, so it is searched as text and never parsed as a whole: the paths are looked for with
//! one automaton, and only around a hit is anything read. The format is what createrepo_c writes
//! (`src/xml_dump_filelists.c`): `<package pkgid="…" name="…" arch="…">`, then one
//! `<file>/path</file>` each. A repository that writes it in another way is not found in; one
//! that lies does so about its own packages.

use std::io::{self, Read};

use aho_corasick::{AhoCorasick, BuildError, MatchKind};
use kiln_model::Foreign;
use memchr::memmem;

/// What is read at a time, in bytes.
const CHUNK: usize = 1 << 20;
/// The most bytes of one package's list. The largest public one has about 20 MB.
const PACKAGE_CAP: usize = 256 << 20;
/// The most owners that are told of all paths together.
pub const OWNERS_CAP: usize = 20_000;
/// The longest path that is found, in bytes as it is written.
const PATH_CAP: usize = 64 << 10;
/// The most paths that one search takes.
pub const WANTED_CAP: usize = 10_000;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Exactly this path.
    Path(String),
    /// Every path that ends so; `/zlib.h` finds `/usr/include/zlib.h`.
    End(String),
}

/// A package that has a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Which of the wanted, by its place in the list.
    pub wanted: usize,
    /// The package's digest, as primary metadata say it.
    pub pkgid: String,
    /// The whole path.
    pub path: String,
}

/// Why file lists could not be searched.
#[derive(Debug, thiserror::Error)]
pub enum FilelistsError {
    /// They could not be read or unpacked.
    #[error("reading the file lists")]
    Io(#[from] io::Error),
    /// One package's list is larger than any honest one.
    #[error("a package with a file list of over {PACKAGE_CAP} bytes")]
    Large,
    /// Too many, or too long ones.
    #[error("too much to look for: {0}")]
    Wanted(Foreign),
}

impl From<BuildError> for FilelistsError {
    fn from(error: BuildError) -> Self {
        Self::Wanted(Foreign::new(&error.to_string()))
    }
}

/// Searches unpacked file lists. Owners come in the order of the lists, at most [`OWNERS_CAP`].
pub fn find(mut from: impl Read, wanted: &[Wanted]) -> Result<Vec<Owner>, FilelistsError> {
    if wanted.len() > WANTED_CAP {
        return Err(FilelistsError::Wanted(Foreign::new(&format!("{} paths", wanted.len()))));
    }
    let search = Search { automaton: automaton(wanted)?, wanted };
    let mut owners = Vec::new();
    let mut buffer = Vec::with_capacity(2 * CHUNK);
    loop {
        let seen = buffer.len().saturating_sub(END.len());
        let count = (&mut from).take(CHUNK as u64).read_to_end(&mut buffer)?;
        let whole = match memmem::rfind(&buffer[seen..], END) {
            Some(at) => seen + at + END.len(),
            None if count == 0 => return Ok(owners),
            None if buffer.len() > PACKAGE_CAP => return Err(FilelistsError::Large),
            None => continue,
        };
        search.chunk(&buffer[..whole], &mut owners);
        if owners.len() >= OWNERS_CAP {
            owners.truncate(OWNERS_CAP);
            return Ok(owners);
        }
        buffer.drain(..whole);
    }
}

const END: &[u8] = b"</package>";

struct Search<'a> {
    automaton: AhoCorasick,
    wanted: &'a [Wanted],
}

fn automaton(wanted: &[Wanted]) -> Result<AhoCorasick, BuildError> {
    let patterns = wanted.iter().map(|wanted| match wanted {
        Wanted::Path(path) => format!(">{}<", escape(path)),
        Wanted::End(end) => format!("{}<", escape(end)),
    });
    AhoCorasick::builder().match_kind(MatchKind::Standard).build(patterns)
}

impl Search<'_> {
    fn chunk(&self, text: &[u8], owners: &mut Vec<Owner>) {
        let mut tags = PackageTags::of(text);
        for hit in self.automaton.find_overlapping_iter(text) {
            let wanted = hit.pattern().as_usize();
            // The hit ends with the '<' of '</file>'.
            let end = hit.end() - 1;
            let first = end.saturating_sub(PATH_CAP);
            let Some(start) = memchr::memrchr(b'>', &text[first..end]) else { continue };
            let start = first + start;
            let Some(path) = unescape(&text[start + 1..end]) else { continue };
            let fits = path.starts_with('/')
                && text[end..].starts_with(b"</file>")
                && match &self.wanted[wanted] {
                    Wanted::Path(whole) => path == *whole,
                    Wanted::End(end) => path.ends_with(end.as_str()),
                };
            if let Some(pkgid) = fits.then(|| tags.pkgid_before(start)).flatten() {
                owners.push(Owner { wanted, pkgid, path });
            }
            if owners.len() >= OWNERS_CAP {
                return;
            }
        }
    }
}

/// The package tags of a text, looked through once from its beginning to its end.
struct PackageTags<'a> {
    text: &'a [u8],
    /// Up to here the text has been looked at.
    seen: usize,
    /// The digest in the last tag before that.
    last: Option<String>,
}

impl<'a> PackageTags<'a> {
    const TAG: &'static [u8] = b"<package ";

    fn of(text: &'a [u8]) -> Self {
        Self { text, seen: 0, last: None }
    }

    /// The digest in the last tag before `end`; each call's end lies behind the one before.
    fn pkgid_before(&mut self, end: usize) -> Option<String> {
        if let Some(at) = memmem::rfind(&self.text[self.seen.min(end)..end], Self::TAG) {
            self.last = pkgid(&self.text[self.seen + at..end]);
        }
        // A tag may lie across the end.
        self.seen = self.seen.max(end.saturating_sub(Self::TAG.len() - 1));
        self.last.clone()
    }
}

fn pkgid(tag: &[u8]) -> Option<String> {
    let tag = &tag[..memchr::memchr(b'>', tag)?];
    let value = &tag[memmem::find(tag, b" pkgid=\"")? + 8..];
    let value = &value[..memchr::memchr(b'"', value)?];
    let fine = (1..=128).contains(&value.len()) && value.iter().all(u8::is_ascii_hexdigit);
    fine.then(|| String::from_utf8_lossy(value).into_owned())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn unescape(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    quick_xml::escape::unescape(text).ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(packages: &[(&str, &[&str])]) -> String {
        let mut text = "<filelists packages=\"2\">\n".to_owned();
        for (pkgid, files) in packages {
            text += &format!("<package pkgid=\"{pkgid}\" name=\"n\" arch=\"a\">\n");
            text += "  <version epoch=\"0\" ver=\"1\" rel=\"1\"/>\n";
            for file in *files {
                text += &format!("  <file>{file}</file>\n");
            }
            text += "</package>\n";
        }
        text + "</filelists>"
    }

    fn owners(text: &str, wanted: &[Wanted]) -> Vec<(usize, String, String)> {
        let owners = find(text.as_bytes(), wanted).expect("searched");
        owners.into_iter().map(|owner| (owner.wanted, owner.pkgid, owner.path)).collect()
    }

    #[test]
    fn owners_of_a_path_and_of_an_end_are_found() {
        let text = list(&[
            ("aa", &["/usr/include/zlib.h", "/usr/include/zlib.hpp", "/usr/share/zlib.h"]),
            ("bb", &["/usr/include/zlib.h", "/usr/include/xzlib.h", "/opt/a&amp;b"]),
        ]);
        let wanted = [
            Wanted::Path("/usr/include/zlib.h".to_owned()),
            Wanted::End("/zlib.h".to_owned()),
            Wanted::Path("/opt/a&b".to_owned()),
            Wanted::Path("/zlib.h".to_owned()),
            Wanted::End("include/xzlib.h".to_owned()),
        ];
        let mut found = owners(&text, &wanted);
        found.sort();
        let expected = [
            (0, "aa", "/usr/include/zlib.h"),
            (0, "bb", "/usr/include/zlib.h"),
            (1, "aa", "/usr/include/zlib.h"),
            (1, "aa", "/usr/share/zlib.h"),
            (1, "bb", "/usr/include/zlib.h"),
            (2, "bb", "/opt/a&b"),
            (4, "bb", "/usr/include/xzlib.h"),
        ];
        assert_eq!(found, expected.map(|(at, id, path)| (at, id.to_owned(), path.to_owned())));
    }

    #[test]
    fn folders_and_ghosts_count_as_files() {
        let text = list(&[("aa", &[])])
            .replace("</package>", "<file type=\"dir\">/usr/lib/x</file></package>");
        assert_eq!(owners(&text, &[Wanted::Path("/usr/lib/x".to_owned())]).len(), 1);
    }

    #[test]
    fn packages_across_chunks_are_found() {
        let many: Vec<String> = (0..120_000).map(|i| format!("/usr/share/{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let text = list(&[("aa", &many), ("bb", &["/usr/share/x"]), ("cc", &many)]);
        assert!(text.len() > 3 * CHUNK);
        let found = owners(&text, &[Wanted::Path("/usr/share/119999".to_owned())]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].1, "cc");
    }

    #[test]
    fn what_only_looks_like_an_owner_is_none() {
        for text in [
            "<package pkgid=\"../x\"><file>/a</file></package>",
            "<package><file>/a</file></package>",
            "<package pkgid=\"aa\"><name>/a</name></package>",
            "<package pkgid=\"aa\"><file>/a</file>",
            "<file>/a</file></package>",
        ] {
            assert!(owners(text, &[Wanted::Path("/a".to_owned())]).is_empty(), "{text}");
        }
    }

    #[test]
    fn owners_are_bounded() {
        let files = vec!["/a"; OWNERS_CAP + 5];
        let text = list(&[("aa", &files)]);
        assert_eq!(owners(&text, &[Wanted::End("/a".to_owned())]).len(), OWNERS_CAP);
        let wanted = vec![Wanted::End("/a".to_owned()); WANTED_CAP + 1];
        assert!(matches!(find(io::empty(), &wanted), Err(FilelistsError::Wanted(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_searched(bytes: Vec<u8>, end in "[a-z/<&>]{1,4}") {
            let text = [list(&[("aa", &["/a"])]).into_bytes(), bytes].concat();
            let _ = find(&text[..], &[Wanted::End(end)]);
        }
    }
}
