//! Compiled Python (PEP 552): what its header says of the source, and the code.

use super::{Finder, binary, join, number};

/// Magic, flags, and eight bytes that say which source it was compiled from.
const HEAD: usize = 16;

pub(super) fn compare(finder: &mut Finder, place: &str, original: &[u8], rebuilt: &[u8]) {
    if original.len() < HEAD || rebuilt.len() < HEAD {
        return binary::compare(finder, place, original, rebuilt);
    }
    let mut value = |what: &str, range: std::ops::Range<usize>, is_time: bool| {
        let [old, new] = [original, rebuilt].map(|bytes| number(&bytes[range.clone()]));
        if old != new {
            let show = |number: u64| match is_time {
                true => crate::dates::shown(number),
                false => format!("{number:#x}"),
            };
            finder.value(place, what.to_owned(), show(old), show(new));
        }
    };
    value("which Python it is for", 0..4, false);
    value("how it knows its source", 4..8, false);
    if number(&original[4..8]) == 0 {
        value("the time of its source", 8..12, true);
        value("the size of its source", 12..16, false);
    } else {
        value("the hash of its source", 8..16, false);
    }
    let (old, new) = (&original[HEAD..], &rebuilt[HEAD..]);
    if old != new {
        binary::compare(finder, &join(place, "code"), old, new);
    }
}

#[cfg(test)]
mod tests {
    use crate::content::tests::found;

    #[test]
    fn the_time_of_the_source_is_told() {
        let made = |time: u32| {
            [&b"\xa7\x0d\r\n"[..], &[0; 4], &time.to_le_bytes(), &7_u32.to_le_bytes(), b"code"]
                .concat()
        };
        let found = found("/x.pyc", &made(1_700_000_000), &made(1_734_560_000));
        let [one] = &found.found[..] else { panic!("{:?}", found.found) };
        assert_eq!(one.what, "the time of its source");
    }
}
