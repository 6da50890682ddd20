//! Keys, packages and repositories that the tests make for themselves.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

#[path = "../../../../fetch/tests/kit/mod.rs"]
pub mod server;
pub mod upstream;

use pgp::composed::{
    DetachedSignature, KeyType, SecretKeyParamsBuilder, SignedPublicKey, SignedSecretKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::types::{KeyDetails, Password};

/// A key that signs, and its public half.
pub struct Signer {
    secret: SignedSecretKey,
}

impl Signer {
    pub fn new(name: &str) -> Self {
        let secret = SecretKeyParamsBuilder::default()
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .primary_user_id(format!("{name} <{name}@example.org>"))
            .build()
            .expect("sound parameters")
            .generate(rand::thread_rng())
            .expect("a key");
        Self { secret }
    }

    pub fn public(&self) -> String {
        let public = SignedPublicKey::from(self.secret.clone());
        public.to_armored_string(None.into()).expect("armoured")
    }

    pub fn fingerprint(&self) -> String {
        format!("{:X}", self.secret.fingerprint())
    }

    /// A detached signature, armoured, as `repomd.xml.asc` is.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let key = &self.secret.primary_key;
        let none = Password::empty();
        let (mut random, hash) = (rand::thread_rng(), HashAlgorithm::Sha256);
        let signature = DetachedSignature::sign_binary_data(&mut random, key, &none, hash, bytes);
        signature.expect("signed").to_armored_bytes(None.into()).expect("armoured")
    }

    /// What the `rpm` crate signs packages with.
    pub fn of_rpms(&self) -> rpm::signature::pgp::Signer {
        let secret = self.secret.to_armored_string(None.into()).expect("armoured");
        rpm::signature::pgp::Signer::from_asc(&secret).expect("a signer")
    }
}

/// A small package, perhaps signed.
pub fn package(name: &str, version: &str, signer: Option<&Signer>) -> Vec<u8> {
    let mut builder = rpm::PackageBuilder::new(name, version, "MIT", "noarch", "A package");
    builder
        .release("1")
        .description("Made for a test.")
        .with_file_contents(
            format!("{name} {version}\n"),
            rpm::FileOptions::new(format!("/usr/share/{name}")).user("root").group("root"),
        )
        .expect("a file");
    let package = match signer {
        Some(signer) => builder.build_and_sign(signer.of_rpms()),
        None => builder.build(),
    };
    let mut bytes = Vec::new();
    package.expect("built").write(&mut bytes).expect("written");
    bytes
}
