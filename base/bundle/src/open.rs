use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use kiln_cas::{Cas, CasError};
use kiln_model::{Digest, Hasher, Lock};
use kiln_wire::record::Record;

use crate::BundleError;
use crate::entry::{END, expect, expect_padding, expect_sized};
use crate::error::reading;
use crate::manifest::{
    CAP, CHECKSUM, EVIDENCE, Entry, Evidence, LOCK, MANIFEST, Manifest, checksum_line,
};

/// The longest piece of evidence, in bytes.
const EVIDENCE_CAP: u64 = 32 << 20;

/// A bundle that was read to its end: it is whole, and its blobs are in a store.
#[derive(Debug)]
pub struct Opened {
    /// What it takes to make the build again.
    pub record: Record,
    /// What its buildroot was made of.
    pub lock: Lock,
    /// What its source package was made on, where that is another.
    pub base: Option<Lock>,
    /// What shows how it was built, not looked at: [`Evidence::check`] does.
    pub evidence: Option<Evidence>,
    /// The digest of its manifest, which names it.
    pub digest: Digest,
}

/// Reads the bundle in a file: its blobs are put into a store, from which its record can be built
/// again. Whatever is wrong with it is found, and named, before it is used; what was stored by then
/// is stored by its digest, and nothing names it.
pub fn open_bundle(path: &Path, cas: &Cas) -> Result<Opened, BundleError> {
    read(&mut file(path)?, Some(cas))
}

/// As [`open_bundle`], and nothing is stored.
pub fn check_bundle(path: &Path) -> Result<Opened, BundleError> {
    read(&mut file(path)?, None)
}

/// As [`open_bundle`], from anywhere.
pub fn read_bundle(from: &mut impl Read, cas: &Cas) -> Result<Opened, BundleError> {
    read(from, Some(cas))
}

fn file(path: &Path) -> Result<BufReader<File>, BundleError> {
    let file = File::open(path);
    let file = file.map_err(|source| BundleError::Open { path: path.to_owned(), source })?;
    Ok(BufReader::with_capacity(1 << 17, file))
}

pub(crate) fn read(from: &mut impl Read, cas: Option<&Cas>) -> Result<Opened, BundleError> {
    let (manifest, digest) = manifest(from)?;
    let mut files = manifest.files.iter();
    let mut locks = Vec::new();
    for file in files.by_ref().take(1 + usize::from(manifest.record.base.is_some())) {
        let bytes = small(from, file, kiln_parse::lock::LOCK_CAP as u64)?;
        locks.push(kiln_parse::lock::read(&bytes).map_err(BundleError::Lock)?);
        cas.map(|cas| cas.insert_bytes(&bytes)).transpose()?;
    }
    manifest.check_needs(&locks)?;
    let evidence = match manifest.has_evidence() {
        true => Some(evidence(from, &mut files)?),
        false => None,
    };
    for file in files {
        store(from, file, cas)?;
    }
    end(from)?;
    let mut locks = locks.into_iter();
    let lock = locks.next().ok_or(BundleError::NotOne(LOCK))?;
    Ok(Opened { record: manifest.record, lock, base: locks.next(), evidence, digest })
}

fn manifest(from: &mut impl Read) -> Result<(Manifest, Digest), BundleError> {
    let length = checksum_line(&Digest::of(b"")).len() as u64;
    // What isn't a bundle at all is said to be none, however it begins.
    expect(from, CHECKSUM, length).map_err(|_| BundleError::NotOne(CHECKSUM))?;
    let line = bytes_of(from, CHECKSUM, length)?;
    let size = expect_sized(from, MANIFEST, CAP)?;
    let bytes = bytes_of(from, MANIFEST, size)?;
    let found = Digest::of(&bytes);
    if line != checksum_line(&found).as_bytes() {
        let hex = line.get(..64).and_then(|hex| std::str::from_utf8(hex).ok()).unwrap_or_default();
        return Err(match Digest::from_hex(hex) {
            Ok(expected) if expected != found => {
                BundleError::Bytes { path: MANIFEST.to_owned(), expected, found }
            }
            _ => BundleError::Contradiction(format!("{CHECKSUM} is not the line that is due")),
        });
    }
    Ok((Manifest::read(&bytes)?, found))
}

