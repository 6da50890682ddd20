//! Places: where a repository lies, and where in it a file lies.
//!
//! A base is `https://…`, `http://…` or `file:///…` (RFC 3986, RFC 8089) and ends in `/`. A
//! location is relative to a base and never leaves it. dnf and libcurl put one after the other
//! without encoding anything, and so does kiln.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use kiln_model::Foreign;

/// The longest place, in bytes: what servers take at the least in a request line.
const PLACE_CAP: usize = 4096;

/// Why a text is not a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Not one of the schemes.
    #[error("not a place (https://…, http://… or file:///…): {0}")]
    Scheme(Foreign),
    /// No host, or a host where none may be.
    #[error("a place without a host, or a file: one with a host: {0}")]
    Host(Foreign),
    /// A user's name and password would end in logs and locks.
    #[error("a place that names a user: {0}")]
    User(Foreign),
    /// Too long, or with a character that no address has.
    #[error("a place with a space or a control character, or one over {PLACE_CAP} bytes: {0}")]
    Form(Foreign),
    /// A location that would lead out of its repository.
    #[error("a location that does not stay in its repository: {0}")]
    Outside(Foreign),
}

/// Checks that `text` is a place that something can be fetched from.
pub fn check(text: &str) -> Result<(), PlaceError> {
    let foreign = || Foreign::new(text);
    let odd = |c: char| c.is_control() || c.is_whitespace() || "\"<>\\^`{|}".contains(c);
    if text.len() > PLACE_CAP || text.contains(odd) {
        return Err(PlaceError::Form(foreign()));
    }
    if let Some(path) = text.strip_prefix("file://") {
        return if path.starts_with('/') { Ok(()) } else { Err(PlaceError::Host(foreign())) };
    }
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or_else(|| PlaceError::Scheme(foreign()))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Err(PlaceError::User(foreign()));
    }
    if host.is_empty() || host.starts_with(':') {
        return Err(PlaceError::Host(foreign()));
    }
    Ok(())
}

/// Checks a repository's base and ends it in one `/`.
pub fn base(text: &str) -> Result<String, PlaceError> {
    check(text)?;
    if text.contains(['?', '#']) {
        return Err(PlaceError::Form(Foreign::new(text)));
    }
    Ok(format!("{}/", text.trim_end_matches('/')))
}

/// Checks that `text`, as it stands and with its `%xx` decoded, names something inside a
/// repository.
pub fn check_location(text: &str) -> Result<(), PlaceError> {
    let inside = !text.is_empty()
        && text.len() <= PLACE_CAP
        && !text.contains(['?', '#', ':', '\\'])
        && text.split('/').all(is_name);
    if inside { Ok(()) } else { Err(PlaceError::Outside(Foreign::new(text))) }
}

fn is_name(part: &str) -> bool {
    // An address's reader takes `%2e%2e` for `..`.
    let decoded = decode(part);
    !matches!(&*decoded, b"" | b"." | b"..")
        && !decoded.iter().any(|byte| byte.is_ascii_control() || b"/\\".contains(byte))
        && !part.chars().any(char::is_control)
}

/// A location under a base.
pub fn join(base: &str, location: &str) -> Result<String, PlaceError> {
    check_location(location)?;
    Ok(format!("{}/{location}", base.trim_end_matches('/')))
}

/// The base `folders` above `base`: `https://host/a/b/` and 1 give `https://host/a/`.
pub fn above(base: &str, folders: u8) -> Result<String, PlaceError> {
    let (scheme, rest) =
        base.split_once("//").ok_or_else(|| PlaceError::Scheme(Foreign::new(base)))?;
    let mut rest = rest.trim_end_matches('/');
    for _ in 0..folders {
        (rest, _) = rest.rsplit_once('/').ok_or_else(|| PlaceError::Outside(Foreign::new(base)))?;
    }
    Ok(format!("{scheme}//{rest}/"))
}

/// The path of a `file:` place; `None` for another.
pub fn file_path(place: &str) -> Option<PathBuf> {
    let path = place.strip_prefix("file://").filter(|path| path.starts_with('/'))?;
    let bytes = decode(path);
    (!bytes.contains(&0)).then(|| PathBuf::from(OsString::from_vec(bytes)))
}

/// The `file:` place of an absolute path.
pub fn of_file(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut place = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~+,=@!$&'()*;:".contains(byte) {
            place.push(char::from(*byte));
        } else {
            write!(place, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    place
}

/// Decodes `%xx`; what is no such thing stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let decoded = digits
            .filter(|pair| *first == b'%' && pair.bytes().all(|c| c.is_ascii_hexdigit()))
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_that_leave_their_repository_are_refused() {
        for text in [
            "",
            "/etc/passwd",
            "../x.rpm",
            "a/../../x.rpm",
            "a/./x",
            "a//x",
            "a/",
            "%2e%2e/x",
            "a/.%2E/x",
            "a%2f..%2fx",
            "a\\x",
            "http://host/x",
            "file:///etc/passwd",
            "x?y",
            "x#y",
            "x\ny",
            "x%00",
            "x%0a",
            "x\u{85}y",
        ] {
            assert!(check_location(text).is_err(), "{text:?}");
            assert!(join("https://host/r/", text).is_err(), "{text:?}");
        }
        for text in ["x.rpm", "Packages/l/libc++-1~rc1^2-1.rpm", "a/100%.rpm", "...", "é"] {
            assert!(check_location(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn places_are_told_from_what_is_none() {
        for text in ["https://host/x?a=b&c", "http://[::1]:80/", "file:///srv/repo", "https://h"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        for text in [
            "",
            "host/x",
            "ftp://host/",
            "https:///x",
            "https://:80/",
            "https://me:secret@host/",
            "file://host/x",
            "file:relative",
            "https://host/ x",
            "https://host/\n",
            "https://host/{x}",
            "--upload-pack=x",
            &format!("https://host/{}", "x".repeat(PLACE_CAP)),
        ] {
            assert!(check(text).is_err(), "{text:?}");
        }
        assert_eq!(base("https://host/r//"), Ok("https://host/r/".to_owned()));
        assert!(base("https://host/r?x").is_err());
    }

    #[test]
    fn above_climbs_and_stops_at_the_host() {
        assert_eq!(above("https://host/a/b/c/", 2), Ok("https://host/a/".to_owned()));
        assert_eq!(above("https://host/a/", 1), Ok("https://host/".to_owned()));
        assert!(above("https://host/a/", 2).is_err());
    }

    #[test]
    fn a_path_comes_back_from_its_place() {
        for path in ["/srv/repo", "/srv/a b/100% ü/#?", "/"] {
            let place = of_file(Path::new(path));
            assert_eq!(check(&place), Ok(()), "{place}");
            assert_eq!(file_path(&place), Some(PathBuf::from(path)));
        }
        assert_eq!(file_path("https://host/x"), None);
        assert_eq!(file_path("file:///a%00b"), None);
    }
}
