//! A suite's `InRelease` file: what it says of itself, and the digests of its indexes.

use kiln_model::Digest;

use crate::debian::stanzas;
use crate::plan::Release;

/// Reads the head of an `InRelease` file, signed in clear text (RFC 9580 7), without a look at
/// its signature.
pub(crate) fn read(in_release: &[u8]) -> Option<Release> {
    let text = String::from_utf8_lossy(in_release);
    let body = body(&text);
    let stanza = stanzas(body).next()?;
    Some(Release {
        codename: stanza.field("Codename").or_else(|| stanza.field("Suite"))?.to_owned(),
        version: stanza.field("Version").unwrap_or_default().to_owned(),
        date: stanza.field("Date").unwrap_or_default().to_owned(),
        digest: Digest::of(in_release),
    })
}

/// The signed text between the armour's header and the signature.
fn body(text: &str) -> &str {
    let Some(rest) = text.strip_prefix("-----BEGIN PGP SIGNED MESSAGE-----") else {
        return text;
    };
    let body = rest.split_once("\n\n").map_or(rest, |(_, body)| body);
    body.split_once("-----BEGIN PGP SIGNATURE-----").map_or(body, |(body, _)| body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_release_tells_its_name_and_number() {
        let text = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nSuite: stable\nVersion: 13.1\nCodename: trixie\nDate: Sat\n-----BEGIN PGP SIGNATURE-----\n\nxx\n";
        let release = read(text.as_bytes()).expect("a release");
        assert_eq!((release.codename.as_str(), release.version.as_str()), ("trixie", "13.1"));
        assert_eq!(read(b""), None);
    }
}
