use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kiln_fetch::Validator;
use kiln_model::{Digest, RepoSpec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{MetadataBlob, RepoError, Snapshot};

/// What is known of repositories, on disk. The bytes themselves are in the Cas.
///
/// ```text
/// snapshots.v1/                 0700
///   fedora-5f0c…/               one for each way to reach a repository: its id, and a digest of
///                               its places, keys and what is checked
///     head.json                 which generation is the newest, and when that was last seen
///     <sha256>.json             a Snapshot, named by the digest of its repomd.xml; never changed
///   filelists/<sha256>.json      where the file lists of that generation are in the Cas
///   keys/<fingerprint>.asc      keys that a target names by fingerprint
///   checked/<keys>/<sha256>     an empty file: that package has a good signature by these keys
/// ```
///
/// Every file appears by a rename, so two processes may do the same at one time.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// The newest generation that was seen, and by what it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    /// Its `repomd.xml`.
    pub(crate) repomd: Digest,
    /// When it was last seen to be the newest, in seconds since 1970.
    pub(crate) seen: u64,
    /// The list of mirrors, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) list: Option<List>,
    /// What the place said of its `repomd.xml`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) validators: BTreeMap<String, Validator>,
}

/// A metalink or mirror list that is in the Cas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    pub(crate) digest: Digest,
    pub(crate) validator: Validator,
}

impl Folder {
    pub(crate) fn open(root: &Path) -> Result<Self, RepoError> {
        let folder = Self { root: root.to_owned() };
        fs::create_dir_all(root).map_err(io_error("creating", root))?;
        fs::set_permissions(root, Permissions::from_mode(0o700))
            .map_err(io_error("setting the mode of", root))?;
        Ok(folder)
    }

    fn of(&self, repo: &RepoSpec) -> PathBuf {
        let RepoSpec { baseurl, mirrorlist, metalink, keys, check_metadata, .. } = repo;
        let means = serde_json::to_vec(&(baseurl, mirrorlist, metalink, keys, check_metadata));
        let means = means.expect("texts and lists of them can be JSON");
        self.root.join(format!("{}-{}", repo.id, &Digest::of(&means).hex()[..16]))
    }

    pub(crate) fn head(&self, repo: &RepoSpec) -> Result<Option<Head>, RepoError> {
        read(&self.of(repo).join("head.json"))
    }

    pub(crate) fn save_head(&self, repo: &RepoSpec, head: &Head) -> Result<(), RepoError> {
        write(&self.of(repo).join("head.json"), head)
    }

    pub(crate) fn snapshot(
        &self,
        repo: &RepoSpec,
        repomd: &Digest,
    ) -> Result<Option<Snapshot>, RepoError> {
        read(&self.of(repo).join(format!("{}.json", repomd.hex())))
    }

    pub(crate) fn save(&self, repo: &RepoSpec, snapshot: &Snapshot) -> Result<(), RepoError> {
        write(&self.of(repo).join(format!("{}.json", snapshot.repomd.hex())), snapshot)
    }

    /// The file lists of a generation; the same bytes whichever way it was reached.
    pub(crate) fn filelists(&self, snapshot: &Snapshot) -> Result<Option<MetadataBlob>, RepoError> {
        read(&self.filelists_path(snapshot))
    }

    pub(crate) fn save_filelists(
        &self,
        snapshot: &Snapshot,
        blob: &MetadataBlob,
    ) -> Result<(), RepoError> {
        write(&self.filelists_path(snapshot), blob)
    }

    fn filelists_path(&self, snapshot: &Snapshot) -> PathBuf {
        self.root.join("filelists").join(format!("{}.json", snapshot.repomd.hex()))
    }

    pub(crate) fn key(&self, fingerprint: &str) -> Result<Option<Vec<u8>>, RepoError> {
        let path = self.key_path(fingerprint);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("reading", &path)(error)),
        }
    }

    pub(crate) fn save_key(&self, fingerprint: &str, bytes: &[u8]) -> Result<(), RepoError> {
        write_bytes(&self.key_path(fingerprint), bytes)
    }

    fn key_path(&self, fingerprint: &str) -> PathBuf {
        self.root.join("keys").join(format!("{fingerprint}.asc"))
    }

    /// Where a package is noted that has a good signature by these keys.
    fn checked_path(&self, keys: &[String], package: &Digest) -> PathBuf {
        let keys = Digest::of(keys.join(" ").as_bytes()).hex();
        self.root.join("checked").join(&keys[..16]).join(package.hex())
    }

    pub(crate) fn is_checked(&self, keys: &[String], package: &Digest) -> bool {
        self.checked_path(keys, package).exists()
    }

    pub(crate) fn note_checked(&self, keys: &[String], package: &Digest) -> Result<(), RepoError> {
        write_bytes(&self.checked_path(keys, package), b"")
    }

    /// Every blob that some generation here refers to.
    pub(crate) fn in_use(&self) -> Result<BTreeSet<Digest>, RepoError> {
        let mut blobs = BTreeSet::new();
        for path in files_below(&self.root)? {
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            if let Ok(Some(Head { repomd, list, .. })) = read::<Head>(&path) {
                blobs.insert(repomd);
                blobs.extend(list.map(|list| list.digest));
            } else if let Ok(Some(snapshot)) = read::<Snapshot>(&path) {
                blobs.extend([snapshot.repomd, snapshot.primary.digest]);
                blobs.extend(snapshot.modules.map(|modules| modules.digest));
            } else if let Ok(Some(blob)) = read::<MetadataBlob>(&path) {
                blobs.insert(blob.digest);
            }
        }
        Ok(blobs)
    }
}

/// The files two levels down, where all of them lie.
fn files_below(root: &Path) -> Result<Vec<PathBuf>, RepoError> {
    let mut files = Vec::new();
    for folder in fs::read_dir(root).map_err(io_error("listing", root))? {
        let folder = folder.map_err(io_error("listing", root))?.path();
        if folder.is_dir() {
            for file in fs::read_dir(&folder).map_err(io_error("listing", &folder))? {
                files.push(file.map_err(io_error("listing", &folder))?.path());
            }
        }
    }
    Ok(files)
}

/// Reads a file of ours. One that cannot be read any more is as good as none: it is a cache.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RepoError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("reading", path)(error)),
    }
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), RepoError> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("our own types can be JSON");
    bytes.push(b'\n');
    write_bytes(path, &bytes)
}

fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), RepoError> {
    let folder = path.parent().expect("every file of ours lies in a folder");
    fs::create_dir_all(folder).map_err(io_error("creating", folder))?;
    let mut file =
        tempfile::NamedTempFile::new_in(folder).map_err(io_error("creating a file in", folder))?;
    file.write_all(bytes).map_err(io_error("writing", path))?;
    file.persist(path).map(drop).map_err(|error| io_error("naming", path)(error.error))
}

pub(crate) fn io_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> RepoError + 'a {
    move |source| RepoError::Io { doing, path: path.to_owned(), source }
}
