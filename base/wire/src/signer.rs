//! Between control and the signer: which key, what is signed, what came out.
//!
//! Control sends a [`Request`]; after [`Request::Sign`] the bytes follow in frames of kind
//! [`crate::frame::DATA`] until there are as many as it announced. The signer sends one
//! [`Answer`] to each, and [`Answer::Ready`] before the first.
//!
//! What a signature is good for must show in what is signed: a header is no `repomd.xml` and
//! neither is a statement, so the signer refuses bytes that don't begin as their [`Kind`] says,
//! and needs no parser to keep one from being passed off as another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The version of these messages; [`Answer::Ready`] carries it.
pub const VERSION: u32 = 1;

/// The longest request, in bytes; what is signed comes after it.
pub const REQUEST_CAP: usize = 4 << 10;

/// The longest answer, in bytes.
pub const ANSWER_CAP: usize = 256 << 10;

/// The longest signature or certificate, in bytes.
pub const SIGNATURE_CAP: usize = 32 << 10;

/// The longest name of a key, in bytes.
const NAME_CAP: usize = 63;

/// The name of a key: that of the project whose packages it signs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(String);

/// A text that is no name of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a key's name is one to {NAME_CAP} of a-z, 0-9, '.', '_', '+' and '-', with a letter or a \
     digit first"
)]
pub struct KeyNameError;

impl KeyName {
    /// The name as text: also a plain name of a file.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(text: &str) -> Result<Self, KeyNameError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for KeyName {
    type Error = KeyNameError;

    fn try_from(text: String) -> Result<Self, KeyNameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let first = bytes.first().is_some_and(|byte| plain(*byte));
        let rest = bytes.iter().all(|byte| plain(*byte) || b"._+-".contains(byte));
        if first && rest && bytes.len() <= NAME_CAP { Ok(Self(text)) } else { Err(KeyNameError) }
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.0
    }
}

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The main header of an RPM. The signature is an OpenPGP packet, binary.
    Header,
    /// A `repomd.xml`. The signature is OpenPGP, in ASCII armour.
    Repomd,
    /// The pre-authentication encoding of a DSSE envelope. The signature is the 64 bytes of
    /// Ed25519 (RFC 8032).
    Statement,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Header, Self::Repomd, Self::Statement];

    /// The kind's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Repomd => "repomd",
            Self::Statement => "statement",
        }
    }

    /// What bytes of this kind begin with. No kind's beginning is that of another.
    pub fn begins(self) -> &'static [u8] {
        match self {
            // The magic of a header and its version (rpm's docs/manual/format_v4.md).
            Self::Header => &[0x8e, 0xad, 0xe8, 0x01],
            Self::Repomd => b"<?xml",
            // DSSE's protocol.md, PAE().
            Self::Statement => b"DSSEv1 ",
        }
    }

    /// The most bytes of this kind that are signed.
    pub fn cap(self) -> u64 {
        match self {
            // More than a reader of packages takes (kiln_parse::rpmfile::HeadCap).
            Self::Header => 80 << 20,
            Self::Repomd => 8 << 20,
            // These are held in memory, since Ed25519 reads them twice.
            Self::Statement => 16 << 20,
        }
    }
}

/// What control asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The public part of a key, which is made where there is none.
    Certificate(KeyName),
    /// A signature over the bytes that follow.
    Sign(Sign),
}

/// See [`Request::Sign`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// With which key; it must be there.
    pub key: KeyName,
    /// What the bytes are.
    pub kind: Kind,
    /// When it was signed, in seconds since 1970: the same request gives the same bytes. No
    /// OpenPGP signature is older than its key: where this is, the key's own time stands in it.
    pub time: u32,
    /// How many bytes follow.
    pub size: u64,
}

/// What the signer answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// It waits for requests.
    Ready(Ready),
    /// To [`Request::Certificate`].
    Certificate(Certificate),
    /// To [`Request::Sign`]: what it is depends on the [`Kind`].
    Signature(Vec<u8>),
    /// There is no answer.
    Failed(Failure),
}

/// See [`Answer::Ready`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// [`VERSION`].
    pub version: u32,
    /// Where its keys are.
    pub backend: Backend,
    /// The words of what confines it.
    pub barriers: Vec<String>,
}

/// Where a signer's keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// In its own folder.
    Folder,
    /// Behind a program of the operator's.
    Program,
}

/// The public part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The OpenPGP certificate in ASCII armour, for headers and `repomd.xml`.
    pub openpgp: String,
    /// The public key of Ed25519 for statements, 32 bytes.
    pub statement: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Failure {
    /// There is no such key.
    NoKey(KeyName),
    /// The bytes don't begin as what they are said to be.
    Form(Kind),
    /// A request that makes no sense. The signer hangs up.
    Protocol(String),
    /// The key is there and can't be used.
    Key(String),
    /// The operator's program did not sign.
    Program(String),
    /// The system refused something.
    System(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keys_are_plain_names_of_files() {
        for good in ["a", "clay", "0ad", "gtk+", "a.b_c-d", &"x".repeat(63)] {
            assert_eq!(good.parse::<KeyName>().expect(good).as_str(), good);
        }
        let long = "x".repeat(64);
        for bad in ["", ".", "..", ".new", "-o", "a/b", "A", "a b", "a\n", "ä", "a\0", &long] {
            assert_eq!(bad.parse::<KeyName>(), Err(KeyNameError), "{bad:?}");
            let text = serde_json::to_string(&serde_json::json!({ "certificate": bad }));
            assert!(serde_json::from_str::<Request>(&text.expect("written")).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_kind_begins_as_another() {
        for one in Kind::ALL {
            for other in Kind::ALL.into_iter().filter(|other| *other != one) {
                assert!(!one.begins().starts_with(other.begins()), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn messages_read_back_and_unknown_fields_are_refused() {
        let key = "clay".parse().expect("a name");
        let request = Request::Sign(Sign { key, kind: Kind::Header, time: 7, size: 9 });
        let text = serde_json::to_string(&request).expect("written");
        assert_eq!(serde_json::from_str::<Request>(&text).expect("read"), request);
        let more = text.replacen("\"time\"", "\"colour\":1,\"time\"", 1);
        assert!(serde_json::from_str::<Request>(&more).is_err());
    }

    #[test]
    fn the_longest_answer_holds_the_longest_signature() {
        let answer = Answer::Signature(vec![0xff; SIGNATURE_CAP]);
        let text = serde_json::to_vec(&answer).expect("written");
        assert!(text.len() <= ANSWER_CAP, "{}", text.len());
    }
}
