use std::collections::HashMap;
use std::io::{self, BufReader, Read};

use kiln_model::Foreign;
use rpm::{FileType, IndexTag, PackageReader, StreamingRpmFile};

use super::{HeadCap, RpmError, head, header};

/// The files of an RPM's payload, one after the other; none is held in memory.
pub struct Contents {
    reader: PackageReader,
    inodes: HashMap<String, u32>,
}

/// One file of a payload. Reading it gives its bytes, if it has any.
pub struct Entry<'a> {
    /// Its path, as the header says it: absolute in a binary package, not checked.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Its permission bits.
    pub mode: u32,
    file: StreamingRpmFile<'a>,
}

/// What a file of a payload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file with its bytes.
    File {
        /// What its names share where it has several.
        inode: u32,
    },
    /// A further name of the file with that inode, whose bytes stand at another name.
    HardLink {
        /// What the names share.
        inode: u32,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    SymLink {
        /// Where it points, not checked.
        target: String,
    },
    /// A device, a pipe, a socket, or a file that is not in the payload.
    Other,
}

impl Contents {
    /// Reads the header; the payload is read as the entries are asked for.
    pub fn read(mut from: impl Read + 'static) -> Result<Self, RpmError> {
        let head = head::read(&mut from, HeadCap::BINARY)?;
        let whole = BufReader::with_capacity(1 << 17, io::Cursor::new(head).chain(from));
        let reader = PackageReader::parse(whole).map_err(header)?;
        let inodes = inodes_of(&reader)?;
        Ok(Self { reader, inodes })
    }

    /// The next file; `None` after the last.
    #[allow(clippy::should_implement_trait, reason = "an entry borrows the reader")]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, RpmError> {
        let payload = |error: rpm::Error| RpmError::Payload(Foreign::new(&error.to_string()));
        let Some(file) = self.reader.next_file().map_err(payload)? else { return Ok(None) };
        let path = file.metadata.path().to_string_lossy().into_owned();
        let inode = self.inodes.get(&path).copied().unwrap_or(0);
        let kind = match file.metadata.file_type() {
            FileType::Dir => Kind::Folder,
            FileType::SymbolicLink => {
                Kind::SymLink { target: file.metadata.linkto().unwrap_or_default().to_owned() }
            }
            FileType::Regular if file.has_payload() => Kind::File { inode },
            FileType::Regular if file.metadata.flags().contains(rpm::FileFlags::GHOST) => {
                Kind::Other
            }
            FileType::Regular => Kind::HardLink { inode },
            _ => Kind::Other,
        };
        let mode = u32::from(file.metadata.permissions());
        Ok(Some(Entry { path, kind, mode, file }))
    }
}

fn inodes_of(reader: &PackageReader) -> Result<HashMap<String, u32>, RpmError> {
    let metadata = &reader.metadata;
    let numbers = metadata.header.get_entry_data_as_u32_array(IndexTag::RPMTAG_FILEINODES);
    // A package without files has no such tag.
    let Ok(numbers) = numbers else { return Ok(HashMap::new()) };
    let paths = metadata.get_file_paths().map_err(header)?;
    Ok(paths.into_iter().map(|path| path.to_string_lossy().into_owned()).zip(numbers).collect())
}

impl Read for Entry<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.file.read(into)
    }
}
