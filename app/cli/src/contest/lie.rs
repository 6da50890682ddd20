//! Source packages that are not what they say: made of an honest one, whose bytes are changed.
//!
//! The layout is that of rpm's format (rpm.org, "RPM V4 Package format"): a lead of 96 bytes, a
//! signature and a header of the same form, the signature padded to 8 bytes, and the payload. A
//! header begins with a magic number, how many entries its index has and how many bytes their values;
//! an entry is a tag, a type, an offset and a count.

use std::fs;

use serde::Deserialize;

const LEAD: usize = 96;

/// How a header begins.
const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];

const INTRO: usize = 16;

const ENTRY: usize = 16;

/// What is untrue in a source package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Lie {
    /// Nothing: what it unpacks to is bad enough.
    None,
    /// Its header says that its values are 256 MiB.
    HeaderSize,
    /// Its header says that its index has two hundred million entries.
    IndexCount,
    /// Each entry of its index lies beyond the values.
    Offsets,
    /// Each entry of its index says that it has two thousand million values.
    Counts,
    /// It ends in the middle of its payload.
    Cut,
}

impl Lie {
    /// Tells it in a source package; `None` where that is not one.
    pub(super) fn told(self, package: &[u8]) -> Option<Vec<u8>> {
        let mut package = package.to_vec();
        let (signed, signed_end) = header_at(&package, LEAD)?;
        debug_assert!(signed == LEAD, "the signature follows the lead");
        let (header, end) = header_at(&package, signed_end.next_multiple_of(8))?;
        let entries = number_at(&package, header + 8)?;
        let mut put = |at: usize, number: u32| {
            package[at..at + 4].copy_from_slice(&number.to_be_bytes());
        };
        let of_each =
            |field: usize| (0..entries).map(move |each| header + INTRO + each * ENTRY + field);
        match self {
            Self::None => {}
            Self::HeaderSize => put(header + 12, 0x0fff_fff0),
            Self::IndexCount => put(header + 8, 0x0c00_0000),
            Self::Offsets => of_each(8).for_each(|at| put(at, 0x7fff_fff0)),
            Self::Counts => of_each(12).for_each(|at| put(at, 0x7fff_ffff)),
            Self::Cut => package.truncate(end + (package.len() - end) / 2),
        }
        Some(package)
    }
}

/// Where a header that begins there does, and where it ends.
fn header_at(package: &[u8], at: usize) -> Option<(usize, usize)> {
    let is_one = package.get(at..at + MAGIC.len())? == MAGIC;
    let (entries, bytes) = (number_at(package, at + 8)?, number_at(package, at + 12)?);
    let end = at + INTRO + entries * ENTRY + bytes;
    (is_one && end <= package.len()).then_some((at, end))
}

fn number_at(package: &[u8], at: usize) -> Option<usize> {
    let bytes = package.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?) as usize)
}

/// The most memory that this process has had since it was last asked, in KiB; zero where the
/// kernel doesn't say.
pub(super) fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    // 5: the peak begins anew (proc_pid_clear_refs(5)).
    let _ = fs::write("/proc/self/clear_refs", "5");
    peak
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> Vec<u8> {
        let header = |entries: u32, bytes: u32| {
            let mut header = MAGIC.to_vec();
            header.extend(entries.to_be_bytes());
            header.extend(bytes.to_be_bytes());
            header.extend(vec![0; entries as usize * ENTRY + bytes as usize]);
            header
        };
        let mut package = vec![0; LEAD];
        package.extend(header(1, 4));
        package.extend([0; 4]);
        package.extend(header(2, 8));
        package.extend([b'p'; 100]);
        package
    }

    #[test]
    fn each_lie_changes_what_it_is_about_and_nothing_before_it() {
        let honest = package();
        assert_eq!(Lie::None.told(&honest).as_ref(), Some(&honest));
        assert_eq!(Lie::Cut.told(&honest).expect("told").len(), honest.len() - 50);
        let header = LEAD + INTRO + ENTRY + 4 + 4;
        let lies = [
            (Lie::IndexCount, header + 8),
            (Lie::HeaderSize, header + 12),
            (Lie::Offsets, header + INTRO + 8),
            (Lie::Counts, header + INTRO + 12),
        ];
        for (lie, at) in lies {
            let told = lie.told(&honest).expect("told");
            assert_eq!(told.len(), honest.len(), "{lie:?}");
            let first = told.iter().zip(&honest).position(|(one, other)| one != other);
            assert_eq!(first, Some(at), "{lie:?}");
        }
        assert_eq!(Lie::Cut.told(b"no package"), None);
    }
}
