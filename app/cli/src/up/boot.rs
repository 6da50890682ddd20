//! What a power cut left half written.
//!
//! A killed process loses nothing that it wrote: the kernel has it. Only where the machine itself
//! went down may files be there by name and not by content, of which nobody waited for the disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kiln_cas::Cas;

use crate::failure::{Failure, doing};

/// Clocks are set.
const DOUBT: Duration = Duration::from_secs(3600);

/// `boot`: in which boot the service last ran, and by its time until when all was on the disk.
#[derive(Debug, Clone)]
pub(super) struct Boot {
    path: PathBuf,
    /// This boot's name (random(4)).
    id: String,
}

impl Boot {
    /// Of the service in that folder.
    pub(super) fn of(data: &Path) -> Result<Self, Failure> {
        let at = "/proc/sys/kernel/random/boot_id";
        let id = fs::read_to_string(at).map_err(doing(format!("reading {at}")))?;
        Ok(Self { path: data.join("boot"), id })
    }

    /// Removes blobs that the end of another boot left half written.
    pub(super) fn mend(&self, cas: &Cas) -> Result<(), Failure> {
        if fs::read_to_string(&self.path).is_ok_and(|last| last == self.id) {
            return Ok(());
        }
        let synced = fs::metadata(&self.path).and_then(|about| about.modified());
        let since = synced.ok().and_then(|at| at.checked_sub(DOUBT));
        let removed = cas.mend(since.unwrap_or(SystemTime::UNIX_EPOCH))?;
        if removed > 0 {
            tracing::warn!(removed, "blobs that the machine's end left half written");
        }
        self.sync()
    }

    /// Waits until all is on the disk, and notes it.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        let failed = || doing(format!("writing {}", self.path.display()));
        let folder = self.path.parent().unwrap_or(&self.path);
        let began = SystemTime::now();
        let synced = File::open(folder).and_then(|folder| Ok(rustix::fs::syncfs(&folder)?));
        synced.map_err(failed())?;
        let beside = self.path.with_extension("new");
        fs::write(&beside, &self.id).map_err(failed())?;
        File::options()
            .write(true)
            .open(&beside)
            .and_then(|file| file.set_modified(began))
            .and_then(|()| fs::rename(&beside, &self.path))
            .map_err(failed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_boot_left_is_looked_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let cas = Cas::open(&folder.path().join("blobs.v1")).expect("a store");
        let digest = cas.insert_bytes(b"clay").expect("kept");
        let boot = Boot::of(folder.path()).expect("read");
        boot.sync().expect("noted");
        let half = || {
            fs::remove_file(cas.path(&digest)).expect("removed");
            fs::write(cas.path(&digest), b"").expect("emptied");
        };
        half();
        boot.mend(&cas).expect("looked");
        assert!(cas.has(&digest), "in the same boot nothing is lost");
        fs::write(&boot.path, "another boot").expect("written");
        boot.mend(&cas).expect("mended");
        assert!(!cas.has(&digest));
        assert_eq!(fs::read_to_string(&boot.path).expect("read"), boot.id);
    }
}
