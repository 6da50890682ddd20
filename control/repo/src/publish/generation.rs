//! A generation of a repository, in the store.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;

use kiln_cas::{Cas, Inserter};
use kiln_model::{Digest, Nevra};
use kiln_parse::checksum::Checksum;
use kiln_parse::compression::Compression;
use serde::{Deserialize, Serialize};

use super::chunks::Chunks;
use super::document::{Document, Shelf, Source, write_documents};
use super::{PublishError, WriteOptions};
use crate::describe::Record;
use crate::records::Records;
use crate::snapshot::{MetadataBlob, MetadataRef, Snapshot};

/// A package of a repository, as it is listed; what rpm-md says of it is looked up when it is
/// needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The digest of its file, which is in the store.
    pub digest: Digest,
    /// What it is.
    pub nevra: Nevra,
    /// Where its file lies, relative to the repository.
    pub location: String,
    /// When the file was last changed, in seconds since 1970: for readers that go by it. A
    /// number that does not change with the copy makes the same repository everywhere.
    pub mtime: u64,
}

/// One immutable generation of a repository of our own; all of its files are in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// The digest of its `repomd.xml`, which names it.
    pub repomd: Digest,
    /// What it is called, and when it was made: seconds since 1970.
    pub revision: u64,
    /// How many packages it has.
    pub packages: u64,
    /// Its metadata, by where they lie relative to the repository. The packages lie where they
    /// were [`Listed`].
    pub files: BTreeMap<String, RepoFile>,
    primary: MetadataBlob,
    filelists: MetadataRef,
}

/// A file of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepoFile {
    /// Its bytes, in the store.
    pub digest: Digest,
    /// How many.
    pub size: u64,
}

/// Writes the metadata of a repository of these packages into the store. The same packages and
/// options give the same generation.
///
/// Packages stand in chunks that are packed once and kept in `chunks`, so that a generation which
/// differs in a few packages from one before packs those chunks that have them.
pub fn write_generation(
    listed: &[Listed],
    options: &WriteOptions,
    records: &Records,
    chunks: &Chunks,
    cas: &Cas,
) -> Result<Generation, PublishError> {
    let source = Stored { listed, records, cas };
    let write = || write_documents(&source, chunks, &InStore(cas), options);
    let mut tries = 0;
    let documents = loop {
        match write() {
            Err(PublishError::Stale(path)) if tries < listed.len() + 1 => {
                // One by one: each that can't be read is removed and made anew.
                let _ = fs::remove_file(&path);
                tries += 1;
            }
            written => break written?,
        }
    };
    let repomd = RepoFile {
        digest: cas.insert_bytes(documents.repomd.as_bytes())?,
        size: documents.repomd.len() as u64,
    };
    let mut files = BTreeMap::from([("repodata/repomd.xml".to_owned(), repomd)]);
    for part in &documents.parts {
        files.insert(part.name.clone(), RepoFile { digest: part.digest, size: part.size });
    }
    let [primary, filelists, _] = &documents.parts;
    Ok(Generation {
        repomd: repomd.digest,
        revision: options.revision,
        packages: documents.packages,
        files,
        primary: blob_of(primary, options),
        filelists: ref_of(filelists),
    })
}

impl Generation {
    /// As one with a signature over its `repomd.xml`, in ASCII armour.
    pub fn with_signature(mut self, signature: &[u8], cas: &Cas) -> Result<Self, PublishError> {
        let digest = cas.insert_bytes(signature)?;
        let file = RepoFile { digest, size: signature.len() as u64 };
        self.files.insert("repodata/repomd.xml.asc".to_owned(), file);
        Ok(self)
    }

    /// The generation as the resolver takes it, which finds all of it in the store: under the id
    /// `repo`, with lower priorities preferred. `places` are the bases that it can be fetched
    /// from, each ending in `/`, for whoever has another store.
    pub fn snapshot(&self, repo: &str, places: &[String], priority: u16) -> Snapshot {
        Snapshot {
            repo: repo.to_owned(),
            repomd: self.repomd,
            revision: self.revision.to_string(),
            made: self.revision,
            packages: self.packages,
            primary: self.primary.clone(),
            filelists: Some(self.filelists.clone()),
            modules: None,
            places: places.to_vec(),
            package_places: places.to_vec(),
            package_prefix: String::new(),
            priority,
            exclude: Vec::new(),
        }
    }
}

fn blob_of(document: &Document, options: &WriteOptions) -> MetadataBlob {
    MetadataBlob {
        digest: document.digest,
        size: document.size,
        compression: if options.gzip { Compression::Gzip } else { Compression::Zstd },
        open_size: document.open_size,
    }
}

fn ref_of(document: &Document) -> MetadataRef {
    MetadataRef {
        location: document.name.clone(),
        checksum: Checksum::Sha256(document.digest),
        size: Some(document.size),
        open_size: document.open_size,
    }
}

/// Packages whose records are kept, or made from their files.
struct Stored<'a> {
    listed: &'a [Listed],
    records: &'a Records,
    cas: &'a Cas,
}

impl Source for Stored<'_> {
    fn listed(&self) -> Vec<Cow<'_, Listed>> {
        self.listed.iter().map(Cow::Borrowed).collect()
    }

    fn record(&self, at: usize) -> Result<Cow<'_, Record>, PublishError> {
        let one = &self.listed[at];
        let record = self.records.of(self.cas, &one.digest);
        record
            .map(Cow::Owned)
            .map_err(|source| PublishError::Record { package: one.nevra.to_string(), source })
    }
}

/// Documents that become blobs of the store.
struct InStore<'a>(&'a Cas);

impl<'a> Shelf for InStore<'a> {
    type File = Inserter<'a>;

    fn begin(&self) -> Result<Inserter<'a>, PublishError> {
        Ok(self.0.insert()?)
    }

    fn end(&self, file: Inserter<'a>, _: &str) -> Result<(Digest, u64), PublishError> {
        Ok(file.finish()?)
    }
}
