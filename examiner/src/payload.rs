//! The payloads of two packages: what is in them, in which order, and the bytes of what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use kiln_model::{Digest, Hasher};
use kiln_parse::compression::{Compression, Unpacked, unpack};
use kiln_parse::cpio::{Cpio, CpioError};

/// The most bytes that a payload is unpacked to.
const UNPACKED: u64 = 16 << 30;

/// The most entries of a payload.
const ENTRIES: usize = 1 << 20;

/// A payload in its file.
pub(crate) struct Payload<'a> {
    pub(crate) file: &'a File,
    /// Where in the file it begins.
    pub(crate) at: u64,
}

/// What is in a payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) compression: Compression,
    /// In their order.
    pub(crate) entries: Vec<Listed>,
}

/// An entry of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// As the header writes it.
    pub(crate) path: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) mtime: u32,
    pub(crate) size: u32,
    pub(crate) digest: Digest,
}

impl Payload<'_> {
    /// The digest of the packed bytes.
    pub(crate) fn packed(&self) -> io::Result<Digest> {
        let mut hasher = Hasher::new();
        io::copy(&mut self.reader()?, &mut hasher)?;
        Ok(hasher.finish())
    }

    /// What is in it, each with the digest of its bytes.
    pub(crate) fn list(&self) -> Result<Listing, CpioError> {
        let (compression, mut cpio) = self.cpio()?;
        let mut entries = Vec::new();
        while let Some(entry) = cpio.next()? {
            if entries.len() == ENTRIES {
                return Err(CpioError::Form);
            }
            let mut hasher = Hasher::new();
            io::copy(&mut cpio, &mut hasher)?;
            entries.push(Listed {
                path: as_in_header(entry.path),
                mode: entry.mode,
                mtime: entry.mtime,
                size: entry.size,
                digest: hasher.finish(),
            });
        }
        Ok(Listing { compression, entries })
    }

    /// The bytes of the files at these paths.
    pub(crate) fn take(
        &self,
        wanted: &BTreeSet<Vec<u8>>,
    ) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, CpioError> {
        let (_, mut cpio) = self.cpio()?;
        let mut taken = BTreeMap::new();
        while taken.len() < wanted.len()
            && let Some(entry) = cpio.next()?
        {
            let path = as_in_header(entry.path);
            if wanted.contains(&path) {
                let mut bytes = Vec::with_capacity(entry.size as usize);
                cpio.read_to_end(&mut bytes)?;
                taken.insert(path, bytes);
            }
        }
        Ok(taken)
    }

    fn cpio(&self) -> io::Result<(Compression, Cpio<Unpacked<'_>>)> {
        let (compression, unpacked) = unpack(self.reader()?, UNPACKED)?;
        Ok((compression, Cpio::new(unpacked)))
    }

    /// Both readers of one file share where in it they are: one is used at a time.
    fn reader(&self) -> io::Result<impl Read + Send + use<'_>> {
        let mut file = self.file;
        file.seek(SeekFrom::Start(self.at))?;
        Ok(file)
    }
}

/// The archive's paths of a binary package begin with a dot, the header's do not.
fn as_in_header(path: Vec<u8>) -> Vec<u8> {
    match path.strip_prefix(b"./") {
        Some(rest) => [b"/", rest].concat(),
        None => path,
    }
}
