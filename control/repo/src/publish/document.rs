//! The documents of a repository, put together from packed pieces.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::thread;

use kiln_model::{Digest, Hasher};
use kiln_parse::place;

use super::chunks::{Chunk, Chunks, cut};
use super::{Listed, PublishError, WriteOptions};
use crate::describe::Record;

/// How hard metadata are packed. More costs time and gains little.
const ZSTD_LEVEL: i32 = 6;
const GZIP_LEVEL: u32 = 6;

/// A document of a repository's metadata.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The first tag, without the count of packages.
    open: &'static str,
    close: &'static str,
    pub(super) part: fn(&Record, &Listed) -> String,
}

pub(super) const KINDS: [Kind; 3] = [
    Kind {
        name: "primary",
        open: "metadata xmlns=\"http://linux.duke.edu/metadata/common\" \
               xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\"",
        close: "metadata",
        part: |record, listed| record.primary(&listed.location, listed.mtime),
    },
    Kind {
        name: "filelists",
        open: "filelists xmlns=\"http://linux.duke.edu/metadata/filelists\"",
        close: "filelists",
        part: |record, _| record.filelists(),
    },
    Kind {
        name: "other",
        open: "otherdata xmlns=\"http://linux.duke.edu/metadata/other\"",
        close: "otherdata",
        part: |record, _| record.other(),
    },
];

/// How documents are packed. Each piece is packed by itself: frames of zstd (RFC 8878, section
/// 3.1) and members of gzip (RFC 1952, section 2.2) lie behind each other in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Zstd,
    Gzip,
}

impl Packing {
    pub(super) fn of(options: &WriteOptions) -> Self {
        if options.gzip { Self::Gzip } else { Self::Zstd }
    }

    /// The end of a file's name, without its dot.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Zstd => "zst",
            Self::Gzip => "gz",
        }
    }

    /// Names what the packed bytes depend on besides the text.
    pub(super) fn word(self) -> String {
        match self {
            Self::Zstd => format!("zstd {} {ZSTD_LEVEL}", zstd::zstd_safe::version_number()),
            Self::Gzip => format!("gzip {GZIP_LEVEL}"),
        }
    }

    /// One piece, with a checksum in it: a piece that a disk changed does not unpack.
    pub(super) fn pack(self, texts: impl Iterator<Item = String>) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                texts.into_iter().try_for_each(|text| encoder.write_all(text.as_bytes()))?;
                encoder.finish()
            }
            Self::Gzip => {
                // No name and no time in the gzip header: the same text is the same bytes.
                let level = flate2::Compression::new(GZIP_LEVEL);
                let mut encoder = flate2::GzBuilder::new().write(Vec::new(), level);
                texts.into_iter().try_for_each(|text| encoder.write_all(text.as_bytes()))?;
                encoder.finish()
            }
        }
    }

    /// Unpacks a piece into a hash.
    fn hash_open(self, piece: &[u8], hasher: &mut Hasher) -> io::Result<()> {
        let mut from: Box<dyn Read + '_> = match self {
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(piece)?),
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(piece)),
        };
        let mut buffer = vec![0; 1 << 17];
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(()),
                count => hasher.update(&buffer[..count]),
            }
        }
    }
}

/// Packages to be listed.
pub(super) trait Source: Sync {
    /// What and where they are, in any order.
    fn listed(&self) -> Vec<Cow<'_, Listed>>;

    /// What rpm-md says of one, by its place in [`Source::listed`].
    fn record(&self, at: usize) -> Result<Cow<'_, Record>, PublishError>;
}

/// Where documents are put.
pub(super) trait Shelf: Sync {
    /// A document that is being written.
    type File: Write;

    fn begin(&self) -> Result<Self::File, PublishError>;

    /// Ends a document, whose name is its digest and this `rest`; its digest and size.
    fn end(&self, file: Self::File, rest: &str) -> Result<(Digest, u64), PublishError>;
}

/// One document that was written.
pub(super) struct Document {
    pub(super) name: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) open_digest: Digest,
    pub(super) open_size: u64,
}

/// All of a generation: the documents in the order of [`KINDS`], and the `repomd.xml` that names
/// them.
pub(super) struct Documents {
    pub(super) parts: [Document; 3],
    pub(super) repomd: String,
    pub(super) packages: u64,
}

