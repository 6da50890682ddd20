//! The headers of a bundle's files: each has one form.

use std::io::Read;

use kiln_model::Foreign;
use tar::{EntryType, Header};

use crate::BundleError;
use crate::error::reading;

/// A block of a tar, in bytes: a header is one, and a file ends at the end of one.
pub(crate) const BLOCK: usize = 512;

/// The blocks of zeros that end a tar.
pub(crate) const END: usize = 2 * BLOCK;

/// The header of a file.
pub(crate) fn header(path: &str, size: u64) -> [u8; BLOCK] {
    let mut header = Header::new_ustar();
    header.set_path(path).expect("names in a bundle are short and plain");
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    *header.as_bytes()
}

/// How many zeros stand behind a file, up to the end of its last block.
pub(crate) fn padding(size: u64) -> usize {
    let over = (size % BLOCK as u64) as usize;
    if over == 0 { 0 } else { BLOCK - over }
}

/// Reads the header that is due, and no other.
pub(crate) fn expect(from: &mut impl Read, path: &str, size: u64) -> Result<(), BundleError> {
    let found = block(from, path)?;
    match found == header(path, size) {
        true => Ok(()),
        false => Err(other(&found, path, size)),
    }
}

/// Reads the header of a file whose size is not known, but is at most `cap`; that size.
pub(crate) fn expect_sized(
    from: &mut impl Read,
    path: &'static str,
    cap: u64,
) -> Result<u64, BundleError> {
    let found = block(from, path)?;
    let size = Header::from_byte_slice(&found).entry_size().unwrap_or(0);
    match found == header(path, size) && size <= cap {
        true => Ok(size),
        false => Err(other(&found, path, size.min(cap))),
    }
}

/// Reads what stands behind a file.
pub(crate) fn expect_padding(
    from: &mut impl Read,
    path: &str,
    size: u64,
) -> Result<(), BundleError> {
    let mut zeros = [0; BLOCK];
    let zeros = &mut zeros[..padding(size)];
    from.read_exact(zeros).map_err(reading(path))?;
    match zeros.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(BundleError::Entry {
            expected: format!("nothing behind {path}"),
            found: Foreign::new("something"),
        }),
    }
}

pub(crate) fn block(from: &mut impl Read, inside: &str) -> Result<[u8; BLOCK], BundleError> {
    let mut block = [0; BLOCK];
    from.read_exact(&mut block).map_err(reading(inside))?;
    Ok(block)
}

/// What stands there instead.
fn other(found: &[u8; BLOCK], path: &str, size: u64) -> BundleError {
    let header = Header::from_byte_slice(found);
    let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
    let found = match header.entry_type() {
        _ if found.iter().all(|byte| *byte == 0) => "its end".to_owned(),
        EntryType::Symlink | EntryType::Link => format!("a link, {name}"),
        EntryType::Directory => format!("a folder, {name}"),
        EntryType::Regular if name != path => name,
        EntryType::Regular if header.entry_size().is_ok_and(|it| it != size) => {
            format!("{name} with another size")
        }
        EntryType::Regular => format!("{name} with a header that is not kiln's"),
        _ => format!("something that is no file, {name}"),
    };
    BundleError::Entry { expected: path.to_owned(), found: Foreign::new(&found) }
}
