//! The payload of an RPM, entry by entry: a cpio archive in the form that SVR4 brought ("newc").
//!
//! Source of the format: cpio(5), and rpm's lib/cpio.c, which writes one of its own for packages
//! with files over 4 GiB (magic `07070X`, and sizes in the header alone). That one is told and not
//! read.

use std::io::{self, Read};

/// The longest name of a file.
const NAME: u64 = 4096;

const MAGIC: usize = 6;
/// Magic and 13 numbers of eight hexadecimal digits.
const HEAD: usize = MAGIC + 13 * 8;
const TRAILER: &[u8] = b"TRAILER!!!";

/// Why a payload could not be read on.
#[derive(Debug, thiserror::Error)]
pub enum CpioError {
    /// It ends too early, unpacks to too much, or is not compressed as it says.
    #[error("the payload cannot be unpacked")]
    Io(#[from] io::Error),
    /// Not a cpio archive of a form that is read.
    #[error("the payload is not an archive that can be read")]
    Form,
    /// rpm's own form, for files over 4 GiB.
    #[error("the payload is in the form for files over 4 GiB, which is not read")]
    Stripped,
}

/// What an archive says of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpioEntry {
    /// Its path; in a package it begins with `./`.
    pub path: Vec<u8>,
    /// Kind and permission bits, as in stat(2).
    pub mode: u32,
    /// When it was changed, in seconds since 1970.
    pub mtime: u32,
    /// How many bytes it has.
    pub size: u32,
}

/// An archive that is read from its beginning to its end.
#[derive(Debug)]
pub struct Cpio<R> {
    from: R,
    /// Where in the archive it is, to find where the next entry begins.
    at: u64,
    /// What of the entry at hand has not been read.
    left: u64,
}

impl<R: Read> Cpio<R> {
    /// An archive that begins here.
    pub fn new(from: R) -> Self {
        Self { from, at: 0, left: 0 }
    }

    /// The next entry, wherever in the one before it the reader was; `None` behind the last.
    /// Reading from this gives the entry's bytes.
    #[allow(
        clippy::should_implement_trait,
        reason = "an entry's bytes are read between two of them"
    )]
    pub fn next(&mut self) -> Result<Option<CpioEntry>, CpioError> {
        self.skip(self.left)?;
        self.left = 0;
        self.align()?;
        let mut head = [0; HEAD];
        self.fill(&mut head[..MAGIC])?;
        match &head[..MAGIC] {
            b"070701" | b"070702" => {}
            b"07070X" => return Err(CpioError::Stripped),
            _ => return Err(CpioError::Form),
        }
        self.fill(&mut head[MAGIC..])?;
        let field = |index: usize| number(&head[MAGIC + index * 8..][..8]).ok_or(CpioError::Form);
        let (mode, mtime, size, length) = (field(1)?, field(5)?, field(6)?, u64::from(field(11)?));
        if length == 0 || length > NAME {
            return Err(CpioError::Form);
        }
        let mut path = vec![0; length as usize];
        self.fill(&mut path)?;
        if path.pop() != Some(0) {
            return Err(CpioError::Form);
        }
        self.align()?;
        if path == TRAILER {
            return Ok(None);
        }
        self.left = u64::from(size);
        Ok(Some(CpioEntry { path, mode, mtime, size }))
    }

    fn fill(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.from.read_exact(into)?;
        self.at += into.len() as u64;
        Ok(())
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.from).take(count), &mut io::sink())?;
        self.at += skipped;
        if skipped == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn align(&mut self) -> io::Result<()> {
        self.skip((4 - self.at % 4) % 4)
    }
}

impl<R: Read> Read for Cpio<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = (&mut self.from).take(self.left).read(into)?;
        if count == 0 && self.left > 0 && !into.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, bytes: &[u8], to: &mut Vec<u8>) {
        let mut fields = [0_usize; 13];
        (fields[1], fields[5], fields[6], fields[11]) =
            (0o100_644, 1_000, bytes.len(), path.len() + 1);
        to.extend(b"070701");
        fields.iter().for_each(|field| to.extend(format!("{field:08x}").bytes()));
        to.extend(path.bytes().chain([0]));
        to.resize(to.len().next_multiple_of(4), 0);
        to.extend(bytes);
        to.resize(to.len().next_multiple_of(4), 0);
    }

    fn archive() -> Vec<u8> {
        let mut bytes = Vec::new();
        entry("./clay", b"wet", &mut bytes);
        entry("./glaze", b"", &mut bytes);
        entry("./kiln", b"hot!", &mut bytes);
        entry("TRAILER!!!", b"", &mut bytes);
        bytes
    }

    #[test]
    fn entries_are_read_or_passed_over() {
        let bytes = archive();
        let mut cpio = Cpio::new(&bytes[..]);
        let first = cpio.next().expect("read").expect("an entry");
        assert_eq!((first.path.as_slice(), first.size, first.mtime), (&b"./clay"[..], 3, 1000));
        assert_eq!(cpio.next().expect("read").map(|one| one.path), Some(b"./glaze".to_vec()));
        assert_eq!(cpio.next().expect("read").map(|one| one.path), Some(b"./kiln".to_vec()));
        let mut text = String::new();
        cpio.read_to_string(&mut text).expect("read");
        assert_eq!(text, "hot!");
        assert_eq!(cpio.next().expect("read"), None);
    }

    #[test]
    fn no_cut_and_no_flipped_byte_makes_it_panic_or_go_on_for_ever() {
        let bytes = archive();
        let drain = |bytes: &[u8]| {
            let mut cpio = Cpio::new(bytes);
            let mut count = 0;
            while let Ok(Some(_)) = cpio.next() {
                let _ = io::copy(&mut cpio, &mut io::sink());
                count += 1;
            }
            count
        };
        assert_eq!(drain(&bytes), 3);
        for at in 0..bytes.len() {
            assert!(drain(&bytes[..at]) <= 3);
            let mut broken = bytes.clone();
            broken[at] ^= 0x0f;
            assert!(drain(&broken) <= 4);
        }
    }

    #[test]
    fn what_is_not_read_is_told() {
        assert!(matches!(Cpio::new(&b"07070X00000000"[..]).next(), Err(CpioError::Stripped)));
        assert!(matches!(Cpio::new(&b"070707"[..]).next(), Err(CpioError::Form)));
    }
}
