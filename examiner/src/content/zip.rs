//! Zip archives, jars and wheels among them: their entries, in order, and what is said of each.
//!
//! Source of the format: PKWARE's APPNOTE.TXT 6.3. Read from the central directory, as readers do;
//! archives of more than 4 GiB (zip64) and encrypted ones are told as bytes.

use std::io::Read;

use super::{Finder, UNPACKED, join, number};

/// The most entries that are looked at.
const MOST: usize = 20_000;

struct Entry<'a> {
    name: String,
    /// What its head says: what each is called, and its value.
    values: [(&'static str, String); 4],
    method: u64,
    packed: &'a [u8],
}

pub(super) fn compare(
    finder: &mut Finder,
    place: &str,
    original: &[u8],
    rebuilt: &[u8],
    depth: u32,
) {
    let (Some(old), Some(new)) = (entries(original), entries(rebuilt)) else { return };
    let names = |entries: &[Entry<'_>]| {
        entries.iter().map(|entry| format!("{}\n", entry.name)).collect::<String>()
    };
    let (old_names, new_names) = (names(&old), names(&new));
    if old_names != new_names {
        finder.text(&join(place, "entries"), old_names.as_bytes(), new_names.as_bytes());
        return;
    }
    for (old, new) in old.iter().zip(&new) {
        let inner = join(place, &format!("entry {}", old.name));
        for ((what, before), (_, after)) in old.values.iter().zip(&new.values) {
            if before != after {
                finder.value(&inner, (*what).to_owned(), before.clone(), after.clone());
            }
        }
        if old.packed == new.packed {
            continue;
        }
        match (old.unpacked(), new.unpacked()) {
            (Some(before), Some(after)) if before == after => {
                let what = "compressed in another way, the same inside".to_owned();
                let sizes = [old, new].map(|entry| format!("{} bytes", entry.packed.len()));
                let [before, after] = sizes;
                finder.value(&inner, what, before, after);
            }
            (Some(before), Some(after)) => {
                finder.look(&inner, &old.name, &before, &after, depth + 1);
            }
            _ => finder.leave_out(format!("{}: cannot be unpacked", finder.at(&inner))),
        }
    }
}

impl Entry<'_> {
    fn unpacked(&self) -> Option<Vec<u8>> {
        const DEFLATED: u64 = 8;
        match self.method {
            0 => Some(self.packed.to_vec()),
            DEFLATED => {
                let mut bytes = Vec::new();
                let reader = flate2::read::DeflateDecoder::new(self.packed);
                reader.take(UNPACKED + 1).read_to_end(&mut bytes).ok()?;
                (bytes.len() as u64 <= UNPACKED).then_some(bytes)
            }
            _ => None,
        }
    }
}

fn entries(archive: &[u8]) -> Option<Vec<Entry<'_>>> {
    const END: &[u8] = b"PK\x05\x06";
    let end = memchr::memmem::rfind(archive, END)?;
    let end = archive.get(end..end + 22)?;
    let count = (number(&end[10..12]) as usize).min(MOST);
    let mut at = number(&end[16..20]) as usize;
    let mut entries = Vec::new();
    for _ in 0..count {
        let head = archive.get(at..at + 46)?;
        if &head[..4] != b"PK\x01\x02" {
            return None;
        }
        let field = |from: usize, length: usize| number(&head[from..from + length]);
        let length = |from: usize| field(from, 2) as usize;
        let (name, extra, comment) = (length(28), length(30), length(32));
        let local = field(42, 4) as usize;
        let text = archive.get(at + 46..at + 46 + name)?;
        let more = archive.get(at + 46 + name..at + 46 + name + extra)?;
        let inner = archive.get(local..local.checked_add(30)?)?;
        let from = local + 30 + number(&inner[26..28]) as usize + number(&inner[28..30]) as usize;
        let packed = archive.get(from..from.checked_add(field(20, 4) as usize)?)?;
        entries.push(Entry {
            name: String::from_utf8_lossy(text).into_owned(),
            values: [
                ("its time", dos_time(field(14, 2), field(12, 2))),
                ("its extra fields", crate::shown::bytes(more)),
                ("its attributes", format!("{:#x}", field(38, 4))),
                ("who made it", format!("{:#x}", field(4, 2))),
            ],
            method: field(10, 2),
            packed,
        });
        at += 46 + name + extra + comment;
    }
    Some(entries)
}

fn dos_time(date: u64, time: u64) -> String {
    format!(
        "{}-{:02}-{:02} {:02}:{:02}:{:02}",
        1980 + (date >> 9),
        date >> 5 & 15,
        date & 31,
        time >> 11,
        time >> 5 & 63,
        (time & 31) * 2
    )
}

#[cfg(test)]
mod tests {
    use crate::content::tests::found;

    fn archive(entries: &[(&str, u16, &str)]) -> Vec<u8> {
        let (mut bytes, mut index) = (Vec::new(), Vec::new());
        for (name, date, text) in entries {
            let at = bytes.len() as u32;
            let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0];
            common.extend(date.to_le_bytes());
            common.extend([0; 4]);
            common.extend((text.len() as u32).to_le_bytes());
            common.extend((text.len() as u32).to_le_bytes());
            common.extend((name.len() as u16).to_le_bytes());
            common.extend([0; 2]);
            bytes.extend(b"PK\x03\x04");
            bytes.extend(&common);
            bytes.extend(name.bytes().chain(text.bytes()));
            index.extend(b"PK\x01\x02\x14\x03");
            index.extend(&common);
            index.extend([0; 10]);
            index.extend(at.to_le_bytes());
            index.extend(name.bytes());
        }
        let (at, count) = (bytes.len() as u32, entries.len() as u16);
        bytes.extend(&index);
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend(count.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend((index.len() as u32).to_le_bytes());
        bytes.extend(at.to_le_bytes());
        bytes.extend([0; 2]);
        bytes
    }

    #[test]
    fn an_entrys_time_and_content_are_told_apart() {
        let old = archive(&[("a.txt", 0x5a21, "one\n"), ("b.txt", 0x5a21, "same")]);
        let new = archive(&[("a.txt", 0x5c46, "two\n"), ("b.txt", 0x5a21, "same")]);
        let found = found("/x.jar", &old, &new);
        let told: Vec<_> = found.found.iter().map(|one| (&*one.place, &*one.what)).collect();
        assert_eq!(told, [("entry a.txt", "its time"), ("entry a.txt", "lines of text")]);
        assert!(found.found[0].original.starts_with("2025-01-01"), "{:?}", found.found[0]);
    }

    #[test]
    fn no_cut_and_no_flipped_byte_makes_it_panic() {
        let whole = archive(&[("a.txt", 0, "one"), ("b.txt", 0, "two")]);
        for at in 0..whole.len() {
            let _ = super::entries(&whole[..at]);
            let mut broken = whole.clone();
            broken[at] ^= 0xff;
            let _ = super::entries(&broken);
        }
    }
}
