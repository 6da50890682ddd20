use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use kiln_model::Digest;

use crate::AttestError;

/// What stands before the 32 bytes in a SubjectPublicKeyInfo of Ed25519 (RFC 8410, section 4).
const DER: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----\n";
const END: &str = "\n-----END PUBLIC KEY-----\n";

/// The public key that a service signs its evidence with: Ed25519.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Of its 32 bytes.
    pub fn of(bytes: &[u8]) -> Result<Self, AttestError> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| AttestError::NoKey)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| AttestError::NoKey)?;
        // With such a key there are signatures that hold over anything.
        if key.is_weak() { Err(AttestError::NoKey) } else { Ok(Self(key)) }
    }

    /// Reads a key as [`PublicKey::pem`] writes it.
    pub fn read(pem: &str) -> Result<Self, AttestError> {
        let body = pem.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let der = STANDARD.decode(body.ok_or(AttestError::NoKey)?).ok();
        let der = der.filter(|der| der.starts_with(&DER)).ok_or(AttestError::NoKey)?;
        Self::of(&der[DER.len()..])
    }

    /// As PEM: what openssl and others read.
    pub fn pem(&self) -> String {
        format!("{BEGIN}{}{END}", STANDARD.encode(self.der()))
    }

    /// The digest of the key's DER, as hexadecimal digits: how envelopes and logs name it.
    pub fn id(&self) -> String {
        Digest::of(&self.der()).hex()
    }

    fn der(&self) -> Vec<u8> {
        [&DER[..], self.0.as_bytes()].concat()
    }

    /// Whether this key made the signature over these bytes.
    pub(crate) fn has_signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(bytes, &signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::tests::key;

    #[test]
    fn a_key_reads_back_and_no_changed_one_is_the_same() {
        let (_, key) = key(1);
        let pem = key.pem();
        assert_eq!(PublicKey::read(&pem).expect("read"), key);
        for at in 0..pem.len() {
            let mut changed = pem.clone().into_bytes();
            changed[at] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            assert!(PublicKey::read(&changed).map_or(true, |other| other != key), "{at}");
        }
        for wrong in ["", "x", &pem[1..], &format!("{pem}\n")] {
            assert!(matches!(PublicKey::read(wrong), Err(AttestError::NoKey)));
        }
    }

    #[test]
    fn a_key_under_which_anything_is_signed_is_none() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(matches!(PublicKey::of(&identity), Err(AttestError::NoKey)));
        assert!(matches!(PublicKey::of(&[7; 31]), Err(AttestError::NoKey)));
    }
}
