//! Files that must have the bytes that were promised.

use std::fs::File;
use std::io::{self, Read};

use kiln_model::{Digest, Hasher};
use kiln_wire::solver::Failure;

/// Hashes what is read through it.
#[derive(Debug)]
pub(crate) struct Hashing {
    from: File,
    hasher: Hasher,
}

impl Hashing {
    pub(crate) fn new(from: File) -> Self {
        Self { from, hasher: Hasher::new() }
    }

    /// Reads what is left, and fails where the whole is not what was promised.
    pub(crate) fn expect(mut self, promised: Digest) -> Result<(), Failure> {
        io::copy(&mut self, &mut io::sink()).map_err(|error| Failure::System(error.to_string()))?;
        let found = self.hasher.finish();
        match found == promised {
            true => Ok(()),
            false => Err(Failure::Digest(format!("expected {promised}, found {found}"))),
        }
    }
}

impl Read for Hashing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.hasher.update(&into[..count]);
        Ok(count)
    }
}
