//! Has things signed: packages, `repomd.xml`, statements of provenance.
//!
//! Zone: `control`, TRUSTED: it holds no key and runs no program; signatures come from the signer,
//! a child that the app starts for it ([`SignerSpawn`]), and none is used before it was checked
//! against the key's certificate. What does not belong here: keys (`signer`), and what is signed
//! when, and for whom.

mod child;
mod error;
mod header;
mod key;
mod package;
mod spawn;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kiln_cas::Cas;
use kiln_model::Digest;
use kiln_wire::signer::{Certificate, KeyName, Kind};

use child::Child;

pub use error::SignError;
pub use package::Signed;
pub use spawn::{SignerLink, SignerSpawn};

/// A key that has been asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Its certificate and its public key for statements, to hand to readers.
    pub certificate: Certificate,
    /// The fingerprint of the certificate, upper-case digits.
    pub fingerprint: String,
}

/// The way to the signer; a clone is the same way.
#[derive(Clone)]
pub struct Signer {
    inner: Arc<Inner>,
}

struct Inner {
    spawn: Arc<dyn SignerSpawn>,
    /// The one that signs, if it was started and has not ended.
    child: Mutex<Option<Child>>,
    keys: Mutex<BTreeMap<KeyName, Arc<PublicKey>>>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    /// The way to signers that `spawn` starts. None is started before it is needed; one that ends
    /// is followed by another.
    pub fn new(spawn: Arc<dyn SignerSpawn>) -> Self {
        let inner = Inner { spawn, child: Mutex::default(), keys: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The public part of a key. It is made where there is none, in a signer of its own, so that
    /// nobody's signature waits for another's key.
    pub async fn public_key(&self, key: &KeyName) -> Result<Arc<PublicKey>, SignError> {
        let key = key.clone();
        self.blocking(move |inner| inner.public_key(&key)).await
    }

    /// A signature over a `repomd.xml`, in ASCII armour: what lies beside it as
    /// `repomd.xml.asc`. `time` in seconds since 1970.
    pub async fn sign_repomd(
        &self,
        key: &KeyName,
        repomd: Vec<u8>,
        time: u64,
    ) -> Result<Vec<u8>, SignError> {
        let key = key.clone();
        self.blocking(move |inner| inner.sign(&key, Kind::Repomd, &repomd, time)).await
    }

    /// A signature of Ed25519 over the pre-authentication encoding of a DSSE envelope: 64 bytes.
    /// `time` is that of the log's line alone: no time stands in the signature.
    pub async fn sign_statement(
        &self,
        key: &KeyName,
        encoded: Vec<u8>,
        time: u64,
    ) -> Result<Vec<u8>, SignError> {
        let key = key.clone();
        self.blocking(move |inner| inner.sign(&key, Kind::Statement, &encoded, time)).await
    }

    /// Signs a package of the store: the same package with a signature over its main header, a
    /// new blob. Signatures that it came with are left out. `time` in seconds since 1970.
    pub async fn sign_package(
        &self,
        cas: &Cas,
        key: &KeyName,
        package: &Digest,
        time: u64,
    ) -> Result<Signed, SignError> {
        let (cas, key, package) = (cas.clone(), key.clone(), *package);
        self.blocking(move |inner| {
            package::sign(&cas, &package, |header| inner.sign(&key, Kind::Header, header, time))
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, SignError> + Send + 'static,
    ) -> Result<T, SignError> {
        let inner = self.inner.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|_| Err(SignError::Nonsense("a thread was lost".to_owned())))
    }
}

impl Inner {
    fn public_key(&self, name: &KeyName) -> Result<Arc<PublicKey>, SignError> {
        if let Some(key) = lock(&self.keys).get(name) {
            return Ok(key.clone());
        }
        let certificate = Child::start(&*self.spawn)?.certificate(name)?;
        let key = Arc::new(PublicKey::of(certificate)?);
        lock(&self.keys).insert(name.clone(), key.clone());
        Ok(key)
    }

    /// A signature that was checked. A signer that ended since it was last asked is not missed.
    fn sign(
        &self,
        name: &KeyName,
        kind: Kind,
        bytes: &[u8],
        time: u64,
    ) -> Result<Vec<u8>, SignError> {
        let key = self.public_key(name)?;
        let seconds = u32::try_from(time).map_err(|_| SignError::Time(time))?;
        let mut place = lock(&self.child);
        let mut tries = 0;
        let signature = loop {
            let mut child = match place.take() {
                Some(child) => child,
                None => Child::start(&*self.spawn)?,
            };
            match child.sign(name, kind, bytes, seconds) {
                Err(SignError::Ended(_)) if tries == 0 => tries += 1,
                Err(error) if error.ends_child() => return Err(error),
                answer => {
                    *place = Some(child);
                    break answer?;
                }
            }
        };
        drop(place);
        key.check(kind, &signature, bytes, time)?;
        Ok(signature)
    }
}

/// A mutex whose holder panicked holds nothing that is not checked anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
