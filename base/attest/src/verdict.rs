use std::collections::{BTreeMap, BTreeSet};

use kiln_model::{Digest, Foreign};
use kiln_wire::record::Record;
use serde::{Deserialize, Serialize};

use crate::envelope::{Envelope, PAYLOAD_STATEMENT};
use crate::provenance::LOCK;
use crate::types::{self, BUILDERS, VERDICT_TYPE};
use crate::{AttestError, PublicKey, Resource, Statement, Verified, canonical, rfc3339, statement};

/// The word for a rebuild that gave the same bytes.
const REPRODUCED: &str = "reproduced";

/// What became of building something again, for a statement about it.
#[derive(Debug, Clone)]
pub struct Rebuild<'a> {
    /// Where the service that rebuilt it is reached.
    pub service: &'a str,
    /// The word for what the rebuild was kept in.
    pub isolation: &'a str,
    /// The version of the kiln that rebuilt it.
    pub kiln: &'a str,
    /// What was rebuilt.
    pub record: &'a Record,
    /// The envelope of its provenance, where it has one.
    pub provenance: Option<Digest>,
    /// The verdict's word: `reproduced`, `equivalent`, `diverged`, …
    pub verdict: &'a str,
    /// The digest of the report.
    pub report: Digest,
    /// What was varied on purpose, by words.
    pub varied: Vec<String>,
    /// What the rebuild made: the digests of files by their names, unsigned.
    pub made: &'a BTreeMap<String, Digest>,
    /// When it ended, in milliseconds since 1970.
    pub ended_at: i64,
}

/// What became of building something again. Who counts rebuilders must know every field, so others
/// are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verdict {
    /// The word for it.
    pub verdict: String,
    /// Who rebuilt it: the service's address, and what the rebuild was kept in.
    pub rebuilder: String,
    /// The version of the kiln that did.
    pub kiln: String,
    /// The digest of the record that it was rebuilt from.
    pub record: Digest,
    /// The envelope of the provenance of what was rebuilt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Digest>,
    /// The digest of the report.
    pub report: Digest,
    /// What was varied on purpose.
    pub varied: Vec<String>,
    /// What went in, of which all else follows: the lock.
    pub inputs: Vec<Resource>,
    /// When it ended.
    pub finished_on: String,
}

/// The annotation of a subject: the digest of what the rebuild made under that name.
const REBUILT: &str = "kiln_rebuilt";

impl Rebuild<'_> {
    /// Its statement. The subjects are the files that were built first.
    pub fn statement(&self) -> Statement<Verdict> {
        let subject = self.record.artifacts.iter().map(|one| {
            let subject = Resource::file(&one.name, &one.digest);
            match self.made.get(&one.name) {
                Some(made) => subject.with(REBUILT, made.to_string()),
                None => subject,
            }
        });
        let verdict = Verdict {
            verdict: self.verdict.to_owned(),
            rebuilder: format!("{}{BUILDERS}{}", self.service, self.isolation),
            kiln: self.kiln.to_owned(),
            record: Digest::of(&canonical::to_bytes(self.record)),
            provenance: self.provenance,
            report: self.report,
            varied: self.varied.clone(),
            inputs: vec![Resource::file(LOCK, &self.record.lock)],
            finished_on: rfc3339(self.ended_at),
        };
        let kind = format!("{}{VERDICT_TYPE}", self.service);
        Statement::new(subject.collect(), kind, verdict)
    }
}

impl Statement<Verdict> {
    /// Reads a verdict's envelope that this key has signed. One that says `reproduced` must name,
    /// for each file, the same digest a second time.
    pub fn open(envelope: &[u8], key: &PublicKey) -> Result<Self, AttestError> {
        let payload = Envelope::read(envelope)?.open(PAYLOAD_STATEMENT, key)?;
        let read: Self = statement::read(&payload)?;
        if types::service_of(&read.predicate_type, VERDICT_TYPE).is_none() {
            let found = Foreign::new(&read.predicate_type);
            let expected = format!("an address that ends in {VERDICT_TYPE}");
            return Err(AttestError::Type { field: "predicateType", found, expected });
        }
        let is_same = |one: &Resource| one.annotated(REBUILT) == one.sha256();
        if read.predicate.verdict == REPRODUCED && !read.subject.iter().all(is_same) {
            let why = Foreign::new("it says 'reproduced', and a file was rebuilt with other bytes");
            return Err(AttestError::Contradiction { what: "verdict", why });
        }
        Ok(read)
    }

