//! gzip (RFC 1952): what its header says of time, name and system, and what is inside.

use kiln_parse::compression::Compression;

use super::{Finder, number};

/// Magic, method, flags, time, how hard it was tried, system.
const HEAD: usize = 10;

pub(super) fn compare(
    finder: &mut Finder,
    place: &str,
    name: &str,
    original: &[u8],
    rebuilt: &[u8],
    depth: u32,
) {
    if original.len() >= HEAD && rebuilt.len() >= HEAD {
        let (old, new) = (number(&original[4..8]), number(&rebuilt[4..8]));
        if old != new {
            let what = "the time in its header".to_owned();
            finder.value(place, what, crate::dates::shown(old), crate::dates::shown(new));
        }
        for (what, at) in [("its flags", 3), ("how hard it was tried", 8), ("its system", 9)] {
            if original[at] != rebuilt[at] {
                let values = [original[at], rebuilt[at]].map(|value| value.to_string());
                let [old, new] = values;
                finder.value(place, format!("{what} in its header"), old, new);
            }
        }
    }
    let has_told = original.get(..HEAD) != rebuilt.get(..HEAD);
    let inside = [original, rebuilt].map(|bytes| finder.unpack(bytes));
    if has_told && matches!(&inside, [Some(old), Some(new)] if old == new) {
        return;
    }
    finder.unpacked(place, name, Compression::Gzip, original, rebuilt, depth);
}

#[cfg(test)]
mod tests {
    use crate::content::tests::{found, packed};

    #[test]
    fn a_time_in_the_header_is_all_that_is_told_where_it_is_all() {
        let found = found("/x.gz", &packed("text", 1_700_000_000), &packed("text", 1_734_560_000));
        let [one] = &found.found[..] else { panic!("{:?}", found.found) };
        assert_eq!(one.what, "the time in its header");
        assert_eq!(one.original, "1700000000 (2023-11-14 22:13:20)");
    }
}
