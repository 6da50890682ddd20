//! What a signature must be to be used.

use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::{Signature, VerifyingKey};
use kiln_repo::Keyring;
use kiln_wire::signer::{Certificate, Kind};

use crate::{PublicKey, SignError};

impl PublicKey {
    /// The key that a signer says it has: one certificate and no more.
    pub(crate) fn of(certificate: Certificate) -> Result<Self, SignError> {
        let nonsense = |why: String| SignError::Nonsense(why);
        let fingerprints = kiln_repo::fingerprints(certificate.openpgp.as_bytes());
        let [fingerprint] = &fingerprints[..] else {
            return Err(nonsense(format!("a certificate of {} keys", fingerprints.len())));
        };
        let key = Self { fingerprint: fingerprint.clone(), certificate };
        key.statement()?;
        key.keyring()?;
        Ok(key)
    }

    fn keyring(&self) -> Result<Keyring, SignError> {
        let mut keyring = Keyring::default();
        keyring
            .add(self.certificate.openpgp.as_bytes(), Some(&self.fingerprint))
            .map_err(|error| SignError::Nonsense(error.to_string()))?;
        Ok(keyring)
    }

    fn statement(&self) -> Result<VerifyingKey, SignError> {
        let bytes = self.certificate.statement[..].try_into().ok();
        bytes
            .and_then(|bytes| VerifyingKey::from_bytes(bytes).ok())
            .ok_or_else(|| SignError::Nonsense("no public key of Ed25519".to_owned()))
    }

    /// Whether this key made the signature over these bytes: a signer that is wrong, or asks a
    /// program that is, must not be found out by those who install.
    pub(crate) fn check(
        &self,
        kind: Kind,
        signature: &[u8],
        bytes: &[u8],
        time: u64,
    ) -> Result<(), SignError> {
        let wrong = |why: String| SignError::Wrong { kind: kind.word(), why };
        match kind {
            Kind::Header | Kind::Repomd => self
                .keyring()?
                .verify(signature, bytes, time.max(now()))
                .map(drop)
                .map_err(|error| wrong(error.to_string())),
            Kind::Statement => {
                let key = self.statement()?;
                Signature::from_slice(signature)
                    .and_then(|signature| key.verify_strict(bytes, &signature))
                    .map_err(|error| wrong(error.to_string()))
            }
        }
    }
}

/// A key may be younger than what it signs; its signatures are then of its own time.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
