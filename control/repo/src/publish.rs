use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kiln_model::{Digest, Fault, Faulty, Hasher};
use kiln_parse::place::{self, PlaceError};
use kiln_parse::repomd::{REPOMD_CAP, Repomd};

use crate::describe::Record;

/// How hard metadata are packed. More costs time and gains little.
const ZSTD_LEVEL: i32 = 6;

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
}

impl Faulty for PublishError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } => Fault::Host,
            Self::Location { .. } | Self::Twice(_) => Fault::Kiln,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some disk space".to_owned())
            }
            _ => None,
        }
    }
}

/// A document of a repository's metadata.
struct Kind {
    name: &'static str,
    /// The first tag, without the count of packages.
    open: &'static str,
    close: &'static str,
    part: fn(&Entry<'_>) -> String,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "primary",
        open: "metadata xmlns=\"http://linux.duke.edu/metadata/common\" \
               xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\"",
        close: "metadata",
        part: |entry| entry.record.primary(&entry.location, entry.mtime),
    },
    Kind {
        name: "filelists",
        open: "filelists xmlns=\"http://linux.duke.edu/metadata/filelists\"",
        close: "filelists",
        part: |entry| entry.record.filelists(),
    },
    Kind {
        name: "other",
        open: "otherdata xmlns=\"http://linux.duke.edu/metadata/other\"",
        close: "otherdata",
        part: |entry| entry.record.other(),
    },
];

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
    let entries = in_order(entries)?;
    let repodata = folder.join("repodata");
    fs::create_dir_all(&repodata).map_err(io_error("creating", &repodata))?;
    let count = entries.len();
    let mut records = String::new();
    for kind in &KINDS {
        let mut document = Document::begin(&repodata, options.gzip)?;
        let Kind { name, open, close, part } = kind;
        document.write(&format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{open} packages=\"{count}\">\n"
        ))?;
        for entry in &entries {
            document.write(&part(entry))?;
        }
        document.write(&format!("</{close}>"))?;
        records.push_str(&document.end(name, options)?);
    }
    let revision = options.revision;
    let repomd = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <repomd xmlns=\"http://linux.duke.edu/metadata/repo\" \
         xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\">\n\
         <revision>{revision}</revision>\n{records}</repomd>\n"
    );
    switch(&repodata, &repomd)
}

/// Sorted by what readers sort by, so that the same packages are the same bytes.
fn in_order<'a, 'r>(entries: &'a [Entry<'r>]) -> Result<Vec<&'a Entry<'r>>, PublishError> {
    let mut places = BTreeSet::new();
    for entry in entries {
        let package = || entry.record.nevra.to_string();
        place::check_location(&entry.location)
            .map_err(|source| PublishError::Location { package: package(), source })?;
        if !places.insert(&entry.location) {
            return Err(PublishError::Twice(entry.location.clone()));
        }
    }
    let mut entries: Vec<&Entry<'_>> = entries.iter().collect();
    entries.sort_by(|a, b| (&a.record.nevra, &a.location).cmp(&(&b.record.nevra, &b.location)));
    Ok(entries)
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

/// One document: written, packed and hashed in one go.
struct Document {
    file: Packed,
    open: Hasher,
    folder: PathBuf,
}

/// A temporary file behind a packer, its bytes hashed on the way.
enum Packed {
    Zstd(zstd::Encoder<'static, Hashed>),
    Gzip(flate2::write::GzEncoder<Hashed>),
}

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

impl Document {
    fn begin(folder: &Path, gzip: bool) -> Result<Self, PublishError> {
        let hashed = Hashed { file: temporary(folder)?, hasher: Hasher::new() };
        let file = match gzip {
            // No name and no time in the gzip header: the same text is the same bytes.
            true => {
                Packed::Gzip(flate2::GzBuilder::new().write(hashed, flate2::Compression::new(6)))
            }
            false => {
                let encoder = zstd::Encoder::new(hashed, ZSTD_LEVEL);
                Packed::Zstd(encoder.map_err(io_error("packing in", folder))?)
            }
        };
        Ok(Self { file, open: Hasher::new(), folder: folder.to_owned() })
    }

    fn write(&mut self, text: &str) -> Result<(), PublishError> {
        self.open.update(text.as_bytes());
        let result = match &mut self.file {
            Packed::Zstd(encoder) => encoder.write_all(text.as_bytes()),
            Packed::Gzip(encoder) => encoder.write_all(text.as_bytes()),
        };
        result.map_err(io_error("writing in", &self.folder))
    }

    /// Ends it under the name that its digest gives it; the record of it for `repomd.xml`.
    fn end(self, kind: &str, options: &WriteOptions) -> Result<String, PublishError> {
        let Self { file, open, folder } = self;
        let (finished, suffix) = match file {
            Packed::Zstd(encoder) => (encoder.finish(), "zst"),
            Packed::Gzip(encoder) => (encoder.finish(), "gz"),
        };
        let Hashed { file, hasher } = finished.map_err(io_error("writing in", &folder))?;
        let (size, digest) = (hasher.bytes(), hasher.finish());
        let (open_size, open_digest) = (open.bytes(), open.finish());
        let name = format!("{}-{kind}.xml.{suffix}", digest.hex());
        persist(file, &folder.join(&name))?;
        let revision = options.revision;
        Ok(format!(
            "<data type=\"{kind}\">\n\
             <checksum type=\"sha256\">{}</checksum>\n\
             <open-checksum type=\"sha256\">{}</open-checksum>\n\
             <location href=\"repodata/{name}\"/>\n\
             <timestamp>{revision}</timestamp>\n\
             <size>{size}</size>\n\
             <open-size>{open_size}</open-size>\n\
             </data>\n",
            digest.hex(),
            open_digest.hex(),
        ))
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
