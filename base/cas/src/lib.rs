//! Content-addressed blobs in a folder: bytes go in and come out by their digest.
//!
//! Zone: `base`. No network, no secrets. What does not belong here: what a blob means, who may
//! read it, and where it came from.

mod partial;
mod reader;
#[cfg(test)]
mod scratch;
mod sweep;
mod sync;

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kiln_model::{Digest, Fault, Faulty, Hasher};
use tempfile::NamedTempFile;

pub use partial::Partial;
pub use reader::BlobReader;
pub use sweep::KEPT;

/// A folder of blobs.
///
/// ```text
/// blobs.v1/                 0700: blobs of private projects are nobody else's business
///   sha256/ab/cdef…         0444: one blob; the two parts of the path are its digest
///   part/cdef…              a download under way, named by the digest it must have
///   part/.tmp…              bytes whose digest is not known yet
/// ```
///
/// A blob appears by a rename within one filesystem, so it is there whole or not at all, and
/// inserting the same bytes twice is harmless.
#[derive(Debug, Clone)]
pub struct Cas {
    root: PathBuf,
}

/// Why a blob could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum CasError {
    /// The disk refused.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The bytes are not those that were promised.
    #[error("wrong bytes: expected {expected}, found {found}")]
    Mismatch {
        /// What was promised.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// More bytes than were promised, or fewer.
    #[error("wrong size for {digest}: expected {expected} bytes, found {found}")]
    Size {
        /// Whose bytes.
        digest: Digest,
        /// What was promised.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// No such blob here.
    #[error("no blob {0} in this store")]
    Missing(Digest),
}

impl CasError {
    /// A thread that worked on a store was lost.
    pub fn lost(doing: &'static str, cas: &Cas) -> Self {
        let source = io::Error::other("a thread was lost");
        Self::Io { doing, path: cas.root.clone(), source }
    }
}

impl Faulty for CasError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } => Fault::Host,
            Self::Mismatch { .. } | Self::Size { .. } => Fault::Breach,
            Self::Missing(_) => Fault::Kiln,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some disk space; 'kiln cache gc' removes what no lock needs".to_owned())
            }
            _ => None,
        }
    }
}

pub(crate) fn io_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> CasError + 'a {
    move |source| CasError::Io { doing, path: path.to_owned(), source }
}

impl Cas {
    /// Opens the store at `root`, and makes it where there is none.
    pub fn open(root: &Path) -> Result<Self, CasError> {
        for folder in [root.join("sha256"), root.join("part")] {
            fs::create_dir_all(&folder).map_err(io_error("creating", &folder))?;
        }
        fs::set_permissions(root, Permissions::from_mode(0o700))
            .map_err(io_error("setting the mode of", root))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where the blob is, or would be. For hard links and for programs that take a path; whoever
    /// reads bytes from there without [`Cas::read`] trusts the disk.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("sha256").join(&hex[..2]).join(&hex[2..])
    }

    /// Reads a blob; the last read fails if the bytes were not those of the digest.
    pub fn read(&self, digest: &Digest) -> Result<BlobReader, CasError> {
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => Ok(BlobReader::new(file, *digest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(CasError::Missing(*digest))
            }
            Err(error) => Err(io_error("opening", &path)(error)),
        }
    }

    /// Reads a whole blob of at most `cap` bytes into memory.
    pub fn read_to_vec(&self, digest: &Digest, cap: u64) -> Result<Vec<u8>, CasError> {
        let path = self.path(digest);
        let mut bytes = Vec::new();
        let mut reader = self.read(digest)?;
        (&mut reader).take(cap).read_to_end(&mut bytes).map_err(io_error("reading", &path))?;
        // At the cap the reader has not seen the end yet: ask for it, and for its verdict.
        match reader.read(&mut [0]).map_err(io_error("reading", &path))? {
            0 => Ok(bytes),
            _ => {
                let found = fs::metadata(&path).map_err(io_error("reading", &path))?.len();
                Err(CasError::Size { digest: *digest, expected: cap, found })
            }
        }
    }

