//! OpenPGP keys that a target names, and what they signed (RFC 9580, and RFC 4880 before it).

mod certificate;

use std::io::{Cursor, Read};

use kiln_model::{Fault, Faulty, Foreign};
use pgp::composed::{Deserializable, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Packet, PacketParser, Signature, SignatureType};

use certificate::Certificate;

/// The most bytes that a file of keys may have.
pub const KEY_CAP: u64 = 1 << 20;

/// The most bytes that a file of signatures may have.
pub const SIGNATURE_CAP: u64 = 64 << 10;

/// Certificates in one file of keys, and signatures in one of signatures.
const COUNT_CAP: usize = 64;

/// How far in the future a signature may lie, in seconds: clocks differ.
const CLOCK_SKEW: u64 = 24 * 3600;

/// Why a signature is not one that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error("it is not signed")]
    Unsigned,
    /// It cannot be read.
    #[error("its signature cannot be read: {0}")]
    Form(Foreign),
    /// It is made by a key that the target does not name.
    #[error("it is signed by a key that the target does not name: {0}")]
    Stranger(Foreign),
    /// It is made by a named key, and not over these bytes.
    #[error("its signature by {0} is wrong")]
    Wrong(String),
    /// It is of a kind that can be forged, or means something else.
    #[error("its signature is of a kind that kiln does not take: {0}")]
    Weak(String),
    /// The key was not valid when it was made.
    #[error("it was signed by {signer} when that key {state}")]
    Untimely {
        /// The key's fingerprint.
        signer: String,
        /// What was the matter with it then.
        state: &'static str,
    },
}

impl Faulty for SignatureError {
    fn fault(&self) -> Fault {
        Fault::Breach
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Stranger(_) => {
                Some("if the distribution has a new key, add it to the target's keys".to_owned())
            }
            Self::Unsigned => Some(
                "if this repository never signs, set check_packages or check_metadata to false \
                 in the target"
                    .to_owned(),
            ),
            Self::Form(_) | Self::Wrong(_) | Self::Weak(_) | Self::Untimely { .. } => None,
        }
    }
}

/// Why keys cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not OpenPGP keys.
    #[error("not an OpenPGP public key: {0}")]
    Form(Foreign),
    /// Another key than the target names.
    #[error("expected the key {expected}, found {found}")]
    Fingerprint {
        /// What the target names.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// Keys that are believed.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    certificates: Vec<Certificate>,
}

impl Keyring {
    /// Adds the keys of a file, armoured or binary. With `pin`, the file must have the key with
    /// that fingerprint (upper-case digits), and only that one is taken.
    pub fn add(&mut self, bytes: &[u8], pin: Option<&str>) -> Result<(), KeyError> {
        let mut found = Vec::new();
        for key in read_keys(bytes)? {
            let certificate = Certificate::of(&key);
            if pin.is_none_or(|pin| pin == certificate.fingerprint()) {
                found.push(certificate);
            } else if found.len() == COUNT_CAP {
                break;
            }
        }
        if found.is_empty() {
            let expected = pin.unwrap_or("any").to_owned();
            let found = fingerprints(bytes).join(", ");
            return Err(KeyError::Fingerprint { expected, found });
        }
        for certificate in found {
            // A newer copy of a key says more about its end than an older one.
            self.certificates.retain(|old| old.fingerprint() != certificate.fingerprint());
            self.certificates.push(certificate);
        }
        Ok(())
    }

