//! What the resolver keeps on disk: all of it can be made again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use kiln_model::Digest;
use kiln_wire::solver::KnownPath;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::NamedTempFile;

use crate::ResolveError;
use crate::question::Found;

/// The resolver's folder.
///
/// ```text
/// resolver.v1/
///   solver                       the solver that answered last, as `libsolv 0.7.23`
///   pools/<sha256>.solv          a repository's packages as the solver wrote them, named by the
///                                digest of its primary metadata, the solver and our format
///   paths/<sha256>.json          who has which path that primary metadata lack, by pool
///   answers/<ab>/<sha256>.json   an answer, named by the digest of all that it depends on
/// ```
///
/// Files appear by a rename, whole or not at all, and are never changed. What was used has a new
/// time of modification, so that [`Folder::sweep`] can tell what nobody used for long.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

fn io_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> ResolveError + 'a {
    move |source| ResolveError::Io { doing, path: path.to_owned(), source }
}

impl Folder {
    pub(crate) fn open(root: &Path) -> Result<Self, ResolveError> {
        let root = root.join("resolver.v1");
        for folder in ["pools", "paths", "answers"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(io_error("creating", &folder))?;
        }
        Ok(Self { root })
    }

    /// The solver that answered last; none yet in a new folder.
    pub(crate) fn solver(&self) -> Option<String> {
        fs::read_to_string(self.root.join("solver")).ok()
    }

    pub(crate) fn set_solver(&self, version: &str) -> Result<(), ResolveError> {
        match self.solver().as_deref() == Some(version) {
            true => Ok(()),
            false => self.write(&self.root.join("solver"), version.as_bytes()),
        }
    }

    /// The packages of a repository as the solver wrote them.
    pub(crate) fn pool(&self, key: &Digest) -> Option<File> {
        open_used(&self.pool_path(key))
    }

    pub(crate) fn pool_path(&self, key: &Digest) -> PathBuf {
        self.root.join("pools").join(format!("{}.solv", key.hex()))
    }

    /// A file to write packages to, and how to name it.
    pub(crate) fn new_pool(&self) -> Result<NamedTempFile, ResolveError> {
        let folder = self.root.join("pools");
        NamedTempFile::new_in(&folder).map_err(io_error("creating a file in", &folder))
    }

    pub(crate) fn keep_pool(&self, file: NamedTempFile, key: &Digest) -> Result<(), ResolveError> {
        let path = self.pool_path(key);
        file.persist(&path).map(drop).map_err(|error| io_error("naming", &path)(error.error))
    }

    pub(crate) fn drop_pool(&self, key: &Digest) {
        // Where it can't be removed, the next one takes its place.
        let _ = fs::remove_file(self.pool_path(key));
    }

    pub(crate) fn paths(&self, pool: &Digest) -> Vec<KnownPath> {
        self.read(&self.paths_path(pool)).unwrap_or_default()
    }

    pub(crate) fn set_paths(&self, pool: &Digest, known: &[KnownPath]) -> Result<(), ResolveError> {
        self.write_json(&self.paths_path(pool), &known)
    }

    fn paths_path(&self, pool: &Digest) -> PathBuf {
        self.root.join("paths").join(format!("{}.json", pool.hex()))
    }

    pub(crate) fn answer(&self, key: &Digest) -> Option<Found> {
        self.read(&self.answer_path(key))
    }

    pub(crate) fn set_answer(&self, key: &Digest, found: &Found) -> Result<(), ResolveError> {
        let path = self.answer_path(key);
        let folder = path.parent().expect("an answer lies in a folder");
        fs::create_dir_all(folder).map_err(io_error("creating", folder))?;
        self.write_json(&path, found)
    }

    fn answer_path(&self, key: &Digest) -> PathBuf {
        let hex = key.hex();
        self.root.join("answers").join(&hex[..2]).join(format!("{hex}.json"))
    }

    /// What is there and reads; a broken file is as good as none.
    fn read<T: DeserializeOwned>(&self, path: &Path) -> Option<T> {
        let file = open_used(path)?;
        serde_json::from_reader(io::BufReader::new(file)).ok()
    }

    fn write_json<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), ResolveError> {
        let bytes = serde_json::to_vec(value).expect("only text, numbers and lists");
        self.write(path, &bytes)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), ResolveError> {
        let folder = path.parent().expect("a file lies in a folder");
        let mut file =
            NamedTempFile::new_in(folder).map_err(io_error("creating a file in", folder))?;
        file.write_all(bytes).map_err(io_error("writing", path))?;
        file.persist(path).map(drop).map_err(|error| io_error("naming", path)(error.error))
    }

    /// Removes what nobody used since `before`; tells how many bytes that were.
    pub(crate) fn sweep(&self, before: SystemTime) -> Result<u64, ResolveError> {
        let mut freed = 0;
        let mut folders = vec![self.root.join("pools"), self.root.join("paths")];
        let answers = self.root.join("answers");
        for shelf in fs::read_dir(&answers).map_err(io_error("listing", &answers))? {
            folders.push(shelf.map_err(io_error("listing", &answers))?.path());
        }
        for folder in folders {
            for entry in fs::read_dir(&folder).map_err(io_error("listing", &folder))? {
                let entry = entry.map_err(io_error("listing", &folder))?;
                // One that another process removed meanwhile is none of ours.
                let Ok(metadata) = entry.metadata() else { continue };
                let old = metadata.modified().is_ok_and(|modified| modified < before);
                if old && fs::remove_file(entry.path()).is_ok() {
                    freed += metadata.len();
                }
            }
        }
        Ok(freed)
    }
}

/// Opens a file that is being used.
fn open_used(path: &Path) -> Option<File> {
    // Never for writing: a solver that is handed a pool must not be able to change it.
    let file = File::open(path).ok()?;
    // Only the sweep reads it; one that can't be set is swept early.
    let _ = file.set_modified(SystemTime::now());
    Some(file)
}
