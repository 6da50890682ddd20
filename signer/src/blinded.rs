//! RSA signatures whose time says less of the key.
//!
//! The OpenPGP library signs without blinding. Here each signature is made over a number that
//! nobody outside knows (RFC 8017 has the scheme; the blinding is the `rsa` crate's), and comes
//! out the same.

use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::SecretKey;
use pgp::types::{
    Fingerprint, KeyDetails, KeyId, KeyVersion, Mpi, Password, PlainSecretParams, PublicParams,
    SecretParams, SignatureBytes, SigningKey, Timestamp,
};
use rand::rngs::OsRng;
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey};

/// What stands before a SHA-256 in a signature (RFC 8017, section 9.2, note 1).
const SHA256_PREFIX: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// An OpenPGP key that signs blinded.
pub(crate) struct Blinded {
    key: SecretKey,
    rsa: RsaPrivateKey,
}

impl std::fmt::Debug for Blinded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blinded").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl Blinded {
    /// Of a key of RSA without a passphrase.
    pub(crate) fn of(key: &SecretKey) -> Result<Self, String> {
        let (SecretParams::Plain(PlainSecretParams::RSA(secret)), PublicParams::RSA(public)) =
            (key.secret_params(), key.public_params())
        else {
            return Err("it is not a key of RSA without a passphrase".to_owned());
        };
        let (d, p, q, _) = secret.to_bytes();
        let number = |bytes: &[u8]| BigUint::from_bytes_be(bytes);
        let primes = vec![number(&p), number(&q)];
        let (n, e) = {
            use rsa::traits::PublicKeyParts;
            (public.key.n().clone(), public.key.e().clone())
        };
        let rsa = RsaPrivateKey::from_components(n, e, number(&d), primes)
            .map_err(|error| error.to_string())?;
        Ok(Self { key: key.clone(), rsa })
    }
}

impl SigningKey for Blinded {
    fn sign(
        &self,
        _: &Password,
        hash: HashAlgorithm,
        data: &[u8],
    ) -> pgp::errors::Result<SignatureBytes> {
        if hash != HashAlgorithm::Sha256 {
            return Err(std::io::Error::other("signed with SHA-256 or not at all").into());
        }
        let padding = Pkcs1v15Sign { hash_len: Some(32), prefix: SHA256_PREFIX.into() };
        let signature = self
            .rsa
            .sign_with_rng(&mut OsRng, padding, data)
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(SignatureBytes::Mpis(vec![Mpi::from_slice(&signature)]))
    }

    fn hash_alg(&self) -> HashAlgorithm {
        HashAlgorithm::Sha256
    }
}

impl KeyDetails for Blinded {
    fn version(&self) -> KeyVersion {
        self.key.version()
    }

    fn legacy_key_id(&self) -> KeyId {
        self.key.legacy_key_id()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.key.fingerprint()
    }

    fn algorithm(&self) -> PublicKeyAlgorithm {
        self.key.algorithm()
    }

    fn created_at(&self) -> Timestamp {
        self.key.created_at()
    }

    fn legacy_v3_expiration_days(&self) -> Option<u16> {
        self.key.legacy_v3_expiration_days()
    }

    fn public_params(&self) -> &PublicParams {
        self.key.public_params()
    }
}

#[cfg(test)]
mod tests {
    use pgp::composed::{KeyType, SecretKeyParamsBuilder};
    use rand::RngCore;

    use super::*;

    fn key(kind: KeyType) -> SecretKey {
        let params = SecretKeyParamsBuilder::default()
            .key_type(kind)
            .can_certify(true)
            .can_sign(true)
            .primary_user_id("clay".to_owned())
            .build();
        params.expect("parameters").generate(OsRng).expect("a key").primary_key
    }

    #[test]
    fn a_blinded_signature_is_the_one_that_the_library_makes() {
        let key = key(KeyType::Rsa(2048));
        let blinded = Blinded::of(&key).expect("a key of RSA");
        for _ in 0..20 {
            let mut digest = [0; 32];
            OsRng.fill_bytes(&mut digest);
            let sign = |key: &dyn SigningKey| {
                key.sign(&Password::empty(), HashAlgorithm::Sha256, &digest).expect("signed")
            };
            assert_eq!(sign(&blinded), sign(&key));
        }
        assert!(blinded.sign(&Password::empty(), HashAlgorithm::Sha1, &[0; 20]).is_err());
    }

    #[test]
    fn a_key_of_another_algorithm_is_refused() {
        assert!(Blinded::of(&key(KeyType::Ed25519Legacy)).is_err());
    }
}
