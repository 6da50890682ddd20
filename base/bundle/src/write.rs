use std::fs;
use std::io::{self, Write};

use kiln_cas::Cas;
use kiln_model::Digest;
use kiln_wire::record::Record;

use crate::BundleError;
use crate::entry::{BLOCK, END, header, padding};
use crate::manifest::{
    BASE, CHECKSUM, EVIDENCE, Entry, Evidence, LOCK, MANIFEST, Manifest, VERSION, blob_path,
    checksum_line, needs,
};

/// A bundle that can be written: all that belongs in it is in a store.
#[derive(Debug)]
pub struct Bundle<'a> {
    cas: &'a Cas,
    manifest: Manifest,
    bytes: Vec<u8>,
    evidence: Option<Evidence>,
}

impl<'a> Bundle<'a> {
    /// The bundle of a build whose blobs are in a store. The first that isn't is an error.
    pub fn of(
        record: Record,
        evidence: Option<Evidence>,
        cas: &'a Cas,
    ) -> Result<Self, BundleError> {
        let missing =
            |what: &str, digest: Digest| BundleError::Missing { what: what.to_owned(), digest };
        let mut locks = Vec::new();
        let mut files = Vec::new();
        let named = [(LOCK, Some(record.lock)), (BASE, record.base)];
        for (path, digest) in named.into_iter().filter_map(|(path, it)| Some((path, it?))) {
            if !cas.has(&digest) {
                return Err(missing("the lock of the build", digest));
            }
            let bytes = cas.read_to_vec(&digest, kiln_parse::lock::LOCK_CAP as u64)?;
            locks.push(kiln_parse::lock::read(&bytes).map_err(BundleError::Lock)?);
            files.push(Entry { path: path.to_owned(), digest, size: bytes.len() as u64 });
        }
        for (path, bytes) in EVIDENCE.into_iter().zip(evidence.iter().flat_map(Evidence::files)) {
            let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
            files.push(Entry { path: path.to_owned(), digest, size });
        }
        for (digest, need) in needs(&record, &locks) {
            let about = fs::metadata(cas.path(&digest)).map_err(|_| missing(&need.what, digest))?;
            if about.len() != need.size {
                let what = format!("{} in its whole length", need.what);
                return Err(missing(&what, digest));
            }
            files.push(Entry { path: blob_path(&digest), digest, size: need.size });
        }
        let manifest = Manifest { version: VERSION, record, files };
        let bytes = manifest.to_bytes();
        Ok(Self { cas, manifest, bytes, evidence })
    }

    /// What names the bundle: the digest of its manifest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        let sizes = [checksum_line(&self.digest()).len() as u64, self.bytes.len() as u64];
        let files = self.manifest.files.iter().map(|file| file.size);
        let whole = |size: u64| BLOCK as u64 + size + padding(size) as u64;
        sizes.into_iter().chain(files).map(whole).sum::<u64>() + END as u64
    }

    /// Writes it; the digest of its manifest.
    pub fn write(&self, to: &mut impl Write) -> Result<Digest, BundleError> {
        let digest = self.digest();
        put(to, CHECKSUM, checksum_line(&digest).as_bytes())?;
        put(to, MANIFEST, &self.bytes)?;
        let mut evidence = self.evidence.iter().flat_map(Evidence::files);
        for file in &self.manifest.files {
            match EVIDENCE.contains(&&*file.path) {
                true => put(to, &file.path, evidence.next().unwrap_or_default())?,
                false => self.copy(file, to)?,
            }
        }
        to.write_all(&[0; END]).and_then(|()| to.flush()).map_err(writing)?;
        Ok(digest)
    }

    fn copy(&self, file: &Entry, to: &mut impl Write) -> Result<(), BundleError> {
        to.write_all(&header(&file.path, file.size)).map_err(writing)?;
        // The last read fails where the bytes are not those of the digest.
        let mut blob = self.cas.read(&file.digest)?;
        let copied = io::copy(&mut blob, to).map_err(writing)?;
        if copied != file.size {
            let (digest, expected) = (file.digest, file.size);
            return Err(kiln_cas::CasError::Size { digest, expected, found: copied }.into());
        }
        to.write_all(&[0; BLOCK][..padding(file.size)]).map_err(writing)
    }
}

fn put(to: &mut impl Write, path: &str, bytes: &[u8]) -> Result<(), BundleError> {
    let size = bytes.len() as u64;
    to.write_all(&header(path, size))
        .and_then(|()| to.write_all(bytes))
        .and_then(|()| to.write_all(&[0; BLOCK][..padding(size)]))
        .map_err(writing)
}

fn writing(source: io::Error) -> BundleError {
    BundleError::Io { doing: "writing", source }
}
