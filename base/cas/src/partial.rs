use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kiln_model::{Digest, Hasher};

use crate::{Cas, CasError, io_error};

/// A download under way, kept across processes: a second try goes on where the first one ended.
///
/// The file is locked (flock) for as long as this lives, so two processes never write one blob.
#[derive(Debug)]
pub struct Partial<'a> {
    cas: &'a Cas,
    file: File,
    path: PathBuf,
    digest: Digest,
    size: u64,
    hasher: Hasher,
}

impl<'a> Partial<'a> {
    pub(crate) fn open(cas: &'a Cas, digest: &Digest, size: u64) -> Result<Option<Self>, CasError> {
        if cas.has(digest) {
            return Ok(None);
        }
        let path = cas.part(digest);
        let mut file = open_locked(&path)?;
        if cas.has(digest) {
            // Whoever held the lock has finished it; what lies at the path now is our empty file.
            let _ = fs::remove_file(&path);
            return Ok(None);
        }
        let hasher = hash_what_is_there(&mut file).map_err(io_error("reading", &path))?;
        let mut partial = Self { cas, file, path, digest: *digest, size, hasher };
        if partial.have() > size {
            partial.restart()?;
        }
        Ok(Some(partial))
    }

    /// How many bytes are there already: where to go on.
    pub fn have(&self) -> u64 {
        self.hasher.bytes()
    }

    /// Forgets what is there: the source cannot go on where it ended, or sent something else.
    pub fn restart(&mut self) -> Result<(), CasError> {
        self.hasher = Hasher::new();
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map(drop)
            .map_err(io_error("emptying", &self.path))
    }

    /// Ends the download. Wrong bytes are thrown away, so that the next try starts clean.
    pub fn finish(mut self) -> Result<(), CasError> {
        let found = self.have();
        if found != self.size {
            let _ = fs::remove_file(&self.path);
            return Err(CasError::Size { digest: self.digest, expected: self.size, found });
        }
        let found = std::mem::take(&mut self.hasher).finish();
        if found != self.digest {
            let _ = fs::remove_file(&self.path);
            return Err(CasError::Mismatch { expected: self.digest, found });
        }
        self.cas.shelve(&self.file, &self.path, &self.digest)
    }
}

impl Write for Partial<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.have() + bytes.len() as u64 > self.size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("more than the {} bytes that were announced", self.size),
            ));
        }
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Partial<'_> {
    /// What nothing came of is not worth keeping.
    fn drop(&mut self) {
        let is_ours = |ours: fs::Metadata| {
            ours.len() == 0 && fs::metadata(&self.path).is_ok_and(|there| there.ino() == ours.ino())
        };
        if self.file.metadata().is_ok_and(is_ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens and locks the file at `path`; again where whoever held the lock has since moved or
/// removed it, since the lock would then be on a file that nobody else sees.
fn open_locked(path: &Path) -> Result<File, CasError> {
    loop {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(io_error("creating", path))?;
        file.lock().map_err(io_error("locking", path))?;
        let ours = file.metadata().map_err(io_error("reading", path))?.ino();
        match fs::metadata(path) {
            Ok(there) if there.ino() == ours => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("reading", path)(error)),
        }
    }
}

fn hash_what_is_there(file: &mut File) -> io::Result<Hasher> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher),
            count => hasher.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::store;

    #[test]
    fn a_download_goes_on_where_it_ended() {
        let (_folder, cas) = store();
        let digest = Digest::of(b"stoneware");
        let mut first = cas.download(&digest, 9).expect("begun").expect("not here yet");
        first.write_all(b"stone").expect("written");
        drop(first);
        let mut second = cas.download(&digest, 9).expect("begun").expect("not here yet");
        assert_eq!(second.have(), 5);
        second.write_all(b"ware").expect("written");
        second.finish().expect("whole");
        assert!(cas.download(&digest, 9).expect("asked").is_none());
        assert_eq!(cas.read_to_vec(&digest, 9).expect("read"), b"stoneware");
    }

    #[test]
    fn a_download_of_which_nothing_came_leaves_nothing() {
        let (folder, cas) = store();
        let digest = Digest::of(b"stoneware");
        drop(cas.download(&digest, 9).expect("begun").expect("not here yet"));
        let part = folder.path().join("blobs.v1/part");
        assert_eq!(fs::read_dir(part).expect("listed").count(), 0);
    }

    #[test]
    fn two_at_once_wait_for_each_other() {
        let (_folder, cas) = store();
        for round in 0..500_u32 {
            let bytes = round.to_string().into_bytes();
            let digest = Digest::of(&bytes);
            let fetch = || {
                if let Some(mut partial) = cas.download(&digest, bytes.len() as u64)? {
                    partial.restart()?;
                    partial.write_all(&bytes).expect("written");
                    partial.finish()?;
                }
                Ok::<_, CasError>(())
            };
            std::thread::scope(|scope| {
                let both = [scope.spawn(fetch), scope.spawn(fetch)];
                for one in both {
                    one.join().expect("no panic").expect("fetched by one, seen by the other");
                }
            });
        }
    }

    #[test]
    fn wrong_bytes_are_thrown_away() {
        let (_folder, cas) = store();
        let digest = Digest::of(b"stoneware");
        let mut partial = cas.download(&digest, 9).expect("begun").expect("not here yet");
        partial.write_all(b"stonewarf").expect("written");
        assert!(matches!(partial.finish(), Err(CasError::Mismatch { .. })));
        let again = cas.download(&digest, 9).expect("begun").expect("not here yet");
        assert_eq!(again.have(), 0);
    }

    #[test]
    fn more_or_fewer_bytes_than_announced_are_refused() {
        let (_folder, cas) = store();
        let digest = Digest::of(b"stoneware");
        let mut partial = cas.download(&digest, 9).expect("begun").expect("not here yet");
        assert!(partial.write_all(b"stoneware and more").is_err());
        partial.restart().expect("restarted");
        partial.write_all(b"stone").expect("written");
        assert!(matches!(partial.finish(), Err(CasError::Size { found: 5, .. })));
    }
}
