//! The `ar` archive around a Debian package (deb(5), ar(5)).

/// One member of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    pub(crate) name: &'a str,
    pub(crate) bytes: &'a [u8],
}

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// Every member; `None` where the bytes are no archive or end too early.
pub(crate) fn members(bytes: &[u8]) -> Option<Vec<Member<'_>>> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut members = Vec::new();
    while !rest.is_empty() {
        let header = rest.get(..HEADER)?;
        let text = |from: usize, to: usize| std::str::from_utf8(&header[from..to]).ok();
        let name = text(0, 16)?.trim_end().trim_end_matches('/');
        let size: usize = text(48, 58)?.trim_end().parse().ok()?;
        let end = HEADER.checked_add(size)?;
        members.push(Member { name, bytes: rest.get(HEADER..end)? });
        // Members begin at even places; the last one may lack its filler.
        rest = rest.get(end.next_multiple_of(2)..).unwrap_or_default();
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_larger_than_the_file_is_refused() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(format!("{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "a", 0, 0, 0, 644, 9).bytes());
        bytes.extend(b"12345678");
        assert_eq!(members(&bytes), None);
        bytes.push(b'9');
        assert_eq!(members(&bytes), Some(vec![Member { name: "a", bytes: b"123456789" }]));
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        for bytes in [&b""[..], b"!<arch>", b"PK\x03\x04", b"!<arch>\nshort"] {
            assert_eq!(members(bytes), None);
        }
    }
}
