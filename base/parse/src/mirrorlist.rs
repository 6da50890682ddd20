//! A mirror list: the base of a repository on each mirror, one a line, `#` begins a comment.
//!
//! Format: as yum and dnf read it (librepo, `mirrorlist.c`).

use kiln_model::Foreign;

use crate::place;

/// The most bytes a mirror list may have.
pub const MIRRORLIST_CAP: u64 = 1 << 20;

/// Mirrors that are kept, the first ones.
const MIRRORS: usize = 200;

/// Why a mirror list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MirrorlistError {
    /// There is no place in it. Servers say so in a comment: 'no mirrors for this release'.
    #[error("the mirror list names no https, http or file place; it begins {0}")]
    Empty(Foreign),
}

/// The places that a mirror list names, each ending in `/`, in its order.
pub fn parse(bytes: &[u8]) -> Result<Vec<String>, MirrorlistError> {
    let mut places = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if let Ok(base) = place::base(line.trim())
            && places.len() < MIRRORS
            && !places.contains(&base)
        {
            places.push(base);
        }
    }
    if places.is_empty() {
        Err(MirrorlistError::Empty(Foreign::from_bytes(bytes)))
    } else {
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_in_order_and_the_rest_is_passed_by() {
        let text = b"# repo = x\r\nhttps://a.example/r\r\n\nftp://b.example/r\n\xff\xfe\n\
            http://c.example/r/\nhttps://a.example/r/\n";
        let places = parse(text).expect("a list");
        assert_eq!(places, ["https://a.example/r/", "http://c.example/r/"]);
    }

    #[test]
    fn a_list_without_places_shows_how_it_begins() {
        let error = parse(b"# no mirrors for epel-99").expect_err("empty").to_string();
        assert!(error.contains("no mirrors for epel-99"), "{error}");
        assert!(parse(b"").is_err());
        assert!(parse(b"<html><body>Hello</body></html>").is_err());
    }
}
