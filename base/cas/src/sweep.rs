//! Removing what nothing needs while others go on reading and writing.
//!
//! Whoever is told that a blob is here ([`Cas::has`]) may count on it for [`KEPT`]: being asked
//! for makes it young. What is old, and named by nothing that is kept, can go.

use std::fs::{self, File, FileTimes};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use kiln_model::Digest;

use crate::{Cas, CasError, io_error};

/// For how long a blob stays at least that somebody has asked for.
pub const KEPT: Duration = Duration::from_secs(3600);

/// How old a blob looks that was asked for is not said more often than this.
const TOLD: Duration = Duration::from_secs(600);

impl Cas {
    /// Whether the blob is here; then it stays for [`KEPT`] at least, whoever sweeps.
    pub fn has(&self, digest: &Digest) -> bool {
        let path = self.path(digest);
        let Ok(about) = fs::metadata(&path) else { return false };
        let used = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if used.elapsed().is_ok_and(|age| age > TOLD) {
            return match touch(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                // Another user's store, that this one may only read: it isn't swept by it either.
                _ => true,
            };
        }
        true
    }

    /// Keeps every blob here that is here now, for as long as the file is held: nobody sweeps.
    pub fn hold(&self) -> Result<File, CasError> {
        let (file, path) = self.sweep_lock()?;
        file.lock_shared().map_err(io_error("locking", &path))?;
        Ok(file)
    }

    /// The right to sweep, for as long as the file is held; nothing where somebody else sweeps,
    /// or holds what is here.
    pub fn begin_sweep(&self) -> Result<Option<File>, CasError> {
        let (file, _) = self.sweep_lock()?;
        Ok(file.try_lock().is_ok().then_some(file))
    }

    fn sweep_lock(&self) -> Result<(File, std::path::PathBuf), CasError> {
        let path = self.root.join("sweep.lock");
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        Ok((open.map_err(io_error("opening", &path))?, path))
    }

    /// Puts a blob of this store into another one: by a link, or by a copy that is checked where
    /// no link can be made. Whether it was by a link.
    pub fn share(&self, digest: &Digest, to: &Self) -> Result<bool, CasError> {
        let place = to.path(digest);
        let shelf = place.parent().expect("a blob lies on a shelf");
        fs::create_dir_all(shelf).map_err(io_error("creating", shelf))?;
        match fs::hard_link(self.path(digest), &place) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(true),
            // Another file system, or one without links: whatever it is, a copy says so too.
            Err(_) => {}
        }
        to.insert_from(&mut self.read(digest)?)?;
        Ok(false)
    }

    /// The blobs that nobody has written or asked for since a moment, with their sizes in bytes.
    pub fn unused_since(&self, moment: SystemTime) -> Result<Vec<(Digest, u64)>, CasError> {
        let mut unused = self.list()?;
        unused.retain(|(digest, _)| is_older(&self.path(digest), moment));
        Ok(unused)
    }

    /// Removes a blob, unless somebody wrote it or asked for it since a moment; whether it did.
    pub fn remove_unused(&self, digest: &Digest, moment: SystemTime) -> Result<bool, CasError> {
        let path = self.path(digest);
        let aside = self.root.join("part").join(format!(".gone-{}", digest.hex()));
        match fs::rename(&path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            renamed => renamed.map_err(io_error("setting aside", &path))?,
        }
        // Where nobody can ask for it any more it is looked at once more.
        if is_older(&aside, moment) {
            fs::remove_file(&aside).map_err(io_error("removing", &path))?;
            return Ok(true);
        }
        fs::rename(&aside, &path).map_err(io_error("putting back", &path))?;
        Ok(false)
    }

    /// Removes downloads and uploads that nobody went on with since a moment, and what killed
    /// processes left; tells how many.
    pub fn remove_parts(&self, moment: SystemTime) -> Result<u64, CasError> {
        let folder = self.root.join("part");
        let mut removed = 0;
        for entry in fs::read_dir(&folder).map_err(io_error("listing", &folder))? {
            let path = entry.map_err(io_error("listing", &folder))?.path();
            if !is_older(&path, moment) {
                continue;
            }
            let Ok(file) = File::open(&path) else { continue };
            // Whoever holds it goes on with it.
            if file.try_lock().is_ok() {
                fs::remove_file(&path).map_err(io_error("removing", &path))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn touch(path: &Path) -> io::Result<()> {
    File::open(path)?.set_times(FileTimes::new().set_modified(SystemTime::now()))
}

/// Whether a file is there that was last written or asked for before a moment.
fn is_older(path: &Path, moment: SystemTime) -> bool {
    fs::metadata(path).and_then(|about| about.modified()).is_ok_and(|used| used < moment)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::scratch::store;

    fn age(path: &Path, hours: u64) {
        let then = SystemTime::now() - Duration::from_secs(hours * 3600);
        let times = FileTimes::new().set_modified(then);
        File::open(path).expect("opened").set_times(times).expect("aged");
    }

    #[test]
    fn what_somebody_asks_for_is_young_again_and_stays() {
        let (_folder, cas) = store();
        let (old, asked) =
            (cas.insert_bytes(b"clay").expect("kept"), cas.insert_bytes(b"glaze").expect("kept"));
        for digest in [&old, &asked] {
            age(&cas.path(digest), 48);
        }
        let moment = SystemTime::now() - KEPT;
        assert_eq!(cas.unused_since(moment).expect("listed").len(), 2);
        assert!(cas.has(&asked));
        for (digest, is_removed) in [(&old, true), (&asked, false)] {
            assert_eq!(cas.remove_unused(digest, moment).expect("tried"), is_removed);
            assert_eq!(cas.has(digest), !is_removed);
        }
        assert_eq!(cas.read_to_vec(&asked, 9).expect("read"), b"glaze");
        assert!(!cas.remove_unused(&old, moment).expect("tried"), "it is gone already");
    }

    #[test]
    fn nobody_sweeps_while_somebody_holds_what_is_there() {
        let (folder, cas) = store();
        let digest = cas.insert_bytes(b"clay").expect("kept");
        let held = cas.hold().expect("held");
        assert!(cas.begin_sweep().expect("tried").is_none());
        let other = Cas::open(&folder.path().join("other")).expect("a store");
        assert!(cas.share(&digest, &other).expect("shared"), "by a link");
        drop(held);
        assert!(cas.begin_sweep().expect("tried").is_some());
        assert_eq!(other.read_to_vec(&digest, 9).expect("read"), b"clay");
    }

    #[test]
    fn a_part_that_somebody_holds_is_not_removed() {
        let (folder, cas) = store();
        let (one, other) = (Digest::of(b"stoneware"), Digest::of(b"porcelain"));
        let mut held = cas.download(&one, 9).expect("begun").expect("not here");
        held.write_all(b"stone").expect("written");
        let mut left = cas.download(&other, 9).expect("begun").expect("not here");
        left.write_all(b"porc").expect("written");
        drop(left);
        for digest in [&one, &other] {
            age(&folder.path().join("blobs.v1/part").join(digest.hex()), 48);
        }
        assert_eq!(cas.remove_parts(SystemTime::now() - KEPT).expect("removed"), 1);
        held.write_all(b"ware").expect("written");
        held.finish().expect("whole");
        assert!(cas.has(&one));
    }
}
