use std::collections::BTreeMap;

use kiln_model::{Digest, Foreign};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::types::STATEMENT;
use crate::{AttestError, PublicKey, canonical, envelope};

/// A statement about files (in-toto attestation framework, spec/v1/statement.md).
///
/// Fields that we don't know are passed over, as the specification asks for, unless the predicate's
/// own type refuses them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement<P> {
    #[serde(rename = "_type")]
    kind: String,
    /// The files.
    pub subject: Vec<Resource>,
    /// What of kind of thing is said of them.
    pub predicate_type: String,
    /// What is said of them.
    pub predicate: P,
}

/// A thing (in-toto attestation framework, spec/v1/resource_descriptor.md).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where it is, or what it is called everywhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uri: String,
    /// Its digests by their algorithms, hexadecimal digits alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    /// What else there is to say of it; ours begin with `kiln_`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, Value>,
}

const SHA256: &str = "sha256";

impl Resource {
    /// A file of that name.
    pub fn file(name: impl Into<String>, digest: &Digest) -> Self {
        let digest = BTreeMap::from([(SHA256.to_owned(), digest.hex())]);
        Self { name: name.into(), digest, ..Self::default() }
    }

    /// With an annotation.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.annotations.insert(name.to_owned(), value.into());
        self
    }

    /// Its sha256.
    pub fn sha256(&self) -> Option<Digest> {
        Digest::from_hex(self.digest.get(SHA256)?).ok()
    }

    /// The digest that an annotation has.
    pub fn annotated(&self, name: &str) -> Option<Digest> {
        self.annotations.get(name)?.as_str()?.parse().ok()
    }
}

impl<P> Statement<P> {
    /// That something of a type is true of these files.
    pub fn new(subject: Vec<Resource>, predicate_type: String, predicate: P) -> Self {
        Self { kind: STATEMENT.to_owned(), subject, predicate_type, predicate }
    }

    /// The file among its subjects with that name.
    pub fn subject_of(&self, name: &str) -> Option<&Resource> {
        self.subject.iter().find(|one| one.name == name)
    }

    /// That it is a statement, about files each of which has a name and a sha256, and each once.
    pub(crate) fn check(&self) -> Result<(), AttestError> {
        if self.kind != STATEMENT {
            let found = Foreign::new(&self.kind);
            return Err(AttestError::Type {
                field: "_type",
                found,
                expected: STATEMENT.to_owned(),
            });
        }
        let contradiction = |why: &str| {
            Err(AttestError::Contradiction { what: "statement", why: Foreign::new(why) })
        };
        if self.subject.is_empty() {
            return contradiction("it is about nothing");
        }
        let mut names: Vec<&str> = self.subject.iter().map(|one| &*one.name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return contradiction("two of its subjects have one name");
        }
        match self.subject.iter().all(|one| !one.name.is_empty() && one.sha256().is_some()) {
            true => Ok(()),
            false => contradiction("a subject has no name or no sha256"),
        }
    }
}

impl<P: Serialize> Statement<P> {
    /// The statement's bytes: the payload of an envelope.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self)
    }

    /// What a signature is made over.
    pub fn pae(&self) -> Vec<u8> {
        envelope::pae(envelope::PAYLOAD_STATEMENT, &self.to_bytes())
    }

    /// The statement in its envelope, with the signature that a key made over [`Statement::pae`].
    pub fn signed(&self, key: &PublicKey, signature: &[u8]) -> envelope::Envelope {
        envelope::Envelope::new(envelope::PAYLOAD_STATEMENT, &self.to_bytes(), key, signature)
    }
}

/// Any statement of this predicate, of bytes that were found signed.
pub(crate) fn read<'a, P: Deserialize<'a>>(bytes: &'a [u8]) -> Result<Statement<P>, AttestError> {
    let read: Result<Statement<P>, _> = serde_json::from_slice(bytes);
    let statement = read.map_err(|error| canonical::form("statement", &error))?;
    statement.check()?;
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(subject: Vec<Resource>) -> Statement<u32> {
        Statement::new(subject, "x".to_owned(), 7)
    }

    #[test]
    fn a_statement_is_about_named_files_each_once() {
        let file = |name: &str| Resource::file(name, &Digest::of(name.as_bytes()));
        let good = of(vec![file("a"), file("b")]);
        assert_eq!(read::<u32>(&good.to_bytes()).expect("read"), good);
        let text = String::from_utf8(good.to_bytes()).expect("text");
        assert!(text.starts_with("{\"_type\":\"https://in-toto.io/Statement/v1\","), "{text}");
        let mut unhashed = file("a");
        unhashed.digest.clear();
        for wrong in [of(vec![]), of(vec![file("a"), file("a")]), of(vec![unhashed])] {
            let refused = read::<u32>(&wrong.to_bytes());
            assert!(matches!(refused, Err(AttestError::Contradiction { .. })), "{refused:?}");
        }
        let other = text.replace("Statement/v1", "Statement/v2");
        assert!(matches!(read::<u32>(other.as_bytes()), Err(AttestError::Type { .. })));
        let more = text.replace("\"predicate\"", "\"colour\":1,\"predicate\"");
        read::<u32>(more.as_bytes()).expect("passed over");
    }
}
