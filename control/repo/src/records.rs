use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
