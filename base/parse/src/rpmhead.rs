//! The tags of an RPM's headers, as they lie there: for who signed them and what they describe.
//!
//! Source of the format: rpm's docs/manual/format_v4.md and lib/rpmtag.h. Sizes are checked by
//! [`crate::rpmfile`] before anything is read; here nothing is copied but numbers.

use std::io::Read;
use std::ops::Range;

use crate::rpmfile::head::read;
use crate::rpmfile::{HeadCap, RpmError};

const LEAD: usize = 96;
const INTRO: usize = 16;
const ENTRY: usize = 16;

/// Lead and both headers of an RPM, whole.
#[derive(Debug, Clone)]
pub struct Head {
    bytes: Vec<u8>,
    signature: Range<usize>,
    main: Range<usize>,
}

impl Head {
    /// Reads up to where the payload begins.
    pub fn read(from: &mut impl Read, cap: HeadCap) -> Result<Self, RpmError> {
        let bytes = read(from, cap)?;
        let signature = LEAD..LEAD + header_size(&bytes[LEAD..]);
        let main = signature.end.next_multiple_of(8)..bytes.len();
        Ok(Self { bytes, signature, main })
    }

    /// The bytes of the main header, which header signatures are made over.
    pub fn main_bytes(&self) -> &[u8] {
        &self.bytes[self.main.clone()]
    }

    /// Where the main header begins and ends in the file; the payload begins at its end.
    pub fn main_range(&self) -> Range<u64> {
        self.main.start as u64..self.main.end as u64
    }

    /// Every byte before the payload.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The lead, which begins every RPM.
    pub fn lead(&self) -> &[u8] {
        &self.bytes[..LEAD]
    }

    /// The tags of the signature header.
    pub fn signature(&self) -> Tags<'_> {
        Tags::of(&self.bytes[self.signature.clone()])
    }

    /// The tags of the main header.
    pub fn main(&self) -> Tags<'_> {
        Tags::of(self.main_bytes())
    }
}

/// The size of a header that begins here and was found sound.
fn header_size(header: &[u8]) -> usize {
    INTRO + number(header, 8) * ENTRY + number(header, 12)
}

fn number(bytes: &[u8], at: usize) -> usize {
    let four = bytes[at..at + 4].try_into().expect("four bytes");
    u32::from_be_bytes(four) as usize
}

/// What a tag holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// Numbers, whatever their width.
    Numbers(Vec<u64>),
    /// Texts: one, a list, or one in several languages.
    Texts(Vec<&'a [u8]>),
    /// Binary data.
    Blob(&'a [u8]),
}

/// The tags of one header. Where a tag stands twice, the first counts.
#[derive(Debug, Clone, Copy)]
pub struct Tags<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

struct Entry<'a> {
    kind: usize,
    count: usize,
    data: &'a [u8],
}

impl<'a> Tags<'a> {
    fn of(header: &'a [u8]) -> Self {
        let count = number(header, 8);
        let (index, data) = header[INTRO..].split_at(count * ENTRY);
        Self { index, data }
    }

    fn find(&self, tag: u32) -> Option<Entry<'a>> {
        let entry =
            self.index.chunks_exact(ENTRY).find(|entry| number(entry, 0) == tag as usize)?;
        let data = self.data.get(number(entry, 8)..)?;
        Some(Entry { kind: number(entry, 4), count: number(entry, 12), data })
    }

    /// Every tag with its value, in the order of the index; a tag of a kind that holds nothing is
    /// left out.
    pub fn all(&self) -> impl Iterator<Item = (u32, Value<'a>)> {
        let this = *self;
        this.index.chunks_exact(ENTRY).filter_map(move |entry| {
            let tag = u32::try_from(number(entry, 0)).ok()?;
            let value = match number(entry, 4) {
                1..=5 => Value::Numbers(this.numbers(tag)),
                6 | 8 | 9 => Value::Texts(this.texts(tag)),
                7 => Value::Blob(this.blob(tag)?),
                _ => return None,
            };
            Some((tag, value))
        })
    }

    /// The texts of a tag that is a text, a list of them or one in several languages; nothing
    /// where it is none of these.
    pub fn texts(&self, tag: u32) -> Vec<&'a [u8]> {
        let Some(entry) = self.find(tag) else { return Vec::new() };
        let count = match entry.kind {
            6 => 1,
            8 | 9 => entry.count,
            _ => 0,
        };
        entry.data.split(|byte| *byte == 0).take(count).collect()
    }

    /// The first text of a tag.
    pub fn text(&self, tag: u32) -> Option<&'a [u8]> {
        self.texts(tag).first().copied()
    }

    /// The numbers of a tag, whatever their width; nothing where it holds none.
    pub fn numbers(&self, tag: u32) -> Vec<u64> {
        let Some(entry) = self.find(tag) else { return Vec::new() };
        let width = match entry.kind {
            1 | 2 => 1,
            3 => 2,
            4 => 4,
            5 => 8,
            _ => return Vec::new(),
        };
        let one = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        entry.data.chunks_exact(width).take(entry.count).map(one).collect()
    }

    /// The first number of a tag.
    pub fn number(&self, tag: u32) -> Option<u64> {
        self.numbers(tag).first().copied()
    }

    /// The bytes of a tag that is a piece of binary data.
    pub fn blob(&self, tag: u32) -> Option<&'a [u8]> {
        let entry = self.find(tag).filter(|entry| entry.kind == 7)?;
        entry.data.get(..entry.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpm() -> Vec<u8> {
        let mut builder = rpm::PackageBuilder::new("clay", "1.0", "MIT", "noarch", "Clay");
        builder.epoch(3).requires(rpm::Dependency::any("water"));
        let mut bytes = Vec::new();
        builder.build().expect("built").write(&mut bytes).expect("written");
        bytes
    }

    #[test]
    fn tags_are_read_as_they_lie_there() {
        let bytes = rpm();
        let head = Head::read(&mut &bytes[..], HeadCap::BINARY).expect("a head");
        let main = head.main();
        assert_eq!(main.text(1000), Some(&b"clay"[..]));
        assert_eq!(main.number(1003), Some(3));
        assert!(main.texts(1049).contains(&&b"water"[..]));
        assert_eq!(main.text(1003), None);
        assert!(main.numbers(1000).is_empty());
        assert_eq!(main.blob(1000), None);
        assert_eq!(main.text(999_999), None);
        assert_eq!(head.main_bytes()[..3], [0x8e, 0xad, 0xe8]);
        assert!(head.signature().text(273).is_some(), "the digest of the main header");
        assert!(bytes.starts_with(head.bytes()));
        assert!(main.all().any(|one| one == (1000, Value::Texts(vec![b"clay"]))));
        assert!(main.all().any(|one| one == (1003, Value::Numbers(vec![3]))));
    }

    #[test]
    fn no_cut_makes_it_panic() {
        let bytes = rpm();
        for end in 0..bytes.len() {
            let _ = Head::read(&mut &bytes[..end], HeadCap::BINARY);
        }
    }
}