/// The bytes of a file whose header was read, and of what stands behind it.
fn bytes_of(from: &mut impl Read, path: &str, size: u64) -> Result<Vec<u8>, BundleError> {
    let mut bytes = Vec::new();
    from.by_ref().take(size).read_to_end(&mut bytes).map_err(reading(path))?;
    if (bytes.len() as u64) < size {
        return Err(BundleError::Cut(path.to_owned()));
    }
    expect_padding(from, path, size)?;
    Ok(bytes)
}

/// A file that is held in memory.
fn small(from: &mut impl Read, file: &Entry, cap: u64) -> Result<Vec<u8>, BundleError> {
    if file.size > cap {
        let why = format!("{} has {} bytes, over the cap of {cap}", file.path, file.size);
        return Err(BundleError::Contradiction(why));
    }
    expect(from, &file.path, file.size)?;
    let bytes = bytes_of(from, &file.path, file.size)?;
    check(file, Digest::of(&bytes))?;
    Ok(bytes)
}

fn check(file: &Entry, found: Digest) -> Result<(), BundleError> {
    match found == file.digest {
        true => Ok(()),
        false => {
            let (path, expected) = (file.path.clone(), file.digest);
            Err(BundleError::Bytes { path, expected, found })
        }
    }
}

fn evidence<'a>(
    from: &mut impl Read,
    files: &mut impl Iterator<Item = &'a Entry>,
) -> Result<Evidence, BundleError> {
    let mut next = || -> Result<Vec<u8>, BundleError> {
        let file = files.next().ok_or_else(|| BundleError::Cut(EVIDENCE[0].to_owned()))?;
        small(from, file, EVIDENCE_CAP)
    };
    let (provenance, proof, key) = (next()?, next()?, next()?);
    let wrong = |_| BundleError::Contradiction(format!("{} is no text", EVIDENCE[2]));
    Ok(Evidence { provenance, proof, key: String::from_utf8(key).map_err(wrong)? })
}

/// Takes a blob into the store. One that is there already is read all the same: the bundle is to be
/// whole.
fn store(from: &mut impl Read, file: &Entry, cas: Option<&Cas>) -> Result<(), BundleError> {
    let Entry { path, digest, size } = file;
    expect(from, path, *size)?;
    let fresh = cas.map(|cas| cas.download(digest, *size)).transpose()?;
    match fresh.flatten() {
        Some(mut partial) => {
            partial.restart()?;
            copy(from, &mut partial, file)?;
            partial.finish().map_err(|error| match error {
                CasError::Mismatch { expected, found } => {
                    BundleError::Bytes { path: path.clone(), expected, found }
                }
                error => error.into(),
            })?;
        }
        None => {
            let mut hasher = Hasher::new();
            copy(from, &mut hasher, file)?;
            check(file, hasher.finish())?;
        }
    }
    expect_padding(from, path, *size)
}

fn copy(from: &mut impl Read, to: &mut impl Write, file: &Entry) -> Result<(), BundleError> {
    let copied = io::copy(&mut from.by_ref().take(file.size), to).map_err(reading(&file.path))?;
    if copied == file.size { Ok(()) } else { Err(BundleError::Cut(file.path.clone())) }
}

fn end(from: &mut impl Read) -> Result<(), BundleError> {
    let mut zeros = [0; END];
    from.read_exact(&mut zeros).map_err(reading("its end"))?;
    let more = from.read(&mut [0]).map_err(reading("its end"))?;
    if more == 0 && zeros.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(BundleError::Tail) }
}
