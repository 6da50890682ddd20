use kiln_model::{Digest, Nevra, is_plain};
use kiln_parse::rpmhead::Head;

/// Tags of rpm's lib/rpmtag.h.
mod tag {
    pub(super) const SUMMARY: u32 = 1004;
    pub(super) const VENDOR: u32 = 1011;
    pub(super) const LICENSE: u32 = 1014;
    pub(super) const URL: u32 = 1020;
}

/// The longest text that is taken from a header, in characters.
const TEXT_CAP: usize = 2000;

/// A package of a bill. What it says of itself is its author's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// What it is.
    pub nevra: Nevra,
    /// The digest of its file.
    pub digest: Digest,
    /// Its licence, as its header says it; nothing where nobody has read the header.
    pub license: Option<String>,
    /// One line that says what it is.
    pub summary: Option<String>,
    /// Where it is from.
    pub url: Option<String>,
    /// Who made it.
    pub vendor: Option<String>,
}

impl Package {
    /// One of which nothing more is known.
    pub fn new(nevra: Nevra, digest: Digest) -> Self {
        Self { nevra, digest, license: None, summary: None, url: None, vendor: None }
    }

    /// With what its header says.
    #[must_use]
    pub fn described(mut self, head: &Head) -> Self {
        let text = |tag| head.main().text(tag).map(tame).filter(|text| !text.is_empty());
        self.license = text(tag::LICENSE);
        self.summary = text(tag::SUMMARY);
        self.url = text(tag::URL).filter(|url| is_address(url));
        self.vendor = text(tag::VENDOR);
        self
    }
}

/// On one line, bounded, and with nothing in it that a reader's eye would obey.
fn tame(text: &[u8]) -> String {
    let prefix = &text[..text.len().min(4 * TEXT_CAP)];
    let text = String::from_utf8_lossy(prefix);
    let plain = text.chars().take(TEXT_CAP).map(|c| if is_plain(c) { c } else { ' ' });
    plain.collect::<String>().trim().to_owned()
}

/// Whether it is an address of the kind that the schemas take.
fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-._~:/?@!$&'()*+,;=%".contains(c);
    rest.is_some_and(|rest| {
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
        rest.chars().all(is_fine)
            && host.starts_with(|c: char| c.is_ascii_alphanumeric())
            && host.chars().all(is_host)
            && is_encoded(rest)
    })
}

/// Whether each `%` stands before two hexadecimal digits.
fn is_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use kiln_parse::rpmfile::HeadCap;

    use super::*;

    #[test]
    fn what_a_header_says_is_taken_and_tamed() {
        let mut builder = rpm::PackageBuilder::new("clay", "1.0", "MIT", "noarch", "Clay\u{202e}x");
        builder.url("https://example.org/clay").vendor("Potters");
        let mut bytes = Vec::new();
        builder.build().expect("built").write(&mut bytes).expect("written");
        let head = Head::read(&mut &bytes[..], HeadCap::BINARY).expect("a head");
        let nevra = "clay-1.0-1.noarch".parse().expect("a NEVRA");
        let package = Package::new(nevra, Digest::of(&bytes)).described(&head);
        assert_eq!(package.license.as_deref(), Some("MIT"));
        assert_eq!(package.summary.as_deref(), Some("Clay x"));
        assert_eq!(package.url.as_deref(), Some("https://example.org/clay"));
        assert_eq!(package.vendor.as_deref(), Some("Potters"));
    }

    #[test]
    fn what_is_no_address_is_left_out() {
        for fine in ["https://a.org", "http://a.org:80/x?y=%20z", "https://a/~b"] {
            assert!(is_address(fine), "{fine}");
        }
        for wrong in [
            "a.org",
            "ftp://a.org",
            "https://",
            "https://a b",
            "https://a/%2",
            "http:///x",
            "https://ä.org",
        ] {
            assert!(!is_address(wrong), "{wrong}");
        }
    }
}
