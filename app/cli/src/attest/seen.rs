//! What was seen of services' logs: a log that no longer continues it has forked.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use kiln_api::LogPath;
use kiln_attest::{AttestError, Envelope, PublicKey, TreeHead};
use kiln_model::{Digest, DigestError, Foreign};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::failure::{Failure, doing};
use crate::folders::Folders;

/// The keys and newest heads that were seen, by service: `logs.json` in the folder of settings.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Logs(BTreeMap<String, Known>);

/// What was seen of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    /// The key, PEM.
    key: String,
    /// The envelope of the newest head.
    head: String,
}

/// A service's log, which continues what was seen of it.
pub(super) struct Seen {
    pub(super) key: PublicKey,
    pub(super) head: TreeHead,
    /// How many entries it had when it was seen before.
    pub(super) before: Option<u64>,
}

impl Seen {
    pub(super) fn in_words(&self) -> String {
        match self.before {
            None => "seen for the first time: its key is believed from now on".to_owned(),
            Some(size) if size == self.head.size => "as it was seen before".to_owned(),
            Some(size) => format!("continues the {size} entries that were seen before"),
        }
    }
}

/// More than a head or a key has.
const CAP: usize = 16 << 10;

/// The key that a service shows.
pub(super) fn key_of(client: &Client) -> Result<PublicKey, Failure> {
    let bytes = client.bytes("/api/v1/log/key", CAP)?;
    Ok(PublicKey::read(&String::from_utf8_lossy(&bytes))?)
}

/// That a service's log continues what was seen of it, and by the same key; what was seen is kept.
pub(super) fn check(client: &Client) -> Result<Seen, Failure> {
    let mut logs = Logs::load()?;
    let shown = key_of(client)?;
    let known = logs.0.get(&client.server).cloned();
    let key = match &known {
        Some(known) => PublicKey::read(&known.key)?,
        None => shown.clone(),
    };
    if key != shown {
        let error = AttestError::OtherKey { found: Foreign::new(&shown.id()), expected: key.id() };
        let mut failure = Failure::from(error);
        failure.0.hint = Some(format!(
            "{} had another key before; if whoever runs it says that it was changed, remove its \
             entry in {}",
            client.server,
            place()?.display()
        ));
        return Err(failure);
    }
    let bytes = client.bytes("/api/v1/log/head", CAP)?;
    let head = TreeHead::open(&Envelope::read(&bytes)?, &key)?;
    let before = match &known {
        Some(known) => {
            let old = TreeHead::open(&Envelope::read(known.head.as_bytes())?, &key)?;
            continues(client, &old, &head)?;
            Some(old.size)
        }
        None => None,
    };
    let kept = Known { key: key.pem(), head: String::from_utf8_lossy(&bytes).into_owned() };
    logs.0.insert(client.server.clone(), kept);
    logs.keep()?;
    Ok(Seen { key, head, before })
}

fn continues(client: &Client, old: &TreeHead, new: &TreeHead) -> Result<(), Failure> {
    let forked = || AttestError::Forked { old: old.size, new: new.size };
    if new.size < old.size {
        return Err(forked().into());
    }
    let path = format!("/api/v1/log/consistency?from={}&to={}", old.size, new.size);
    let LogPath { path, .. } = client.get(&path)?;
    let path: Result<Vec<Digest>, DigestError> = path.iter().map(|hash| hash.parse()).collect();
    Ok(new.continues(old, &path.map_err(|_| forked())?)?)
}

impl Logs {
    fn load() -> Result<Self, Failure> {
        let path = place()?;
        let Ok(bytes) = fs::read(&path) else { return Ok(Self::default()) };
        serde_json::from_slice(&bytes).map_err(|error| {
            let hint = "with it goes what was seen of logs: keep a copy before you remove it";
            let error = format!("{} cannot be read: {error}", path.display());
            Failure::caller(error, Some(hint.to_owned()))
        })
    }

    fn keep(&self) -> Result<(), Failure> {
        let path = place()?;
        let failed = || doing(format!("writing {}", path.display()));
        let parent = path.parent().unwrap_or(&path);
        fs::create_dir_all(parent).map_err(failed())?;
        let json = serde_json::to_vec_pretty(self).expect("types of our own always serialise");
        let mut file = tempfile::NamedTempFile::new_in(parent).map_err(failed())?;
        file.write_all(&json).map_err(failed())?;
        file.persist(&path).map_err(|error| failed()(error.error))?;
        Ok(())
    }
}

fn place() -> Result<PathBuf, Failure> {
    Ok(Folders::find()?.logs_seen())
}
