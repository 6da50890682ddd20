mod chunks;
mod document;
mod generation;

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kiln_cas::CasError;
use kiln_model::{Digest, Fault, Faulty, Hasher};
use kiln_parse::place::PlaceError;
use kiln_parse::repomd::{REPOMD_CAP, Repomd};

use crate::describe::{DescribeError, Record};
use document::{Shelf, Source, write_documents};

pub use chunks::Chunks;
pub use generation::{Generation, Listed, RepoFile, write_generation};

/// A package of a repository.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// What it is.
    pub record: &'a Record,
    /// Where its file lies, relative to the repository.
    pub location: String,
    /// When the file was last changed, in seconds since 1970: for readers that go by it. A
    /// number that does not change with the copy makes the same repository everywhere.
    pub mtime: u64,
}

/// How a repository is written.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// What the generation is called, and when it was made: seconds since 1970.
    pub revision: u64,
    /// gzip instead of zstd, for readers of Enterprise Linux 7 and the like.
    pub gzip: bool,
}

/// A repository that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The digest of its `repomd.xml`.
    pub repomd: Digest,
    /// Whether anything changed; the same packages and options are the same bytes.
    pub is_new: bool,
}

/// Why a repository cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
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
    /// A package would lie outside.
    #[error("the place of {package}")]
    Location {
        /// Which package.
        package: String,
        /// What is wrong with it.
        #[source]
        source: PlaceError,
    },
    /// Two packages would lie at one place.
    #[error("two packages at {0}")]
    Twice(String),
    /// A package can't be described.
    #[error("describing {package}")]
    Record {
        /// Which package.
        package: String,
        /// Why.
        #[source]
        source: DescribeError,
    },
    /// A piece of metadata that was kept is not what it was; it is made anew.
    #[error("a kept piece of metadata can't be read back: {}", .0.display())]
    Stale(PathBuf),
    /// The store refused.
    #[error(transparent)]
    Cas(#[from] CasError),
}

impl Faulty for PublishError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } | Self::Stale(_) => Fault::Host,
            Self::Location { .. } | Self::Twice(_) => Fault::Kiln,
            Self::Record { source, .. } => source.fault(),
            Self::Cas(error) => error.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some disk space".to_owned())
            }
            Self::Cas(error) => error.hint(),
            _ => None,
        }
    }
}

/// Writes the metadata of a repository of these packages into `folder`.
///
/// ```text
/// folder/
///   repodata/repomd.xml                    names the others; replaced last, by a rename
///   repodata/<sha256>-primary.xml.zst      never changed; those of earlier generations stay
///   repodata/<sha256>-filelists.xml.zst    until remove_old_generations()
///   repodata/<sha256>-other.xml.zst
/// ```
///
/// A reader sees the old generation or the new one, whole, at every moment: each finds all that
/// its `repomd.xml` names. The packages themselves are the caller's.
pub fn write_repo(
    entries: &[Entry<'_>],
    folder: &Path,
    options: &WriteOptions,
) -> Result<Written, PublishError> {
    let repodata = folder.join("repodata");
    fs::create_dir_all(&repodata).map_err(io_error("creating", &repodata))?;
    let kept = tempfile::Builder::new().prefix(".chunks-").tempdir_in(&repodata);
    let kept = kept.map_err(io_error("creating a folder in", &repodata))?;
    let documents = write_documents(
        &Given(entries),
        &Chunks::open(kept.path()),
        &InFolder(&repodata),
        options,
    )?;
    switch(&repodata, &documents.repomd)
}

/// Packages whose records are at hand.
struct Given<'a>(&'a [Entry<'a>]);

impl Source for Given<'_> {
    fn listed(&self) -> Vec<Cow<'_, Listed>> {
        let listed = |entry: &Entry<'_>| Listed {
            digest: entry.record.digest,
            nevra: entry.record.nevra.clone(),
            location: entry.location.clone(),
            mtime: entry.mtime,
        };
        self.0.iter().map(|entry| Cow::Owned(listed(entry))).collect()
    }

    fn record(&self, at: usize) -> Result<Cow<'_, Record>, PublishError> {
        Ok(Cow::Borrowed(self.0[at].record))
    }
}

/// Documents that become files of a folder, under the names that their digests give them.
struct InFolder<'a>(&'a Path);

impl Shelf for InFolder<'_> {
    type File = Hashed;

    fn begin(&self) -> Result<Hashed, PublishError> {
        Ok(Hashed { file: temporary(self.0)?, hasher: Hasher::new() })
    }

    fn end(&self, file: Hashed, rest: &str) -> Result<(Digest, u64), PublishError> {
        let Hashed { file, hasher } = file;
        let (size, digest) = (hasher.bytes(), hasher.finish());
        persist(file, &self.0.join(format!("{}{rest}", digest.hex())))?;
        Ok((digest, size))
    }
}

/// Puts a new generation in the place of the old one.
fn switch(repodata: &Path, repomd: &str) -> Result<Written, PublishError> {
    let path = repodata.join("repomd.xml");
    let digest = Digest::of(repomd.as_bytes());
    if fs::read(&path).is_ok_and(|old| Digest::of(&old) == digest) {
        return Ok(Written { repomd: digest, is_new: false });
    }
    let mut file = temporary(repodata)?;
    file.write_all(repomd.as_bytes()).map_err(io_error("writing", &path))?;
    // What it names must be on disk before it is, even if the machine stops here.
    sync(repodata)?;
    persist(file, &path)?;
    sync(repodata)?;
    Ok(Written { repomd: digest, is_new: true })
}

/// A temporary file whose bytes are hashed on the way.
struct Hashed {
    file: tempfile::NamedTempFile,
    hasher: Hasher,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes metadata that the newest generation does not name and that nobody has written to for
/// `age`: by then no reader is left that began with an older one. Tells how many.
pub fn remove_old_generations(
    folder: &Path,
    now: SystemTime,
    age: Duration,
) -> Result<usize, PublishError> {
    let repodata = folder.join("repodata");
    let repomd = repodata.join("repomd.xml");
    let bytes = fs::read(&repomd).map_err(io_error("reading", &repomd))?;
    if bytes.len() as u64 > REPOMD_CAP || Repomd::parse(&bytes).is_err() {
        let source = io::Error::new(io::ErrorKind::InvalidData, "not a repomd.xml");
        return Err(io_error("reading", &repomd)(source));
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut removed = 0;
    for entry in fs::read_dir(&repodata).map_err(io_error("listing", &repodata))? {
        let path = entry.map_err(io_error("listing", &repodata))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ours = name.len() > 65 && Digest::from_hex(&name[..64]).is_ok();
        if !ours || text.contains(name) {
            continue;
        }
        let changed = fs::metadata(&path).and_then(|metadata| metadata.modified());
        let old = changed.is_ok_and(|at| now.duration_since(at).is_ok_and(|since| since >= age));
        if old {
            fs::remove_file(&path).map_err(io_error("removing", &path))?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn temporary(folder: &Path) -> Result<tempfile::NamedTempFile, PublishError> {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new()
        .prefix(".new-")
        // A repository is read by others than its writer.
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(io_error("creating a file in", folder))
}

fn persist(file: tempfile::NamedTempFile, path: &Path) -> Result<(), PublishError> {
    file.as_file().sync_all().map_err(io_error("writing", path))?;
    file.persist(path).map(drop).map_err(|error| io_error("naming", path)(error.error))
}

fn sync(folder: &Path) -> Result<(), PublishError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(io_error("writing", folder))
}

fn io_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> PublishError + 'a {
    move |source| PublishError::Io { doing, path: path.to_owned(), source }
}
