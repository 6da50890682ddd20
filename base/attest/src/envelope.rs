//! DSSE: a payload, its type, and a signature over both
//! (github.com/secure-systems-lab/dsse, protocol.md and envelope.md).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiln_model::{Digest, Foreign};
use serde::{Deserialize, Serialize};

use crate::{AttestError, PublicKey, canonical};

/// The payload type of in-toto statements.
pub const PAYLOAD_STATEMENT: &str = "application/vnd.in-toto+json";

/// The payload type of heads of the log. The type is signed with the payload, so neither is ever
/// taken for the other.
pub const PAYLOAD_TREE_HEAD: &str = "application/vnd.kiln.tree-head.v1+json";

/// The longest envelope that is read, in bytes: a buildroot of twenty thousand packages fits.
pub const ENVELOPE_CAP: usize = 16 << 20;

const WHAT: &str = "envelope";

/// A DSSE envelope. kiln's have one signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    keyid: String,
    sig: String,
}

/// What is signed: the pre-authentication encoding of a payload and its type.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

impl Envelope {
    /// Around a payload, with the signature that a key made over its [`pae`].
    pub fn new(payload_type: &str, payload: &[u8], key: &PublicKey, signature: &[u8]) -> Self {
        let signed = Signed { keyid: key.id(), sig: STANDARD.encode(signature) };
        Self {
            payload_type: payload_type.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![signed],
        }
    }

    /// Reads an envelope as [`Envelope::to_bytes`] writes it.
    pub fn read(bytes: &[u8]) -> Result<Self, AttestError> {
        canonical::read(bytes, WHAT, ENVELOPE_CAP)
    }

    /// The envelope's file.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self)
    }

    /// What names the envelope: the digest of its file.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// The payload, without a word about who signed it: for looking at.
    pub fn unverified(&self) -> Result<Vec<u8>, AttestError> {
        let wrong = |_| AttestError::Form { what: WHAT, why: Foreign::new("payload is no base64") };
        STANDARD.decode(&self.payload).map_err(wrong)
    }

    /// The payload, if it is of this type and this key has signed both.
    pub fn open(&self, payload_type: &str, key: &PublicKey) -> Result<Vec<u8>, AttestError> {
        if self.payload_type != payload_type {
            let found = Foreign::new(&self.payload_type);
            return Err(AttestError::PayloadType { found, expected: payload_type.to_owned() });
        }
        let [signed] = &self.signatures[..] else {
            return Err(AttestError::Signatures(self.signatures.len()));
        };
        if signed.keyid != key.id() {
            let found = Foreign::new(&signed.keyid);
            return Err(AttestError::OtherKey { found, expected: key.id() });
        }
        let payload = self.unverified()?;
        let signature = STANDARD.decode(&signed.sig).map_err(|_| AttestError::Signature)?;
        match key.has_signed(&pae(payload_type, &payload), &signature) {
            true => Ok(payload),
            false => Err(AttestError::Signature),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    pub(crate) fn key(seed: u8) -> (SigningKey, PublicKey) {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        let public = PublicKey::of(secret.verifying_key().as_bytes()).expect("a key");
        (secret, public)
    }

    pub(crate) fn sign(payload_type: &str, payload: &[u8], seed: u8) -> Envelope {
        let (secret, public) = key(seed);
        let signature = secret.sign(&pae(payload_type, payload)).to_bytes();
        Envelope::new(payload_type, payload, &public, &signature)
    }

    #[test]
    fn the_encoding_is_that_of_the_protocols_own_example() {
        let encoded = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn what_is_wrong_with_an_envelope_is_named() {
        let (_, public) = key(1);
        let good = sign(PAYLOAD_STATEMENT, b"{}", 1);
        assert_eq!(good.open(PAYLOAD_STATEMENT, &public).expect("good"), b"{}");
        let (_, other) = key(2);
        assert!(matches!(good.open(PAYLOAD_STATEMENT, &other), Err(AttestError::OtherKey { .. })));
        assert!(matches!(
            good.open(PAYLOAD_TREE_HEAD, &public),
            Err(AttestError::PayloadType { .. })
        ));
        let mut claims = sign(PAYLOAD_STATEMENT, b"{}", 2);
        claims.signatures[0].keyid = public.id();
        assert!(matches!(claims.open(PAYLOAD_STATEMENT, &public), Err(AttestError::Signature)));
        let mut retyped = sign(PAYLOAD_TREE_HEAD, b"{}", 1);
        retyped.payload_type = PAYLOAD_STATEMENT.to_owned();
        assert!(matches!(retyped.open(PAYLOAD_STATEMENT, &public), Err(AttestError::Signature)));
        let mut twice = good.clone();
        twice.signatures.push(twice.signatures[0].clone());
        assert!(matches!(twice.open(PAYLOAD_STATEMENT, &public), Err(AttestError::Signatures(2))));
        twice.signatures.clear();
        assert!(matches!(twice.open(PAYLOAD_STATEMENT, &public), Err(AttestError::Signatures(0))));
    }

    #[test]
    fn no_envelope_with_a_changed_byte_is_taken() {
        let (_, public) = key(1);
        let bytes = sign(PAYLOAD_STATEMENT, br#"{"a":"clay","b":[1,2,3]}"#, 1).to_bytes();
        let take = |bytes: &[u8]| Envelope::read(bytes)?.open(PAYLOAD_STATEMENT, &public);
        take(&bytes).expect("as it was");
        for at in 0..bytes.len() {
            for flip in 1..=255 {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                assert!(take(&changed).is_err(), "byte {at} changed by {flip:#x}");
            }
        }
        for end in 0..bytes.len() {
            assert!(take(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
