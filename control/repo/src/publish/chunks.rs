//! Runs of packages that are packed once and used in every generation that has them.

use std::borrow::Cow;
use std::fs::{self, File, FileTimes};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use kiln_model::{Digest, Hasher};

use super::document::{KINDS, Kind, Packing};
use super::{Listed, PublishError, io_error};
use crate::records::sweep_files;

/// Changes when the text of a chunk would for the same packages.
const FORMAT: &str = "kiln chunk 1";

/// How many packages a chunk has on average: each is packed anew when one of them changes, and
/// many small ones pack worse.
const AVERAGE: u32 = 128;

/// How many it has at most, whatever they are called.
const MOST: usize = 512;

/// Packed pieces of metadata by the digest of what they say.
///
/// ```text
/// chunks.v1/
///   ab/cdef….primary.zst     one frame of zstd, or one member of gzip (.gz), with the
///   ab/cdef….filelists.zst   packages of one chunk; the two parts of the path are the digest
///   ab/cdef….other.zst       of the list of them
/// ```
///
/// It is a cache: whatever cannot be read is made again. A file's time says when it was last used.
#[derive(Debug, Clone)]
pub struct Chunks {
    root: PathBuf,
}

/// Packages that stand behind each other in every document.
pub(super) struct Chunk {
    /// Their places in the list.
    pub(super) places: Vec<usize>,
    key: Digest,
}

/// Cuts packages that are in order into chunks. Where it cuts depends on the package alone at
/// which it does, so one that comes or goes changes the chunk that it is in, or makes two of one.
pub(super) fn cut(listed: &[Cow<'_, Listed>], order: &[usize], packing: Packing) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut places = Vec::new();
    for at in order {
        places.push(*at);
        if places.len() == MOST || ends_chunk(&listed[*at]) {
            chunks.push(chunk(listed, std::mem::take(&mut places), packing));
        }
    }
    if !places.is_empty() {
        chunks.push(chunk(listed, places, packing));
    }
    chunks
}

/// Whether a piece is kept; then it was used now.
fn is_there(path: &Path) -> bool {
    let now = FileTimes::new().set_modified(SystemTime::now());
    // That its time can't be set makes it go early, and be made again.
    File::open(path).map(|file| file.set_times(now)).is_ok()
}

fn ends_chunk(listed: &Listed) -> bool {
    let digest = Digest::of(listed.nevra.to_string().as_bytes());
    let first = digest.as_bytes()[..4].try_into().expect("four bytes");
    u32::from_be_bytes(first) % AVERAGE == 0
}

fn chunk(listed: &[Cow<'_, Listed>], places: Vec<usize>, packing: Packing) -> Chunk {
    let mut hasher = Hasher::new();
    let mut note = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    note(FORMAT.as_bytes());
    note(packing.word().as_bytes());
    for at in &places {
        let one = &listed[*at];
        note(one.digest.as_bytes());
        note(one.location.as_bytes());
        note(&one.mtime.to_be_bytes());
    }
    Chunk { places, key: hasher.finish() }
}

impl Chunks {
    /// The chunks in `root`; the folder is made when the first is kept.
    pub fn open(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn path(&self, chunk: &Chunk, kind: &Kind, packing: Packing) -> PathBuf {
        let hex = chunk.key.hex();
        let name = format!("{}.{}.{}", &hex[2..], kind.name, packing.suffix());
        self.root.join(&hex[..2]).join(name)
    }

    pub(super) fn has(&self, chunk: &Chunk, packing: Packing) -> bool {
        KINDS.iter().all(|kind| is_there(&self.path(chunk, kind, packing)))
    }

    /// Removes the pieces that nobody made or used since a moment; tells how many.
    pub fn sweep(&self, moment: SystemTime) -> u64 {
        sweep_files(&self.root, moment, |_, _| false)
    }

    pub(super) fn keep(
        &self,
        chunk: &Chunk,
        kind: &Kind,
        packing: Packing,
        texts: impl Iterator<Item = String>,
    ) -> Result<(), PublishError> {
        let path = self.path(chunk, kind, packing);
        let written = || -> io::Result<()> {
            let folder = path.parent().expect("a chunk lies in a folder");
            fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&packing.pack(texts)?)?;
            file.persist(&path)?;
            Ok(())
        };
        written().map_err(io_error("writing", &path))
    }
}
