//! What a power cut leaves.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use kiln_model::Digest;

use crate::{Cas, CasError, io_error};

impl Cas {
    /// Returns when these blobs are on the disk, with their names: what a record names from then
    /// on is there after a power cut too. Each costs a wait for the disk; those that are there
    /// since long cost little.
    pub fn sync(&self, digests: impl IntoIterator<Item = Digest>) -> Result<(), CasError> {
        let mut shelves = BTreeSet::new();
        for digest in digests {
            let path = self.path(&digest);
            let file = File::open(&path).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => CasError::Missing(digest),
                _ => io_error("opening", &path)(error),
            })?;
            file.sync_data().map_err(io_error("writing", &path))?;
            shelves.extend(path.parent().map(Path::to_owned));
        }
        if !shelves.is_empty() {
            // A shelf may be new itself.
            shelves.insert(self.root.join("sha256"));
        }
        for shelf in shelves {
            File::open(&shelf)
                .and_then(|folder| folder.sync_all())
                .map_err(io_error("writing", &shelf))?;
        }
        Ok(())
    }

    /// Removes blobs that were written since `since` and are not what their names say, as a power
    /// cut leaves them of which nobody waited for the disk. Tells how many. What a disk refuses to
    /// read is an error, and is left as it is: the bytes may be right.
    pub fn mend(&self, since: std::time::SystemTime) -> Result<u64, CasError> {
        let mut removed = 0;
        for (digest, _) in self.list()? {
            let path = self.path(&digest);
            let changed = fs::metadata(&path).and_then(|about| about.modified());
            if changed.is_ok_and(|changed| changed < since) {
                continue;
            }
            let mut blob = self.read(&digest)?;
            match std::io::copy(&mut blob, &mut std::io::sink()) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    self.remove(&digest)?;
                    removed += 1;
                }
                Err(error) => return Err(io_error("reading", &path)(error)),
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::scratch::store;

    #[test]
    fn what_is_missing_cannot_be_synced() {
        let (_folder, cas) = store();
        let digest = cas.insert_bytes(b"clay").expect("stored");
        cas.sync([digest]).expect("synced");
        let other = Digest::of(b"glaze");
        assert!(
            matches!(cas.sync([digest, other]), Err(CasError::Missing(named)) if named == other)
        );
    }

    #[test]
    fn what_a_power_cut_left_half_written_is_removed_and_nothing_else() {
        let (_folder, cas) = store();
        let whole = cas.insert_bytes(b"clay").expect("stored");
        let half = cas.insert_bytes(b"glaze").expect("stored");
        let path = cas.path(&half);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, b"").expect("emptied");
        let later = SystemTime::now() + Duration::from_secs(60);
        assert_eq!(cas.mend(later).expect("looked"), 0, "nothing was written since");
        assert_eq!(cas.mend(SystemTime::UNIX_EPOCH).expect("mended"), 1);
        assert!(cas.has(&whole) && !cas.has(&half));
    }
}