    /// The fingerprints of all keys, sorted.
    pub fn fingerprints(&self) -> Vec<String> {
        let mut all: Vec<String> =
            self.certificates.iter().map(|one| one.fingerprint().to_owned()).collect();
        all.sort();
        all
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// Checks a detached signature over `content`; one good signature by one of the keys is
    /// enough. Gives the fingerprint of the key. `now` in seconds since 1970.
    pub fn verify(
        &self,
        signatures: &[u8],
        content: &[u8],
        now: u64,
    ) -> Result<String, SignatureError> {
        self.verify_packets(&read_signatures(signatures)?, content, now)
    }

    /// As [`Keyring::verify`], with the signatures each on its own, as an RPM's header has them.
    pub fn verify_any(
        &self,
        signatures: &[Vec<u8>],
        content: &[u8],
        now: u64,
    ) -> Result<String, SignatureError> {
        let mut packets = Vec::new();
        for signature in signatures.iter().take(COUNT_CAP) {
            packets.extend(read_signatures(signature)?);
        }
        self.verify_packets(&packets, content, now)
    }

    fn verify_packets(
        &self,
        signatures: &[Signature],
        content: &[u8],
        now: u64,
    ) -> Result<String, SignatureError> {
        let mut worst = SignatureError::Unsigned;
        for signature in signatures {
            match self.verify_one(signature, content, now) {
                Ok(signer) => return Ok(signer),
                Err(error) => worst = error,
            }
        }
        Err(worst)
    }

    fn verify_one(
        &self,
        signature: &Signature,
        content: &[u8],
        now: u64,
    ) -> Result<String, SignatureError> {
        let made = check_kind(signature, now)?;
        let issuer = issuer_of(signature);
        for certificate in &self.certificates {
            let Some(key) = certificate.signer(signature) else { continue };
            if !key.verifies(signature, content) {
                return Err(SignatureError::Wrong(certificate.fingerprint().to_owned()));
            }
            return match certificate.complaint(key, made) {
                None => Ok(certificate.fingerprint().to_owned()),
                Some(state) => {
                    let signer = certificate.fingerprint().to_owned();
                    Err(SignatureError::Untimely { signer, state })
                }
            };
        }
        Err(SignatureError::Stranger(Foreign::new(&issuer)))
    }
}

/// Whether the signature is one over a file, strong, and of the past; when it was made.
fn check_kind(signature: &Signature, now: u64) -> Result<u64, SignatureError> {
    if signature.typ() != Some(SignatureType::Binary) {
        return Err(SignatureError::Weak("not one over a file".to_owned()));
    }
    match signature.hash_alg() {
        Some(
            HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512,
        ) => {}
        Some(weak) => return Err(SignatureError::Weak(format!("made with {weak}"))),
        None => return Err(SignatureError::Weak("of an unknown version".to_owned())),
    }
    let Some(made) = signature.created().map(|made| u64::from(made.as_secs())) else {
        return Err(SignatureError::Weak("without a date".to_owned()));
    };
    if made > now + CLOCK_SKEW {
        return Err(SignatureError::Weak("of the future".to_owned()));
    }
    let lasts = signature.signature_expiration_time().map_or(0, |time| u64::from(time.as_secs()));
    if lasts > 0 && made + lasts < now {
        return Err(SignatureError::Weak("expired".to_owned()));
    }
    Ok(made)
}

/// The fingerprint or the id of the key that a signature says it is made with.
pub(crate) fn issuer(signature: &[u8]) -> Option<String> {
    read_signatures(signature).ok()?.first().map(issuer_of)
}

fn issuer_of(signature: &Signature) -> String {
    let prints = signature.issuer_fingerprint();
    let print = prints.first().map(|print| format!("{print:X}"));
    let ids = signature.issuer_key_id();
    let id = || ids.first().map(|id| id.to_string().to_uppercase());
    print.or_else(id).unwrap_or_else(|| "unnamed".to_owned())
}

/// The fingerprints of the keys in a file, for people who write a target.
pub fn fingerprints(bytes: &[u8]) -> Vec<String> {
    let keys = read_keys(bytes).unwrap_or_default();
    keys.iter().map(|key| Certificate::of(key).fingerprint().to_owned()).collect()
}

fn read_keys(bytes: &[u8]) -> Result<Vec<SignedPublicKey>, KeyError> {
    const BEGIN: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";
    let form = |text: &str| KeyError::Form(Foreign::new(text));
    if bytes.len() as u64 > KEY_CAP {
        return Err(form("over 1 MiB"));
    }
    let starts: Vec<usize> =
        (0..bytes.len()).filter(|at| bytes[*at..].starts_with(BEGIN)).take(COUNT_CAP).collect();
    let mut keys = Vec::new();
    let mut first_error = None;
    let mut take = |read: pgp::errors::Result<Vec<SignedPublicKey>>| match read {
        Ok(some) => keys.extend(some),
        Err(error) => first_error = first_error.take().or(Some(error.to_string())),
    };
    if starts.is_empty() {
        take(SignedPublicKey::from_bytes_many(Cursor::new(bytes)).map(sound));
    }
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(bytes.len());
        take(
            dearmor(&bytes[*start..end]).map_err(Into::into).and_then(|binary| {
                SignedPublicKey::from_bytes_many(Cursor::new(&binary)).map(sound)
            }),
        );
    }
    if keys.is_empty() {
        return Err(form(&first_error.unwrap_or_else(|| "there is none in it".to_owned())));
    }
    Ok(keys)
}

/// A file may hold keys of kinds that nobody knows beside those that are wanted.
fn sound(
    keys: Box<dyn Iterator<Item = pgp::errors::Result<SignedPublicKey>> + '_>,
) -> Vec<SignedPublicKey> {
    keys.take(COUNT_CAP).filter_map(Result::ok).collect()
}

/// What is in an armoured block, whole: a reader of packets that is given the armour itself reads
/// on behind an error, and the armour's reader then panics.
pub(crate) fn dearmor(block: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut binary = Vec::new();
    pgp::armor::Dearmor::new(Cursor::new(block)).read_to_end(&mut binary)?;
    Ok(binary)
}

fn read_signatures(bytes: &[u8]) -> Result<Vec<Signature>, SignatureError> {
    let form = |text: &str| SignatureError::Form(Foreign::new(text));
    if bytes.len() as u64 > SIGNATURE_CAP {
        return Err(form("over 64 KiB"));
    }
    let binary = match bytes.first() {
        // The first bit of every packet is set (RFC 9580, section 4.2).
        Some(first) if first & 0x80 != 0 => bytes.to_vec(),
        _ => dearmor(bytes).map_err(|error| form(&error.to_string()))?,
    };
    let packets = PacketParser::new(Cursor::new(&binary));
    let signatures: Vec<Signature> = packets
        .take(COUNT_CAP)
        .filter_map(|packet| match packet {
            Ok(Packet::Signature(signature)) => Some(signature),
            _ => None,
        })
        .collect();
    if signatures.is_empty() { Err(form("there is none in it")) } else { Ok(signatures) }
}
