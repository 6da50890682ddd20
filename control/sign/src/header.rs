//! The signature header of an RPM, made anew with one signature in it.
//!
//! Source of the format: rpm's docs/manual/format_v4.md, lib/rpmtag.h (`RPMSIGTAG_*`) and
//! lib/header.c (regions). A header is an intro (magic, count of entries, size of data), the
//! entries, and the data; the first entry is the region that makes all others immutable, its data
//! a trailer that says how many entries it spans.

use std::ops::Range;

/// Tags of rpm's lib/rpmtag.h.
mod tag {
    pub(super) const REGION: u32 = 62;
    pub(super) const DSA_HEADER: u32 = 267;
    pub(super) const RSA_HEADER: u32 = 268;
    pub(super) const OPENPGP: u32 = 278;
    /// Over header and payload, as rpm 4.0 made them.
    pub(super) const PGP: u32 = 1002;
    pub(super) const GPG: u32 = 1005;
    pub(super) const PGP5: u32 = 1006;
    /// Room that is kept for signatures, so that a file is not moved when it is signed.
    pub(super) const RESERVED: u32 = 1008;
}

const INTRO: usize = 16;
const ENTRY: usize = 16;
const BINARY: u32 = 7;
const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];

struct Entry<'a> {
    tag: u32,
    kind: u32,
    count: u32,
    data: &'a [u8],
}

/// The signature header `old`, with `signature` as the only one, made with RSA over the main
/// header; padded to a multiple of eight. It is as long as the old one where that kept room.
pub(crate) fn with_signature(old: &[u8], signature: &[u8]) -> Result<Vec<u8>, &'static str> {
    let signed = Entry {
        tag: tag::RSA_HEADER,
        kind: BINARY,
        count: u32::try_from(signature.len()).map_err(|_| "a signature that is too long")?,
        data: signature,
    };
    let had_room = entries(old)?.iter().any(|entry| entry.tag == tag::RESERVED);
    let mut kept: Vec<Entry<'_>> = entries(old)?
        .into_iter()
        .filter(|entry| {
            ![
                tag::REGION,
                tag::DSA_HEADER,
                tag::RSA_HEADER,
                tag::OPENPGP,
                tag::PGP,
                tag::GPG,
                tag::PGP5,
                tag::RESERVED,
            ]
            .contains(&entry.tag)
        })
        .chain([signed])
        .collect();
    kept.sort_by_key(|entry| entry.tag);
    let mut header = assemble(&kept);
    let room = old.len().checked_sub(header.len() + ENTRY).filter(|room| *room > 0 && had_room);
    let zeros = vec![0; room.unwrap_or_default()];
    if let Some(room) = room {
        let count = u32::try_from(room).map_err(|_| "too much room")?;
        // Its tag is beyond all others that rpm puts there; sorted all the same.
        kept.push(Entry { tag: tag::RESERVED, kind: BINARY, count, data: &zeros });
        kept.sort_by_key(|entry| entry.tag);
        header = assemble(&kept);
    }
    header.resize(header.len().next_multiple_of(8), 0);
    Ok(header)
}

fn assemble(entries: &[Entry<'_>]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for entry in entries {
        data.resize(data.len().next_multiple_of(alignment(entry.kind)), 0);
        push(&mut index, [entry.tag, entry.kind, data.len() as u32, entry.count]);
        data.extend_from_slice(entry.data);
    }
    let spans = (entries.len() + 1) * ENTRY;
    let mut region = Vec::with_capacity(ENTRY);
    push(&mut region, [tag::REGION, BINARY, data.len() as u32, ENTRY as u32]);
    // The trailer points back over all entries, its own included.
    push(&mut data, [tag::REGION, BINARY, (spans as u32).wrapping_neg(), ENTRY as u32]);
    let mut header = MAGIC.to_vec();
    for number in [entries.len() + 1, data.len()] {
        header.extend_from_slice(&(number as u32).to_be_bytes());
    }
    header.extend_from_slice(&region);
    header.extend_from_slice(&index);
    header.extend_from_slice(&data);
    header
}

fn push(to: &mut Vec<u8>, numbers: [u32; 4]) {
    for number in numbers {
        to.extend_from_slice(&number.to_be_bytes());
    }
}

fn alignment(kind: u32) -> usize {
    match kind {
        3 => 2,
        4 => 4,
        5 => 8,
        _ => 1,
    }
}

