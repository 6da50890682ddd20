use std::io::Read;

use kiln_model::Foreign;

use super::RpmError;

/// The size of the lead, which begins every RPM.
const LEAD: usize = 96;
const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
/// Magic (3 bytes), version, reserved (4), count of entries, size of data.
const INTRO: usize = 16;
const HEADER_MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 0x01];
const ENTRY: u64 = 16;

/// How long the headers of an RPM may be, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct HeadCap {
    signature: u64,
    main: u64,
}

impl HeadCap {
    /// For source packages: a spec of 1 MB and ten thousand patches fit.
    pub const SOURCE: Self = Self { signature: 1 << 20, main: 8 << 20 };
    /// For binary packages: the largest headers are those of packages with a hundred thousand
    /// files.
    pub const BINARY: Self = Self { signature: 1 << 20, main: 64 << 20 };
}

/// Reads lead, signature header and main header, each only after its size was found fit.
pub(crate) fn read(from: &mut impl Read, cap: HeadCap) -> Result<Vec<u8>, RpmError> {
    let mut head = Vec::new();
    append(from, &mut head, LEAD as u64)?;
    if head[..4] != LEAD_MAGIC {
        return Err(RpmError::Magic);
    }
    let data = header(from, &mut head, "signature", cap.signature)?;
    // The main header begins at a multiple of eight.
    append(from, &mut head, (8 - data % 8) % 8)?;
    header(from, &mut head, "main", cap.main)?;
    Ok(head)
}

/// Appends one header; tells the size of its data.
fn header(
    from: &mut impl Read,
    head: &mut Vec<u8>,
    part: &'static str,
    cap: u64,
) -> Result<u64, RpmError> {
    let at = head.len();
    append(from, head, INTRO as u64)?;
    let intro = &head[at..];
    if intro[..4] != HEADER_MAGIC {
        return Err(RpmError::Magic);
    }
    let number = |at: usize| {
        u64::from(u32::from_be_bytes(intro[at..at + 4].try_into().expect("four bytes")))
    };
    let (count, data) = (number(8), number(12));
    let size = count * ENTRY + data;
    if size > cap {
        return Err(RpmError::Large { part, size, cap });
    }
    let at = head.len();
    append(from, head, size)?;
    let (index, data_bytes) = head[at..].split_at((count * ENTRY) as usize);
    index
        .chunks_exact(ENTRY as usize)
        .all(|entry| is_sound(entry, data_bytes))
        .then_some(data)
        .ok_or_else(|| RpmError::Header(Foreign::new("an entry reaches past its header's data")))
}

/// Whether an entry of the index (tag, type, offset, count; 4 bytes each) lies in the data: what
/// rpm itself checks before it believes a header (`hdrblobVerifyInfo` in lib/header.c), and what
/// the `rpm` crate takes for granted.
fn is_sound(entry: &[u8], data: &[u8]) -> bool {
    let number = |at: usize| {
        u32::from_be_bytes(entry[at..at + 4].try_into().expect("an entry is 16 bytes")) as usize
    };
    let (kind, offset, count) = (number(4), number(8), number(12));
    let Some(rest) = data.get(offset..) else { return false };
    // Of each type from NULL on: the size of one; 0 for strings, which end at a NUL.
    const SIZES: [usize; 10] = [0, 1, 1, 2, 4, 8, 0, 1, 0, 0];
    match (kind, SIZES.get(kind)) {
        (_, None) => false,
        (0, _) => true,
        (_, Some(0)) => rest.iter().filter(|byte| **byte == 0).take(count).count() == count,
        (_, Some(size)) => count.checked_mul(*size).is_some_and(|bytes| bytes <= rest.len()),
    }
}

fn append(from: &mut impl Read, to: &mut Vec<u8>, count: u64) -> Result<(), RpmError> {
    let got = from.take(count).read_to_end(to)? as u64;
    if got == count {
        Ok(())
    } else {
        Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))?
    }
}
