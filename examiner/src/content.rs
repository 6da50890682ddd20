//! In what the contents of two files differ, by their kind: what is packed is unpacked, what has
//! parts is taken apart, down to lines of text and runs of bytes.

mod ar;
mod binary;
mod elf;
mod gzip;
mod pyc;
pub(crate) mod text;
mod zip;

use std::io::Read;

use kiln_model::DifferingContent;
use kiln_parse::compression::{Compression, unpack};

use crate::cause::Clue;
use crate::shown;

/// The most differences of one file that are told.
const MOST: usize = 40;

/// How many lines of one text's difference are shown.
const LINES: usize = 60;

/// How deep packed things are unpacked inside each other.
const DEPTH: u32 = 4;

/// The most bytes that something packed is unpacked to.
const UNPACKED: u64 = 64 << 20;

/// Takes two contents apart and collects in what they differ.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    /// What was found, in the order of the file.
    pub(crate) found: Vec<DifferingContent>,
    /// What may say something of the cause.
    pub(crate) clues: Vec<Clue>,
    /// What was not looked into.
    pub(crate) left_out: Vec<String>,
    /// Build-ids that differ, in hexadecimal digits: they follow from everything else, and say nothing of
    /// it.
    pub(crate) ids: Vec<(String, String)>,
    path: String,
}

/// A difference on the way into [`Finder::found`].
struct Told<'a> {
    place: &'a str,
    what: String,
    original: String,
    rebuilt: String,
    diff: String,
}

impl Finder {
    /// One for the file at that path.
    pub(crate) fn of(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    /// Holds two contents against each other.
    pub(crate) fn compare(&mut self, original: &[u8], rebuilt: &[u8]) {
        let path = self.path.clone();
        self.look("", &path, original, rebuilt, 0);
    }

    /// `name` is what the content is called, for kinds that only a name tells.
    fn look(&mut self, place: &str, name: &str, original: &[u8], rebuilt: &[u8], depth: u32) {
        if original == rebuilt {
            return;
        }
        let before = self.found.len();
        let is_deep = depth >= DEPTH;
        match (Kind::of(name, original), Kind::of(name, rebuilt)) {
            (one, other) if one != other => self.value(
                place,
                "what kind of file it is".to_owned(),
                one.name().to_owned(),
                other.name().to_owned(),
            ),
            (Kind::Packed(Compression::Gzip), _) if !is_deep => {
                gzip::compare(self, place, name, original, rebuilt, depth);
            }
            (Kind::Packed(compression), _) if !is_deep => {
                self.unpacked(place, name, compression, original, rebuilt, depth);
            }
            (Kind::Ar, _) if !is_deep => ar::compare(self, place, original, rebuilt, depth),
            (Kind::Zip, _) if !is_deep => zip::compare(self, place, original, rebuilt, depth),
            (Kind::Elf, _) => elf::compare(self, place, original, rebuilt),
            (Kind::Pyc, _) => pyc::compare(self, place, original, rebuilt),
            (Kind::Text, _) => self.text(place, original, rebuilt),
            _ => binary::compare(self, place, original, rebuilt),
        }
        if self.found.len() == before {
            // Its kind had nothing to say of what differs: then the bytes have.
            binary::compare(self, place, original, rebuilt);
        }
    }

    fn text(&mut self, place: &str, original: &[u8], rebuilt: &[u8]) {
        let found = text::diff(original, rebuilt, LINES);
        if found.is_cut {
            self.leave_out(format!("{}: not all lines that differ are shown", self.at(place)));
        }
        let at = self.at(place);
        if found.is_reordered {
            let first = found.pairs.first().cloned().unwrap_or_default();
            self.clues.push(Clue::reordered(&at, &first.0, &first.1));
        } else {
            self.clues.extend(found.pairs.iter().map(|(old, new)| Clue::text(&at, old, new)));
        }
        let what = match found.is_reordered {
            true => "the same lines in another order",
            false => "lines of text",
        };
        let diff = found.text;
        let (original, rebuilt) = (String::new(), String::new());
        self.tell(Told { place, what: what.to_owned(), original, rebuilt, diff });
    }

    fn unpacked(
        &mut self,
        place: &str,
        name: &str,
        compression: Compression,
        original: &[u8],
        rebuilt: &[u8],
        depth: u32,
    ) {
        let inner = join(place, "unpacked");
        let name = name.strip_suffix(compression.suffix()).unwrap_or(name);
        match (self.unpack(original), self.unpack(rebuilt)) {
            (Some(old), Some(new)) if old == new => self.value(
                place,
                "compressed in another way, the same inside".to_owned(),
                format!("{} bytes", original.len()),
                format!("{} bytes", rebuilt.len()),
            ),
            (Some(old), Some(new)) => self.look(&inner, name, &old, &new, depth + 1),
            _ => self.leave_out(format!("{}: cannot be unpacked within bounds", self.at(place))),
        }
    }

    fn unpack(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        // The reader owns what it reads from.
        let (_, mut reader) = unpack(bytes, UNPACKED).ok()?;
        let mut out = Vec::new();
        reader.read_to_end(&mut out).ok().map(|_| out)
    }

    /// A value that is short on both sides; also a clue.
    fn value(&mut self, place: &str, what: String, original: String, rebuilt: String) {
        let at = format!("{}: {what}", self.at(place));
        self.clues.push(Clue::text(&at, original.as_bytes(), rebuilt.as_bytes()));
        self.tell(Told { place, what, original, rebuilt, diff: String::new() });
    }

    fn tell(&mut self, told: Told<'_>) {
        if self.found.len() == MOST {
            self.leave_out(format!("{}: more differs than is told", self.path));
            return;
        }
        let Told { place, what, original, rebuilt, diff } = told;
        self.found.push(DifferingContent {
            place: shown::text(place),
            what: shown::text(&what),
            original: shown::text(&original),
            rebuilt: shown::text(&rebuilt),
            diff,
        });
    }

    fn leave_out(&mut self, what: String) {
        let what = shown::text(&what);
        if !self.left_out.contains(&what) {
            self.left_out.push(what);
        }
    }

    /// The path and the place in the file.
    fn at(&self, place: &str) -> String {
        join(&self.path, place)
    }
}

/// A place in a place.
fn join(place: &str, inner: &str) -> String {
    match (place.is_empty(), inner.is_empty()) {
        (true, _) => inner.to_owned(),
        (_, true) => place.to_owned(),
        _ => format!("{place} > {inner}"),
    }
}

/// What a content is, by its first bytes, or by its name where those don't say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Packed(Compression),
    Ar,
    Zip,
    Elf,
    Pyc,
    Text,
    Binary,
}

