//! Where sources are fetched from, as strangers write it: addresses, references and folders that
//! become arguments of git and curl, and the lists that say what else to fetch.
//!
//! What could be taken for an option, for another transport (`ext::…`, `file://…`, `host:path`)
//! or for a path elsewhere is refused here, by what is allowed and not by what is known to be bad.

use std::collections::BTreeMap;

use kiln_model::Foreign;

use crate::checksum::Checksum;

/// The longest address, in bytes.
const URL_CAP: usize = 2000;

/// The longest reference or folder, in bytes.
const WORD_CAP: usize = 240;

/// The most sources that are fetched for one spec.
pub const SOURCES_CAP: usize = 200;

/// Why something cannot be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Not an address that is fetched from.
    #[error("not an address that sources are fetched from (https://HOST/PATH): {0}")]
    Url(Foreign),
    /// Not a branch, tag or commit.
    #[error("not a branch, a tag or a commit: {0}")]
    Reference(Foreign),
    /// Not a folder in a tree.
    #[error("not a folder of a repository: {0}")]
    Folder(Foreign),
    /// Not a name that a source can have.
    #[error("not a name that a source can have: {0}")]
    Name(Foreign),
}

/// An address, in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Url<'a> {
    /// Whether it is spoken to without TLS.
    pub is_plain: bool,
    /// The host's name or address, the latter in brackets where it has colons.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// From the first `/` on.
    pub path: &'a str,
}

/// Takes an address apart: `https://` or `http://`, a host, perhaps a port, and a path. No user, no
/// password, no fragment, and no character that an address doesn't have (RFC 3986).
pub fn url(text: &str) -> Result<Url<'_>, RemoteError> {
    let wrong = || RemoteError::Url(Foreign::new(text));
    let is_url = |c: char| c.is_ascii_alphanumeric() || "-._~:/?[]@!$&'()*+,;=%".contains(c);
    if text.len() > URL_CAP || !text.chars().all(is_url) {
        return Err(wrong());
    }
    let (is_plain, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (false, rest),
        (None, Some(rest)) => (true, rest),
        (None, None) => return Err(wrong()),
    };
    let slash = rest.find('/').ok_or_else(wrong)?;
    let (place, path) = rest.split_at(slash);
    let split = match place.starts_with('[') {
        true => place.find(']').map(|end| end + 1).ok_or_else(wrong)?,
        false => place.find(':').unwrap_or(place.len()),
    };
    let (host, port) = place.split_at(split);
    let bare = host.trim_matches(['[', ']']);
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let is_fine = match host.starts_with('[') {
        true => bare.parse::<std::net::Ipv6Addr>().is_ok(),
        false => !bare.is_empty() && bare.chars().all(is_host) && !bare.starts_with(['-', '.']),
    };
    let usual = if is_plain { 80 } else { 443 };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().map_err(|_| wrong())?,
        None if port.is_empty() => usual,
        None => return Err(wrong()),
    };
    if !is_fine || port == 0 { Err(wrong()) } else { Ok(Url { is_plain, host, port, path }) }
}

/// Checks a reference: `HEAD`, a branch, a tag, `refs/…` or a commit (git-check-ref-format(1)).
pub fn check_reference(text: &str) -> Result<(), RemoteError> {
    let is_mark = |c: char| c.is_ascii_alphanumeric() || "-._/+@=#".contains(c);
    let is_fine = !text.is_empty()
        && text.len() <= WORD_CAP
        && text.chars().all(is_mark)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !text.contains("..")
        && !text.contains("//")
        && !text.ends_with(['/', '.'])
        && !text.split('/').any(|part| part.starts_with('.') || part.ends_with(".lock"));
    if is_fine { Ok(()) } else { Err(RemoteError::Reference(Foreign::new(text))) }
}

/// Checks a folder of a tree: relative, plain, not git's own.
pub fn check_folder(text: &str) -> Result<(), RemoteError> {
    let is_mark = |c: char| c.is_ascii_alphanumeric() || "-._+~".contains(c);
    let is_part = |part: &str| {
        !part.is_empty()
            && part.chars().all(is_mark)
            && !part.starts_with(['.', '-'])
            && !part.eq_ignore_ascii_case("git~1")
    };
    let is_fine = text.len() <= WORD_CAP && text.split('/').all(is_part);
    if is_fine { Ok(()) } else { Err(RemoteError::Folder(Foreign::new(text))) }
}

/// Checks the plain name of a source.
pub fn check_name(text: &str) -> Result<(), RemoteError> {
    let is_mark = |c: char| c.is_ascii_alphanumeric() || "-._+~^".contains(c);
    let is_fine = text.len() <= WORD_CAP
        && text.chars().all(is_mark)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if is_fine { Ok(()) } else { Err(RemoteError::Name(Foreign::new(text))) }
}

/// Whether a reference is a commit.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

/// The sources and patches of a spec that was expanded in a jail, plain name to address; those
/// that are no addresses are left out. rpm takes what stands behind the last `/` as the name, and
/// `#/name` at the end gives another one.
pub fn sources_of(expanded: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(expanded);
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let Some((tag, value)) = line.split_once(':') else { continue };
        let tag = tag.trim().to_ascii_lowercase();
        let plain = tag.trim_end_matches(|c: char| c.is_ascii_digit());
        let value = value.trim();
        if !matches!(plain, "source" | "patch") || !value.contains("://") {
            continue;
        }
        let address = value.split('#').next().unwrap_or(value);
        let name = value.rsplit('/').next().unwrap_or_default();
        if found.len() < SOURCES_CAP && check_name(name).is_ok() {
            found.insert(name.to_owned(), address.to_owned());
        }
    }
    found
}