/// Writes the documents of these packages. The same packages and options are the same bytes, no
/// matter which chunks were packed before.
pub(super) fn write_documents<S: Shelf>(
    source: &impl Source,
    kept: &Chunks,
    shelf: &S,
    options: &WriteOptions,
) -> Result<Documents, PublishError> {
    let listed = source.listed();
    let order = in_order(&listed)?;
    let packing = Packing::of(options);
    let chunks = cut(&listed, &order, packing);
    for chunk in &chunks {
        if !kept.has(chunk, packing) {
            pack_chunk(source, &listed, chunk, kept, packing)?;
        }
    }
    let count = listed.len() as u64;
    let [primary, filelists, other] = thread::scope(|scope| {
        KINDS
            .each_ref()
            .map(|kind| scope.spawn(|| write_document(kind, &chunks, kept, shelf, packing, count)))
            .map(|thread| thread.join().expect("a thread that writes a document does not panic"))
    });
    let parts = [primary?, filelists?, other?];
    let repomd = repomd(&parts, options.revision);
    Ok(Documents { parts, repomd, packages: count })
}

/// Places in `listed`, sorted by what readers sort by, so that the same packages are the same
/// bytes.
fn in_order(listed: &[Cow<'_, Listed>]) -> Result<Vec<usize>, PublishError> {
    let mut places = BTreeSet::new();
    for one in listed {
        let package = || one.nevra.to_string();
        place::check_location(&one.location)
            .map_err(|source| PublishError::Location { package: package(), source })?;
        if !places.insert(&one.location) {
            return Err(PublishError::Twice(one.location.clone()));
        }
    }
    let mut order: Vec<usize> = (0..listed.len()).collect();
    order.sort_by(|a, b| {
        let key = |at: usize| (&listed[at].nevra, &listed[at].location);
        key(*a).cmp(&key(*b))
    });
    Ok(order)
}

fn pack_chunk(
    source: &impl Source,
    listed: &[Cow<'_, Listed>],
    chunk: &Chunk,
    kept: &Chunks,
    packing: Packing,
) -> Result<(), PublishError> {
    let records =
        chunk.places.iter().map(|at| source.record(*at)).collect::<Result<Vec<_>, _>>()?;
    for kind in &KINDS {
        let one = |(record, at): (&Cow<'_, Record>, &usize)| (kind.part)(record, &listed[*at]);
        let texts = records.iter().zip(&chunk.places).map(one);
        kept.keep(chunk, kind, packing, texts)?;
    }
    Ok(())
}

fn write_document<S: Shelf>(
    kind: &Kind,
    chunks: &[Chunk],
    kept: &Chunks,
    shelf: &S,
    packing: Packing,
    count: u64,
) -> Result<Document, PublishError> {
    let Kind { name, open, close, .. } = kind;
    let head =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{open} packages=\"{count}\">\n");
    let tail = format!("</{close}>");
    let mut file = shelf.begin()?;
    let mut hasher = Hasher::new();
    let mut write =
        |piece: &[u8]| file.write_all(piece).map_err(super::io_error("writing", name.as_ref()));
    let own = |text: &String| {
        let packed = packing.pack([text.clone()].into_iter());
        packed.map_err(super::io_error("packing", name.as_ref()))
    };
    hasher.update(head.as_bytes());
    write(&own(&head)?)?;
    for chunk in chunks {
        let path = kept.path(chunk, kind, packing);
        let piece = std::fs::read(&path).map_err(|_| PublishError::Stale(path.clone()))?;
        packing.hash_open(&piece, &mut hasher).map_err(|_| PublishError::Stale(path))?;
        write(&piece)?;
    }
    hasher.update(tail.as_bytes());
    write(&own(&tail)?)?;
    let rest = format!("-{name}.xml.{}", packing.suffix());
    let (digest, size) = shelf.end(file, &rest)?;
    let name = format!("repodata/{}{rest}", digest.hex());
    let (open_size, open_digest) = (hasher.bytes(), hasher.finish());
    Ok(Document { name, digest, size, open_digest, open_size })
}

fn repomd(parts: &[Document; 3], revision: u64) -> String {
    let data: String = KINDS
        .iter()
        .zip(parts)
        .map(|(kind, part)| {
            let Document { name, size, open_size, .. } = part;
            format!(
                "<data type=\"{}\">\n\
                 <checksum type=\"sha256\">{}</checksum>\n\
                 <open-checksum type=\"sha256\">{}</open-checksum>\n\
                 <location href=\"{name}\"/>\n\
                 <timestamp>{revision}</timestamp>\n\
                 <size>{size}</size>\n\
                 <open-size>{open_size}</open-size>\n\
                 </data>\n",
                kind.name,
                part.digest.hex(),
                part.open_digest.hex(),
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <repomd xmlns=\"http://linux.duke.edu/metadata/repo\" \
         xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\">\n\
         <revision>{revision}</revision>\n{data}</repomd>\n"
    )
}
