use std::fs::File;
use std::io::{self, Read};

use kiln_model::{Digest, Hasher};

/// Reads a blob and refuses bytes that don't match: where the file ends, the digest of all that
/// was read is compared, and a wrong one is an error instead of an end.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    expected: Digest,
    hasher: Option<Hasher>,
}

impl BlobReader {
    pub(crate) fn new(file: File, expected: Digest) -> Self {
        Self { file, expected, hasher: Some(Hasher::new()) }
    }
}

impl Read for BlobReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        let Some(hasher) = &mut self.hasher else { return Ok(count) };
        hasher.update(&into[..count]);
        if count == 0 && !into.is_empty() {
            let found = self.hasher.take().expect("present in this branch").finish();
            if found != self.expected {
                let text = format!("wrong bytes: expected {}, found {found}", self.expected);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(count)
    }
}
