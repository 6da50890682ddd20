//! Digests as rpm-md and Metalink write them: an algorithm's name and hexadecimal digits.

use std::fmt;

use kiln_model::{Digest, Foreign};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

/// A digest strong enough to trust bytes by. Weaker ones (md5, sha1, sha224) are no digest here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// The usual one, and kiln's own.
    Sha256(Digest),
    /// What some repositories use instead.
    Sha512([u8; 64]),
}

/// Why a checksum cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumError {
    /// An algorithm that kiln does not trust or know.
    #[error("a checksum of a kind that kiln does not take ({0}); sha256 and sha512 are")]
    Kind(Foreign),
    /// Not as many lower-case hexadecimal digits as the algorithm has.
    #[error("not a {0} checksum: {1}")]
    Form(&'static str, Foreign),
}

impl Checksum {
    /// Takes the algorithm's name as rpm-md writes it and the digits.
    pub fn parse(kind: &str, hex: &str) -> Result<Self, ChecksumError> {
        let hex = hex.trim();
        match kind {
            "sha256" => Digest::from_hex(hex)
                .map(Self::Sha256)
                .map_err(|_| ChecksumError::Form("sha256", Foreign::new(hex))),
            "sha512" => sha512_from_hex(hex)
                .map(Self::Sha512)
                .ok_or_else(|| ChecksumError::Form("sha512", Foreign::new(hex))),
            _ => Err(ChecksumError::Kind(Foreign::new(kind))),
        }
    }

    /// The algorithm's name, as rpm-md writes it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Sha512(_) => "sha512",
        }
    }

    /// The digits.
    pub fn hex(&self) -> String {
        match self {
            Self::Sha256(digest) => digest.hex(),
            Self::Sha512(raw) => raw.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// Whether `bytes` have it.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Sha256(digest) => digest.as_bytes() == &<[u8; 32]>::from(Sha256::digest(bytes)),
            Self::Sha512(raw) => raw == &<[u8; 64]>::from(Sha512::digest(bytes)),
        }
    }
}

fn sha512_from_hex(hex: &str) -> Option<[u8; 64]> {
    // Two halves of 64 digits each, read as kiln reads every digest.
    let (first, second) = hex.split_at_checked(64)?;
    let mut raw = [0; 64];
    raw[..32].copy_from_slice(Digest::from_hex(first).ok()?.as_bytes());
    raw[32..].copy_from_slice(Digest::from_hex(second).ok()?.as_bytes());
    Some(raw)
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.hex())
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let (kind, hex) = text.split_once(':').unwrap_or((&text, ""));
        Self::parse(kind, hex).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strong_checksums_read_back_and_know_their_bytes() {
        let sha512: String =
            Sha512::digest(b"x").iter().map(|byte| format!("{byte:02x}")).collect();
        for (kind, hex) in [("sha256", Digest::of(b"x").hex()), ("sha512", sha512)] {
            let checksum = Checksum::parse(kind, &hex).expect(kind);
            assert!(checksum.matches(b"x") && !checksum.matches(b"y"));
            assert_eq!(checksum.to_string(), format!("{kind}:{hex}"));
        }
    }

    #[test]
    fn weak_and_malformed_ones_are_refused() {
        let long = "é".repeat(64);
        for (kind, hex) in [
            ("md5", "d41d8cd98f00b204e9800998ecf8427e"),
            ("sha", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("sha1", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("SHA256", &Digest::of(b"").hex()),
            ("sha256", ""),
            ("sha256", "../../etc/passwd"),
            ("sha512", &Digest::of(b"").hex()),
            ("sha512", &long),
            ("", ""),
        ] {
            assert!(Checksum::parse(kind, hex).is_err(), "{kind} {hex}");
        }
    }
}