    /// Begins a blob whose digest comes out at the end.
    pub fn insert(&self) -> Result<Inserter<'_>, CasError> {
        let folder = self.root.join("part");
        let file =
            NamedTempFile::new_in(&folder).map_err(io_error("creating a file in", &folder))?;
        Ok(Inserter { cas: self, file, hasher: Hasher::new() })
    }

    /// Stores all that `from` gives.
    pub fn insert_from(&self, from: &mut impl Read) -> Result<(Digest, u64), CasError> {
        let mut inserter = self.insert()?;
        io::copy(from, &mut inserter).map_err(io_error("writing a blob in", &self.root))?;
        inserter.finish()
    }

    /// Stores `bytes`.
    pub fn insert_bytes(&self, bytes: &[u8]) -> Result<Digest, CasError> {
        self.insert_from(&mut &*bytes).map(|(digest, _)| digest)
    }

    /// Begins, or takes up again, the download of a blob that is `size` bytes long. Waits for
    /// another process that downloads the same one. `None`: it is here already.
    pub fn download(&self, digest: &Digest, size: u64) -> Result<Option<Partial<'_>>, CasError> {
        Partial::open(self, digest, size)
    }

    /// Makes a hard link to the blob at `to`; copies where no link can be made.
    pub fn link(&self, digest: &Digest, to: &Path) -> Result<(), CasError> {
        let from = self.path(digest);
        match fs::hard_link(&from, to) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => {
                Err(CasError::Missing(*digest))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::CrossesDevices
                        | io::ErrorKind::TooManyLinks
                        | io::ErrorKind::Unsupported
                ) =>
            {
                fs::copy(&from, to).map(drop).map_err(io_error("copying a blob to", to))
            }
            Err(error) => Err(io_error("linking a blob to", to)(error)),
        }
    }

    /// Every blob with its size in bytes, in no particular order.
    pub fn list(&self) -> Result<Vec<(Digest, u64)>, CasError> {
        let top = self.root.join("sha256");
        let mut blobs = Vec::new();
        for shelf in fs::read_dir(&top).map_err(io_error("listing", &top))? {
            let shelf = shelf.map_err(io_error("listing", &top))?;
            let first = shelf.file_name().to_string_lossy().into_owned();
            for blob in fs::read_dir(shelf.path()).map_err(io_error("listing", &top))? {
                let blob = blob.map_err(io_error("listing", &top))?;
                let hex = format!("{first}{}", blob.file_name().to_string_lossy());
                let size = blob.metadata().map_err(io_error("listing", &top))?.len();
                if let Ok(digest) = Digest::from_hex(&hex) {
                    blobs.push((digest, size));
                }
            }
        }
        Ok(blobs)
    }

    /// Removes a blob, if it is here.
    pub fn remove(&self, digest: &Digest) -> Result<(), CasError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("removing", &path)(error))
            }
            _ => Ok(()),
        }
    }

    fn part(&self, digest: &Digest) -> PathBuf {
        self.root.join("part").join(digest.hex())
    }

    /// Gives a file that is written and hashed its place. It becomes read-only there and not
    /// before: another process may be about to open it where it lies, to wait for its lock.
    fn shelve(&self, file: &File, at: &Path, digest: &Digest) -> Result<(), CasError> {
        let place = self.path(digest);
        let shelf = place.parent().expect("a blob lies on a shelf");
        fs::create_dir_all(shelf).map_err(io_error("creating", shelf))?;
        fs::rename(at, &place).map_err(io_error("naming", &place))?;
        file.set_permissions(Permissions::from_mode(0o444))
            .map_err(io_error("setting the mode of", &place))
    }
}

/// A blob that is being written.
#[derive(Debug)]
pub struct Inserter<'a> {
    cas: &'a Cas,
    file: NamedTempFile,
    hasher: Hasher,
}

impl Inserter<'_> {
    /// Ends the blob and gives it its place; tells its digest and its size in bytes.
    pub fn finish(self) -> Result<(Digest, u64), CasError> {
        let size = self.hasher.bytes();
        let digest = self.hasher.finish();
        let (file, at) = self.file.into_parts();
        self.cas.shelve(&file, &at, &digest)?;
        // The file has its new name; nothing is left to remove at the old one.
        let _ = at.keep();
        Ok((digest, size))
    }
}

impl Write for Inserter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::store;

    #[test]
    fn a_blob_comes_out_as_it_went_in() {
        let (_folder, cas) = store();
        let digest = cas.insert_bytes(b"clay").expect("stored");
        assert_eq!(digest, Digest::of(b"clay"));
        assert!(cas.has(&digest));
        assert_eq!(cas.read_to_vec(&digest, 4).expect("read"), b"clay");
        assert_eq!(cas.list().expect("listed"), [(digest, 4)]);
    }

    #[test]
    fn the_same_bytes_twice_are_one_blob_and_leave_nothing_behind() {
        let (folder, cas) = store();
        for _ in 0..2 {
            cas.insert_bytes(b"clay").expect("stored");
        }
        assert_eq!(cas.list().expect("listed").len(), 1);
        let parts = fs::read_dir(folder.path().join("blobs.v1/part")).expect("listed").count();
        assert_eq!(parts, 0);
    }

    #[test]
    fn a_blob_that_the_disk_changed_is_refused() {
        let (_folder, cas) = store();
        let digest = cas.insert_bytes(b"clay").expect("stored");
        fs::remove_file(cas.path(&digest)).expect("removed");
        fs::write(cas.path(&digest), b"ClaY").expect("changed");
        assert!(cas.read_to_vec(&digest, 100).is_err());
    }

    #[test]
    fn a_blob_over_the_cap_is_refused_and_a_missing_one_is_named() {
        let (_folder, cas) = store();
        let digest = cas.insert_bytes(b"clay").expect("stored");
        assert!(matches!(cas.read_to_vec(&digest, 3), Err(CasError::Size { found: 4, .. })));
        let other = Digest::of(b"glaze");
        assert!(matches!(cas.read(&other), Err(CasError::Missing(named)) if named == other));
    }

    #[test]
    fn a_link_shares_the_bytes() {
        let (folder, cas) = store();
        let digest = cas.insert_bytes(b"clay").expect("stored");
        let to = folder.path().join("linked");
        cas.link(&digest, &to).expect("linked");
        assert_eq!(fs::read(to).expect("read"), b"clay");
    }
}