/// The entries of a header, which ends where its bytes end.
fn entries(header: &[u8]) -> Result<Vec<Entry<'_>>, &'static str> {
    let numbers = |at: Range<usize>| -> Result<Vec<u32>, &'static str> {
        let bytes = header.get(at).ok_or("it ends too early")?;
        Ok(bytes
            .chunks_exact(4)
            .map(|four| u32::from_be_bytes(four.try_into().expect("four bytes")))
            .collect())
    };
    let count = numbers(8..12)?[0] as usize;
    let begin = count.checked_mul(ENTRY).map(|size| size + INTRO).ok_or("too many entries")?;
    let data = header.get(begin..).ok_or("it ends too early")?;
    let entry = |at: usize| {
        let numbers = numbers(INTRO + at * ENTRY..INTRO + (at + 1) * ENTRY)?;
        let [tag, kind, offset, count] = numbers[..] else { return Err("it ends too early") };
        let data = data.get(offset as usize..).ok_or("data outside of it")?;
        let data = data.get(..size_of(kind, count, data)?).ok_or("data that end too early")?;
        Ok(Entry { tag, kind, count, data })
    };
    (0..count).map(entry).collect()
}

/// How long the data of an entry are, which begin at `data`.
fn size_of(kind: u32, count: u32, data: &[u8]) -> Result<usize, &'static str> {
    let count = count as usize;
    let texts = |count: usize| {
        let ends = data.iter().enumerate().filter(|(_, byte)| **byte == 0);
        ends.map(|(at, _)| at + 1).nth(count.saturating_sub(1)).ok_or("a text without an end")
    };
    match kind {
        1 | 2 | BINARY => Ok(count),
        3..=5 => count.checked_mul(alignment(kind)).ok_or("too many numbers"),
        6 => texts(1),
        8 | 9 if count > 0 => texts(count),
        _ => Err("data of an unknown kind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(tag: u32, data: &[u8]) -> Entry<'_> {
        Entry { tag, kind: BINARY, count: data.len() as u32, data }
    }

    fn tags(header: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let entries = entries(header).expect("entries");
        entries.iter().map(|entry| (entry.tag, entry.data.to_vec())).collect()
    }

    #[test]
    fn digests_and_sizes_are_kept_and_old_signatures_are_not() {
        let size = Entry { tag: 1000, kind: 4, count: 1, data: &[0, 0, 1, 2] };
        let text = Entry { tag: 269, kind: 6, count: 1, data: b"abc\0" };
        let old =
            assemble(&[blob(267, b"dsa"), text, blob(1002, b"pgp"), size, blob(1005, b"gpg")]);
        let new = with_signature(&old, b"signed").expect("signed");
        assert_eq!(new.len() % 8, 0);
        let tags = tags(&new);
        let numbers: Vec<u32> = tags.iter().map(|(tag, _)| *tag).collect();
        assert_eq!(numbers, [62, 268, 269, 1000]);
        assert_eq!(tags[1].1, b"signed");
        assert_eq!(tags[2].1, b"abc\0");
        assert_eq!(tags[3].1, [0, 0, 1, 2]);
        // The number lies at a multiple of four; the trailer spans four entries.
        let offset = u32::from_be_bytes(new[16 + 3 * 16 + 8..][..4].try_into().expect("four"));
        assert_eq!(offset % 4, 0);
        assert_eq!(tags[0].1[8..12], (-64_i32).to_be_bytes());
        assert_eq!(with_signature(&new, b"signed").expect("again"), new);
    }

    #[test]
    fn room_that_was_kept_is_used_and_the_rest_stays() {
        let room = vec![0; 4128];
        let old = assemble(&[blob(269, b"x\0"), blob(1008, &room)]);
        let new = with_signature(&old, &[7; 415]).expect("signed");
        assert_eq!(new.len(), old.len().next_multiple_of(8));
        assert_eq!(tags(&new).last().expect("room").0, 1008);
        let again = with_signature(&new, &[8; 415]).expect("signed");
        assert_eq!(again.len(), new.len());
        let long = with_signature(&old, &[7; 9000]).expect("signed");
        assert!(tags(&long).iter().all(|(tag, _)| *tag != 1008));
    }

    #[test]
    fn a_header_that_contradicts_itself_is_refused() {
        let good = assemble(&[blob(269, b"x\0"), blob(1004, &[1; 16])]);
        for end in 0..good.len() {
            let _ = with_signature(&good[..end], b"s");
        }
        for at in 16..good.len() {
            for value in [0, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = with_signature(&bad, b"s");
            }
        }
        let outside = Entry { tag: 1004, kind: BINARY, count: 99, data: b"x" };
        assert!(with_signature(&assemble(&[outside]), b"s").is_err());
        let endless = Entry { tag: 269, kind: 8, count: 40, data: b"x\0" };
        assert!(with_signature(&assemble(&[endless]), b"s").is_err());
    }
}
