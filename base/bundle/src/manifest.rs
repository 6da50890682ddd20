use std::collections::BTreeMap;

use kiln_attest::{AttestError, PublicKey, Verified, canonical, read_canonical};
use kiln_model::{Digest, Lock};
use kiln_wire::record::{self, Record};
use serde::{Deserialize, Serialize};

use crate::BundleError;

/// The version of bundles.
pub(crate) const VERSION: u32 = 1;

/// The longest manifest that is read, in bytes: one of ten thousand packages has some two million.
pub(crate) const CAP: u64 = 32 << 20;

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const CHECKSUM: &str = "manifest.sha256";
pub(crate) const LOCK: &str = "kiln.lock";
pub(crate) const BASE: &str = "base.lock";
pub(crate) const EVIDENCE: [&str; 3] =
    ["evidence/provenance.json", "evidence/proof.json", "evidence/key.pem"];
const BLOBS: &str = "blobs/";

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) version: u32,
    pub(crate) record: Record,
    /// Every file behind the manifest, in the order in which they stand there.
    pub(crate) files: Vec<Entry>,
}

/// A file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// What shows how a build was made, as far as the bundle has it. Whose key that is, the bundle
/// cannot show: whoever has it must compare it with what they know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The envelope with the statement of provenance.
    pub provenance: Vec<u8>,
    /// That the log holds it.
    pub proof: Vec<u8>,
    /// The public key of both, PEM.
    pub key: String,
}

impl Evidence {
    /// The files, at the places of [`EVIDENCE`].
    pub(crate) fn files(&self) -> [&[u8]; 3] {
        [&self.provenance, &self.proof, self.key.as_bytes()]
    }

    /// That this key has signed how a build with this record was made, and that its log holds that.
    pub fn check(&self, key: &PublicKey, record: &Record) -> Result<Verified, AttestError> {
        let verified = Verified::read(&self.provenance, key)?;
        kiln_attest::Proof::read(&self.proof)?.check(&verified.envelope, key)?;
        verified.check_record(record)?;
        Ok(verified)
    }
}

impl Manifest {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        canonical(self)
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BundleError> {
        let manifest: Self = read_canonical(bytes, MANIFEST, CAP as usize)?;
        if manifest.version != VERSION {
            return Err(BundleError::Version { found: manifest.version, known: VERSION });
        }
        if manifest.record.version != record::VERSION {
            let (what, found) = ("record", manifest.record.version);
            return Err(AttestError::Version { what, found, known: record::VERSION }.into());
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// That its files have the names and the order that a bundle's files have.
    fn check(&self) -> Result<(), BundleError> {
        let contradiction = |why: String| Err(BundleError::Contradiction(why));
        let mut files = self.files.iter();
        match files.next() {
            Some(first) if first.path == LOCK && first.digest == self.record.lock => {}
            _ => return contradiction("the lock of its record is not its first file".to_owned()),
        }
        if let Some(base) = &self.record.base {
            match files.next() {
                Some(second) if second.path == BASE && second.digest == *base => {}
                _ => return contradiction(format!("{BASE} is not where it is due")),
            }
        }
        if self.has_evidence() {
            for path in EVIDENCE {
                if files.next().is_none_or(|file| file.path != path) {
                    return contradiction(format!("{path} is not where it is due"));
                }
            }
        }
        let mut before: Option<&Entry> = None;
        for file in files {
            if file.path != blob_path(&file.digest) {
                return contradiction("a blob is not called by its digest".to_owned());
            }
            if before.is_some_and(|before| before.digest >= file.digest) {
                return contradiction(format!("{} is out of order or twice there", file.path));
            }
            before = Some(file);
        }
        Ok(())
    }

    /// Whether it names evidence.
    pub(crate) fn has_evidence(&self) -> bool {
        let at = 1 + usize::from(self.record.base.is_some());
        self.files.get(at).is_some_and(|file| file.path == EVIDENCE[0])
    }

    /// That it names what a rebuild needs, with its size, and nothing else.
    pub(crate) fn check_needs(&self, locks: &[Lock]) -> Result<(), BundleError> {
        let needs = needs(&self.record, locks);
        let blobs = || self.files.iter().filter(|file| file.path.starts_with(BLOBS));
        let there: BTreeMap<Digest, u64> = blobs().map(|file| (file.digest, file.size)).collect();
        for (digest, need) in &needs {
            match there.get(digest) {
                None => {
                    let (what, digest) = (need.what.clone(), *digest);
                    return Err(BundleError::Missing { what, digest });
                }
                Some(size) if *size != need.size => {
                    let why = format!("{} has another size than the build says", need.what);
                    return Err(BundleError::Contradiction(why));
                }
                Some(_) => {}
            }
        }
        match blobs().find(|file| !needs.contains_key(&file.digest)) {
            Some(file) => Err(BundleError::Stranger(file.path.clone())),
            None => Ok(()),
        }
    }
}

/// A blob that a rebuild needs.
pub(crate) struct Need {
    pub(crate) what: String,
    pub(crate) size: u64,
}

/// The blobs that it takes to make a build again and to compare what comes out: sources, results,
/// and every package of the buildroots and of the toolbox.
pub(crate) fn needs(record: &Record, locks: &[Lock]) -> BTreeMap<Digest, Need> {
    let sources = record.source.files().iter().map(|file| {
        (file.digest, Need { what: format!("the source {}", file.name), size: file.size })
    });
    let packages = locks.iter().flat_map(Lock::every_package).map(|package| {
        (
            package.digest,
            Need { what: format!("the package {}", package.nevra), size: package.size },
        )
    });
    let results = record.artifacts.iter().map(|made| {
        (made.digest, Need { what: format!("the result {}", made.name), size: made.size })
    });
    sources.chain(packages).chain(results).collect()
}

pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}{}", digest.hex())
}

/// The line that sha256sum(1) writes of the manifest.
pub(crate) fn checksum_line(digest: &Digest) -> String {
    format!("{}  {MANIFEST}\n", digest.hex())
}