    /// Whether it says that every file of a build came out the same.
    pub fn reproduces(&self, build: &Verified) -> bool {
        let is_there = |built: &Resource| {
            let found = self.subject_of(&built.name);
            found.is_some_and(|found| found.sha256() == built.sha256())
        };
        self.predicate.verdict == REPRODUCED
            && self.predicate.record == Digest::of(&canonical::to_bytes(&build.record()))
            && build.statement.subject.iter().all(is_there)
    }
}

/// The ids of the keys by which somebody says that a build came out the same. Each key counts once,
/// however many envelopes it has signed; an envelope by none of the keys, or one that is not in
/// order, is an error, since whoever hands it over counts on it.
pub fn agreeing(
    build: &Verified,
    verdicts: &[Vec<u8>],
    keys: &[PublicKey],
) -> Result<BTreeSet<String>, AttestError> {
    let mut agree = BTreeSet::new();
    for envelope in verdicts {
        let mut refused = AttestError::NoKey;
        let opened = keys.iter().find_map(|key| match Statement::<Verdict>::open(envelope, key) {
            Ok(verdict) => Some((key, verdict)),
            Err(error) => {
                // A key that signed and something else that is wrong tells more than another key.
                if !matches!(error, AttestError::OtherKey { .. }) || refused == AttestError::NoKey {
                    refused = error;
                }
                None
            }
        });
        let (key, verdict) = opened.ok_or(refused)?;
        if verdict.reproduces(build) {
            agree.insert(key.id());
        }
    }
    Ok(agree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::tests::{key, sign};
    use crate::mapping::tests::{record, statement as provenance};

    fn build() -> Verified {
        let bytes = sign(PAYLOAD_STATEMENT, &provenance().to_bytes(), 1).to_bytes();
        Verified::read(&bytes, &key(1).1).expect("verified")
    }

    fn verdict(word: &str, change: impl FnOnce(&mut BTreeMap<String, Digest>)) -> Vec<u8> {
        let record = record();
        let mut made = record.artifacts.iter().map(|one| (one.name.clone(), one.digest)).collect();
        change(&mut made);
        let rebuild = Rebuild {
            service: "https://other.example.org",
            isolation: "namespaces",
            kiln: "0.1.0",
            record: &record,
            provenance: None,
            verdict: word,
            report: Digest::of(b"report"),
            varied: vec!["clock".to_owned()],
            made: &made,
            ended_at: 0,
        };
        rebuild.statement().to_bytes()
    }

    fn sealed(payload: &[u8], seed: u8) -> Vec<u8> {
        sign(PAYLOAD_STATEMENT, payload, seed).to_bytes()
    }

    #[test]
    fn rebuilders_are_counted_by_their_keys() {
        let good = verdict("reproduced", |_| {});
        let keys = [2, 3, 4].map(|seed| key(seed).1);
        let diverged = verdict("diverged", |made| {
            made.insert("pot-1-1.x86_64.rpm".to_owned(), Digest::of(b"other"));
        });
        let count = |verdicts: &[Vec<u8>]| agreeing(&build(), verdicts, &keys).map(|it| it.len());
        assert_eq!(count(&[]), Ok(0));
        assert_eq!(count(&[sealed(&good, 2), sealed(&good, 3)]), Ok(2));
        assert_eq!(count(&[sealed(&good, 2), sealed(&good, 2)]), Ok(1), "one rebuilder twice");
        assert_eq!(count(&[sealed(&good, 2), sealed(&diverged, 3)]), Ok(1));
        let stranger = count(&[sealed(&good, 9)]);
        assert!(matches!(stranger, Err(AttestError::OtherKey { .. })), "{stranger:?}");
    }

    #[test]
    fn a_verdict_that_contradicts_itself_or_is_of_another_build_does_not_count() {
        let keys = [key(2).1];
        let lies = verdict("reproduced", |made| {
            made.insert("pot-1-1.x86_64.rpm".to_owned(), Digest::of(b"other"));
        });
        let refused = agreeing(&build(), &[sealed(&lies, 2)], &keys);
        assert!(matches!(refused, Err(AttestError::Contradiction { .. })), "{refused:?}");
        let good = String::from_utf8(verdict("reproduced", |_| {})).expect("text");
        let more = good.replace("\"kiln\":", "\"colour\":1,\"kiln\":");
        let refused = agreeing(&build(), &[sealed(more.as_bytes(), 2)], &keys);
        assert!(matches!(refused, Err(AttestError::Form { .. })), "{refused:?}");
        let mut other = provenance();
        other.predicate.build_definition.external_parameters.settings.jobs = 9;
        let bytes = sealed(&other.to_bytes(), 1);
        let other = Verified::read(&bytes, &key(1).1).expect("verified");
        let count = agreeing(&other, &[sealed(good.as_bytes(), 2)], &keys).expect("counted");
        assert!(count.is_empty(), "it was built with other settings");
    }
}