impl Kind {
    fn of(name: &str, bytes: &[u8]) -> Self {
        match Compression::of_magic(bytes) {
            Compression::None => {}
            compression => return Self::Packed(compression),
        }
        match bytes {
            [b'!', b'<', b'a', b'r', b'c', b'h', b'>', b'\n', ..] => Self::Ar,
            [b'P', b'K', 3, 4, ..] => Self::Zip,
            [0x7f, b'E', b'L', b'F', ..] => Self::Elf,
            [_, _, b'\r', b'\n', ..] if name.ends_with(".pyc") => Self::Pyc,
            _ if !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok() => Self::Text,
            _ => Self::Binary,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Packed(Compression::Gzip) => "gzip",
            Self::Packed(Compression::Xz) => "xz",
            Self::Packed(Compression::Zstd) => "zstd",
            Self::Packed(Compression::Bzip2) => "bzip2",
            Self::Packed(Compression::None) | Self::Binary => "binary",
            Self::Ar => "ar",
            Self::Zip => "zip",
            Self::Elf => "ELF",
            Self::Pyc => "pyc",
            Self::Text => "text",
        }
    }
}

/// A number of a few bytes, the lowest first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    pub(crate) fn found(path: &str, original: &[u8], rebuilt: &[u8]) -> Finder {
        let mut finder = Finder::of(path);
        finder.compare(original, rebuilt);
        finder
    }

    pub(crate) fn packed(text: &str, time: u32) -> Vec<u8> {
        let mut to =
            flate2::GzBuilder::new().mtime(time).write(Vec::new(), flate2::Compression::best());
        to.write_all(text.as_bytes()).expect("packed");
        to.finish().expect("packed")
    }

    #[test]
    fn what_is_packed_is_looked_into() {
        let made = |date: &str| packed(&format!("one\nmade on {date}\n"), 0);
        let found = found("/usr/share/x.txt.gz", &made("2026-01-02"), &made("2027-02-06"));
        let [one] = &found.found[..] else { panic!("{:?}", found.found) };
        assert_eq!((one.place.as_str(), one.what.as_str()), ("unpacked", "lines of text"));
        assert!(one.diff.contains("-made on 2026-01-02\n+made on 2027-02-06"), "{}", one.diff);
    }

    #[test]
    fn a_bomb_inside_a_file_is_left_out() {
        let bomb = |end: u8| {
            let zeros = vec![0_u8; (UNPACKED + 1) as usize];
            zstd::encode_all(&[&zeros[..], &[end]].concat()[..], 1).expect("packed")
        };
        let found = found("/usr/share/x.zst", &bomb(1), &bomb(2));
        assert!(found.left_out[0].contains("within bounds"), "{:?}", found.left_out);
        assert_eq!(found.found.len(), 1, "the packed bytes are held against each other");
    }

    #[test]
    fn other_kinds_are_told() {
        let found = found("/x", b"text\n", b"\x7fELF\0");
        assert_eq!(
            (found.found[0].original.as_str(), found.found[0].rebuilt.as_str()),
            ("text", "ELF")
        );
    }
}