/// A line of dist-git's file `sources`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The file's plain name.
    pub name: String,
    /// The algorithm, in lower case: `sha512`.
    pub kind: String,
    /// The digits.
    pub hex: String,
}

impl Listed {
    /// What its bytes are checked by; nothing where the algorithm is one that proves nothing.
    pub fn checksum(&self) -> Option<Checksum> {
        Checksum::parse(&self.kind, &self.hex).ok()
    }
}

/// Reads dist-git's file `sources`: `SHA512 (name) = digits`, or the older `digits  name` of MD5.
pub fn read_listed(bytes: &[u8]) -> Vec<Listed> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().filter_map(|line| listed(line.trim())).take(SOURCES_CAP).collect()
}

fn listed(line: &str) -> Option<Listed> {
    let (kind, name, hex) = match line.split_once(" (") {
        Some((kind, rest)) => {
            let (name, hex) = rest.split_once(") = ")?;
            (kind.to_ascii_lowercase(), name, hex)
        }
        None => {
            let (hex, name) = line.split_once(char::is_whitespace)?;
            ("md5".to_owned(), name.trim(), hex)
        }
    };
    let is_hex = !hex.is_empty() && hex.chars().all(|c| c.is_ascii_hexdigit());
    let is_kind = !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric());
    let is_fine = is_hex && is_kind && hex.len() <= 128 && check_name(name).is_ok();
    is_fine.then(|| Listed { name: name.to_owned(), kind, hex: hex.to_ascii_lowercase() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_apart() {
        let parts = |text| url(text).map(|it| (it.is_plain, it.host, it.port, it.path));
        let good = "https://git.example.org/a/b.git";
        assert_eq!(parts(good), Ok((false, "git.example.org", 443, "/a/b.git")));
        assert_eq!(parts("http://127.0.0.1:8080/x"), Ok((true, "127.0.0.1", 8080, "/x")));
        assert_eq!(parts("https://[::1]:8443/x?y=1"), Ok((false, "[::1]", 8443, "/x?y=1")));
    }

    #[test]
    fn options_and_other_transports_are_no_addresses() {
        for text in [
            "",
            "-u",
            "--upload-pack=touch x",
            "ext::sh -c id",
            "ext::sh%20-c%20id",
            "fd::3",
            "file:///etc/passwd",
            "/etc/passwd",
            "../x",
            "git@host:x.git",
            "ssh://host/x",
            "git://host/x",
            "ftp://host/x",
            "HTTPS://host/x",
            "https:///x",
            "https://host",
            "https://-oProxyCommand=x/y",
            "https://user@host/x",
            "https://user:word@host/x",
            "https://host:/x",
            "https://host:0/x",
            "https://host:99999/x",
            "https://host:443x/x",
            "https://[::1/x",
            "https://[host]/x",
            "https://ho st/x",
            "https://host/x y",
            "https://host/x\n",
            "https://host/x\0",
            "https://host/x#y",
            "https://host/x\\y",
            "https://host\\@evil/x",
            "https://h\u{f6}st/x",
            "https://host/\"x\"",
            " https://host/x",
        ] {
            assert!(url(text).is_err(), "{text:?}");
        }
        assert!(url(&format!("https://host/{}", "x".repeat(URL_CAP))).is_err());
    }

    #[test]
    fn options_and_refspecs_are_no_references() {
        for text in ["main", "HEAD", "v1.0", "refs/pull/12/head", "feature/a-b_c", "f43", "a+b"] {
            assert_eq!(check_reference(text), Ok(()), "{text:?}");
        }
        for text in [
            "",
            "-x",
            "--upload-pack=x",
            "--output=/x",
            "+main",
            "a:b",
            "main:refs/heads/x",
            "a..b",
            "a^",
            "a~1",
            "@{-1}",
            "a b",
            "a\n",
            "a*",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.",
        ] {
            assert!(check_reference(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn folders_stay_in_their_tree_and_out_of_gits() {
        for text in ["a", "packages/hello", "x-1.0/y"] {
            assert_eq!(check_folder(text), Ok(()), "{text:?}");
        }
        for text in ["", "/a", "a/", "..", "a/../b", ".git", "a/.git", "-x", "git~1", "a b", "."] {
            assert!(check_folder(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sources_are_found_in_an_expanded_spec() {
        let spec = b"Name: x\nSource0: https://host/a/x-1.tar.gz\nSource1:  local.conf\n\
            Source2: https://host/archive/v1#/x-1-more.tar.gz\nPatch10: https://host/p/fix.patch\n\
            Source3: https://host/?file=..\nURL: https://host/\nsource: http://host/plain\n";
        let found = sources_of(spec);
        let told: Vec<(&str, &str)> = found.iter().map(|(a, b)| (&a[..], &b[..])).collect();
        let expected = [
            ("fix.patch", "https://host/p/fix.patch"),
            ("plain", "http://host/plain"),
            ("x-1-more.tar.gz", "https://host/archive/v1"),
            ("x-1.tar.gz", "https://host/a/x-1.tar.gz"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn lists_of_sources_are_read_in_both_forms() {
        let hex = "ab".repeat(64);
        let text = format!(
            "SHA512 (x-1.tar.gz) = {hex}\n0123456789abcdef0123456789abcdef  old.tar.gz\n\
             SHA512 (../x) = {hex}\nrubbish\nSHA512 (y) = xyz\n"
        );
        let found = read_listed(text.as_bytes());
        assert_eq!(found.len(), 2);
        assert_eq!((&found[0].name[..], &found[0].kind[..]), ("x-1.tar.gz", "sha512"));
        assert!(found[0].checksum().is_some());
        assert_eq!((&found[1].kind[..], found[1].checksum()), ("md5", None));
    }
}
