//! Keys that lie in the signer's own folder.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};

use ed25519_dalek::{Signer as _, SigningKey};
use kiln_wire::signer::{Backend, Certificate, Failure, KeyName, Kind, Sign};
use pgp::composed::{
    Deserializable, DetachedSignature, KeyType, SecretKeyParamsBuilder, SignedSecretKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    PacketTrait, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData,
};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, Password, Timestamp};
use rand::RngCore;
use rand::rngs::OsRng;

use crate::Strength;
use crate::blinded::Blinded;
use crate::folder::{Folder, Secrets};
use crate::incoming::Incoming;
use crate::serve::Keys;

/// How many keys stay in memory.
const WARM: usize = 64;

/// Reads keys from their folder when they are first asked for, and makes those that are not
/// there.
pub(crate) struct Kept {
    folder: Folder,
    strength: Strength,
    warm: BTreeMap<KeyName, Key>,
}

struct Key {
    openpgp: SignedSecretKey,
    blinded: Blinded,
    statement: SigningKey,
}

impl Kept {
    pub(crate) fn new(folder: Folder, strength: Strength) -> Self {
        Self { folder, strength, warm: BTreeMap::new() }
    }

    fn warm(&mut self, name: &KeyName, key: Key) -> &Key {
        if self.warm.len() >= WARM {
            self.warm.clear();
        }
        self.warm.entry(name.clone()).or_insert(key)
    }

    fn key(&mut self, name: &KeyName) -> Result<&Key, Failure> {
        if !self.warm.contains_key(name) {
            let secrets = self.folder.find(name).map_err(Failure::Key)?;
            let secrets = secrets.ok_or_else(|| Failure::NoKey(name.clone()))?;
            let key = Key::read(&secrets)?;
            self.warm(name, key);
        }
        Ok(&self.warm[name])
    }
}

impl Keys for Kept {
    const BACKEND: Backend = Backend::Folder;

    fn certificate(&mut self, name: &KeyName) -> Result<Certificate, Failure> {
        match self.key(name) {
            Err(Failure::NoKey(_)) => {
                let strength = self.strength;
                let made = self.folder.find_or_make(name, || {
                    make(name, strength).map_err(|error| format!("making a key: {error}"))
                });
                let key = Key::read(&made.map_err(Failure::Key)?)?;
                self.warm(name, key).certificate()
            }
            found => found?.certificate(),
        }
    }

    fn sign(&mut self, ask: &Sign, bytes: &mut Incoming<'_>) -> Result<Vec<u8>, Failure> {
        let key = self.key(&ask.key)?;
        if ask.kind == Kind::Statement {
            // RFC 8032 reads the message twice.
            let mut message = Vec::new();
            bytes.read_to_end(&mut message).map_err(unread)?;
            return Ok(key.statement.sign(&message).to_bytes().to_vec());
        }
        let signature = key.openpgp_signature(ask.time, bytes).map_err(unsigned)?;
        let mut packet = Vec::new();
        match ask.kind {
            Kind::Repomd => DetachedSignature::new(signature).to_armored_bytes(None.into()),
            _ => signature.to_writer_with_header(&mut packet).map(|()| packet),
        }
        .map_err(unsigned)
    }
}

fn unread(error: io::Error) -> Failure {
    Failure::System(format!("reading what is to be signed: {error}"))
}

fn unsigned(error: pgp::errors::Error) -> Failure {
    Failure::Key(format!("signing: {error}"))
}

fn make(name: &KeyName, strength: Strength) -> pgp::errors::Result<Secrets> {
    let params = SecretKeyParamsBuilder::default()
        .key_type(KeyType::Rsa(strength.rsa))
        .can_certify(true)
        .can_sign(true)
        .primary_user_id(format!("{name} (kiln signs packages)"))
        .preferred_hash_algorithms([HashAlgorithm::Sha256, HashAlgorithm::Sha512][..].into())
        .build()
        .map_err(|error| io::Error::other(error.to_string()))?;
    let openpgp = params.generate(OsRng)?.to_bytes()?;
    let mut statement = vec![0; 32];
    OsRng.fill_bytes(&mut statement);
    Ok(Secrets { openpgp, statement })
}

impl Key {
    fn read(secrets: &Secrets) -> Result<Self, Failure> {
        let broken = |why: &str| Failure::Key(format!("its file can't be read: {why}"));
        let openpgp = SignedSecretKey::from_bytes(Cursor::new(&secrets.openpgp))
            .map_err(|error| broken(&error.to_string()))?;
        let statement = <&[u8; 32]>::try_from(&secrets.statement[..])
            .map_err(|_| broken("it has not 32 bytes"))?;
        let blinded = Blinded::of(&openpgp.primary_key).map_err(|why| broken(&why))?;
        Ok(Self { openpgp, blinded, statement: SigningKey::from_bytes(statement) })
    }

    fn certificate(&self) -> Result<Certificate, Failure> {
        let public = self.openpgp.to_public_key();
        let openpgp = public.to_armored_string(None.into()).map_err(unsigned)?;
        let statement = self.statement.verifying_key().to_bytes().to_vec();
        Ok(Certificate { openpgp, statement })
    }

    /// A version 4 signature over a binary document, with SHA-256: what every rpm reads.
    fn openpgp_signature(
        &self,
        time: u32,
        bytes: &mut Incoming<'_>,
    ) -> pgp::errors::Result<Signature> {
        let key = &self.blinded;
        let made = time.max(key.created_at().as_secs());
        let mut config =
            SignatureConfig::v4(SignatureType::Binary, key.algorithm(), HashAlgorithm::Sha256);
        config.hashed_subpackets = vec![
            Subpacket::regular(SubpacketData::SignatureCreationTime(Timestamp::from_secs(made)))?,
            Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
        ];
        config.unhashed_subpackets =
            vec![Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id()))?];
        let mut hasher = config.into_hasher()?;
        io::copy(bytes, &mut hasher)?;
        hasher.flush()?;
        hasher.sign(key, &Password::empty())
    }
}
