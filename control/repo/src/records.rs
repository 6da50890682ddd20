use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use kiln_cas::Cas;
use kiln_model::Digest;

use crate::describe::{DescribeError, Record};

/// Records of packages by the digest of their files, so that publishing reads only those that
/// are new.
///
/// ```text
/// records.v1/
///   ab/cdef….json.zst     one Record, packed; the two parts of the path are the digest
/// ```
///
/// It is a cache: whatever cannot be read is made again.
#[derive(Debug, Clone)]
pub struct Records {
    root: PathBuf,
}

impl Records {
    /// The records in `root`; the folder is made when the first is kept.
    pub fn open(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The record of a package in `cas`, from here or from its file.
    pub fn of(&self, cas: &Cas, package: &Digest) -> Result<Record, DescribeError> {
        if let Some(record) = self.find(package) {
            return Ok(record);
        }
        let mut blob =
            cas.read(package).map_err(|error| DescribeError::Io(io::Error::other(error)))?;
        let record = Record::read(&mut blob)?;
        // Not kept is not wrong: it will be read again.
        let _ = self.keep(&record);
        Ok(record)
    }

    /// Removes the records of packages that are not among these and that nobody made or read
    /// since a moment; tells how many.
    pub fn sweep(&self, kept: &BTreeSet<Digest>, moment: SystemTime) -> u64 {
        sweep_files(&self.root, moment, |shelf, name| {
            let hex = name.strip_suffix(".json.zst").map(|rest| format!("{shelf}{rest}"));
            let digest = hex.and_then(|hex| Digest::from_hex(&hex).ok());
            digest.is_some_and(|digest| kept.contains(&digest))
        })
    }

    fn path(&self, package: &Digest) -> PathBuf {
        let hex = package.hex();
        self.root.join(&hex[..2]).join(format!("{}.json.zst", &hex[2..]))
    }

    fn find(&self, package: &Digest) -> Option<Record> {
        let packed = fs::read(self.path(package)).ok()?;
        let json = zstd::decode_all(&*packed).ok()?;
        let record: Record = serde_json::from_slice(&json).ok()?;
        (record.digest == *package).then_some(record)
    }

    fn keep(&self, record: &Record) -> io::Result<()> {
        let path = self.path(&record.digest);
        let folder = path.parent().expect("a record lies in a folder");
        fs::create_dir_all(folder)?;
        let json = serde_json::to_vec(record).map_err(io::Error::other)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&zstd::encode_all(&*json, 3)?)?;
        file.persist(path)?;
        Ok(())
    }
}

/// Removes files of a folder of shelves that were last changed before a moment, but not those to
/// keep, by shelf and name; tells how many. One that can't be removed is tried the next time.
pub(crate) fn sweep_files(
    root: &Path,
    moment: SystemTime,
    is_kept: impl Fn(&str, &str) -> bool,
) -> u64 {
    let mut removed = 0;
    let Ok(shelves) = fs::read_dir(root) else { return 0 };
    for shelf in shelves.flatten() {
        let Ok(files) = fs::read_dir(shelf.path()) else { continue };
        for file in files.flatten() {
            let changed = file.metadata().and_then(|about| about.modified());
            let (folder, name) = (shelf.file_name(), file.file_name());
            let names = folder.to_str().zip(name.to_str());
            let is_old = changed.is_ok_and(|changed| changed < moment);
            if is_old && !names.is_some_and(|(shelf, name)| is_kept(shelf, name)) {
                removed += u64::from(fs::remove_file(file.path()).is_ok());
            }
        }
    }
    removed
}
