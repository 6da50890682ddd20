//! Static libraries (ar(5)): the time, owner and mode of each member, as `ar D` writes them, whatever
//! the package's own way of calling ar.

const MAGIC: usize = 8;
const HEAD: usize = 60;

/// The fields of a head, and what stands in them then.
const FIELDS: [(std::ops::Range<usize>, &str); 4] =
    [(16..28, "0"), (28..34, "0"), (34..40, "0"), (40..48, "644")];

pub(super) fn normalise(bytes: &mut [u8], _epoch: u64) {
    let mut at = MAGIC;
    while let Some(head) = bytes.get_mut(at..at + HEAD) {
        if &head[58..60] != b"`\n" {
            return;
        }
        for (range, value) in FIELDS {
            let field = &mut head[range];
            // The table of symbols and that of long names have blanks there.
            if field.iter().all(|byte| *byte == b' ') {
                continue;
            }
            field.fill(b' ');
            field[..value.len()].copy_from_slice(value.as_bytes());
        }
        let size =
            std::str::from_utf8(&head[48..58]).ok().and_then(|text| text.trim().parse().ok());
        let Some(next) = size.and_then(|size: usize| at.checked_add(HEAD + size + size % 2)) else {
            return;
        };
        at = next;
    }
}
