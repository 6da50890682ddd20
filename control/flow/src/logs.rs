use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use kiln_model::{JobId, LeaseKey};

/// The logs of attempts.
///
/// ```text
/// logs.v1/JOB-EPOCH/build.log      making and building the source package
/// logs.v1/JOB-EPOCH/root.log       making the buildroot; only where something was made
/// ```
///
/// What is in them is a stranger's: bytes, bounded by the limit on logs, never obeyed.
#[derive(Debug, Clone)]
pub struct Logs {
    folder: PathBuf,
    open: Arc<Mutex<BTreeMap<(LeaseKey, &'static str), File>>>,
}

/// Why a log could not be kept or read.
#[derive(Debug, thiserror::Error)]
#[error("keeping the log in {}", path.display())]
pub struct LogError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Logs {
    /// Keeps logs in `folder`.
    pub fn open(folder: &Path) -> Result<Self, LogError> {
        let failed = |source| LogError { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        Ok(Self { folder: folder.to_owned(), open: Arc::default() })
    }

    /// Where a log of an attempt is, or would be; `name` is `build` or `root`.
    pub fn path(&self, key: LeaseKey, name: &str) -> PathBuf {
        self.folder.join(format!("{}-{}", key.job.0, key.epoch.0)).join(format!("{name}.log"))
    }

    /// Appends to a log.
    pub fn append(&self, key: LeaseKey, name: &'static str, bytes: &[u8]) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.entry((key, name)) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => {
                let path = self.path(key, name);
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent)?;
                }
                free.insert(OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        file.write_all(bytes)
    }

    /// Appends what was written from `offset` on: what is there already is passed over, and a gap
    /// is an error. Said twice, it is there once.
    pub fn append_at(
        &self,
        key: LeaseKey,
        name: &'static str,
        offset: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        let have = match fs::metadata(self.path(key, name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            about => about?.len(),
        };
        let Some(known) = have.checked_sub(offset) else {
            let text = format!("a log of {have} bytes cannot go on at {offset}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        match bytes.get(known as usize..) {
            Some(fresh) if !fresh.is_empty() => self.append(key, name, fresh),
            _ => Ok(()),
        }
    }

    /// At most `cap` bytes of a log from `offset` on; nothing where there is no such log yet, or not
    /// so much of it.
    pub fn read(&self, key: LeaseKey, name: &str, offset: u64, cap: u64) -> io::Result<Vec<u8>> {
        let mut file = match File::open(self.path(key, name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result?,
        };
        let mut bytes = Vec::new();
        // Of far beyond its end the kernel would say that there is no such place.
        if offset >= file.metadata()?.len() {
            return Ok(bytes);
        }
        file.seek(SeekFrom::Start(offset))?;
        file.take(cap).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Lets go of an attempt's files.
    pub fn close(&self, key: LeaseKey) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(of, _), _| *of != key);
    }

    /// The jobs of which there are logs.
    pub fn jobs(&self) -> BTreeSet<JobId> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return BTreeSet::new() };
        entries.flatten().filter_map(|entry| job_of(&entry.file_name())).collect()
    }

    /// Removes the logs of every attempt at these jobs; tells how many attempts.
    pub fn remove(&self, jobs: &BTreeSet<JobId>) -> u64 {
        let Ok(entries) = fs::read_dir(&self.folder) else { return 0 };
        let gone = entries.flatten().filter(|entry| {
            job_of(&entry.file_name()).is_some_and(|job| jobs.contains(&job))
                && fs::remove_dir_all(entry.path()).is_ok()
        });
        gone.count() as u64
    }

    /// The last `cap` bytes of a log; nothing where there is no such log.
    pub fn tail(&self, key: LeaseKey, name: &str, cap: u64) -> io::Result<Vec<u8>> {
        let mut file = match File::open(self.path(key, name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result?,
        };
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(cap)))?;
        let mut bytes = Vec::new();
        file.take(cap).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// The job that a folder of logs is of.
fn job_of(name: &OsStr) -> Option<JobId> {
    let (job, _) = name.to_str()?.split_once('-')?;
    job.parse().ok().map(JobId)
}

#[cfg(test)]
mod tests {
    use kiln_model::Epoch;

    use super::*;

    #[test]
    fn a_log_grows_and_its_end_can_be_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let logs = Logs::open(folder.path()).expect("opened");
        let key = LeaseKey { job: JobId(1), epoch: Epoch(1) };
        assert_eq!(logs.tail(key, "build", 10).expect("read"), b"");
        logs.append(key, "build", b"one two ").expect("written");
        logs.append(key, "build", b"three").expect("written");
        assert_eq!(logs.tail(key, "build", 5).expect("read"), b"three");
        assert_eq!(logs.tail(key, "build", 100).expect("read"), b"one two three");
        assert_eq!(logs.read(key, "build", 4, 3).expect("read"), b"two");
        assert_eq!(logs.jobs(), BTreeSet::from([JobId(1)]));
        assert_eq!((logs.remove(&[JobId(2)].into()), logs.remove(&[JobId(1)].into())), (0, 1));
        assert!(logs.jobs().is_empty());
    }

    #[test]
    fn a_piece_that_is_said_twice_is_there_once_and_a_gap_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let logs = Logs::open(folder.path()).expect("opened");
        let key = LeaseKey { job: JobId(1), epoch: Epoch(1) };
        logs.append_at(key, "build", 0, b"abc").expect("written");
        logs.append_at(key, "build", 0, b"abc").expect("passed over");
        logs.append_at(key, "build", 1, b"bcde").expect("written in part");
        assert!(logs.append_at(key, "build", 9, b"x").is_err());
        assert_eq!(logs.tail(key, "build", 100).expect("read"), b"abcde");
    }
}
