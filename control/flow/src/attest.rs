//! Stage attest: what was built becomes a signed statement, and stands in the log of all of them.
//!
//! What is published is attested in the transaction that publishes it, so that neither is there
//! without the other, whenever this is killed. What is only tried is attested by itself. The log's
//! head is signed after that, and by whoever asks for it where it is behind.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;

use kiln_attest::{
    AttestError, Built, Envelope, Isolation, Origin, Proof, Provenance, PublicKey, Rebuild,
    Statement, TreeHead, consistency, inclusion,
};
use kiln_model::{Digest, Fault, Hasher, JobId, LeaseKey, Lock, Report};
use kiln_store::{
    AttestationKind, JobRecord, NewAttestation, ProjectRecord, SignedHead, StoreError, Work,
};
use kiln_wire::record::{self, Record};
use kiln_wire::signer::KeyName;
use kiln_wire::worker::ClaimedArtifact;
use serde::Serialize;

use crate::life::{Flow, FlowError};
use crate::publish::{PublishFailure, Publisher};

/// The key that signs statements and heads of the log. No project has its name: theirs have no two
/// dots in a row.
pub const EVIDENCE_KEY: &str = "kiln..evidence";

/// How many jobs that are only tried are attested at one go.
const AT_ONCE: i64 = 100;

/// Through how many projects a build may have been promoted whose beginning is looked for.
const PROMOTED: usize = 16;

/// The logs of an attempt that a statement names.
const LOGS: [&str; 2] = ["build", "root"];

/// What became of building a job's packages again.
#[derive(Debug, Clone)]
pub struct Rebuilt {
    /// The job.
    pub job: JobId,
    /// The verdict's word, as `reproduced`.
    pub verdict: String,
    /// The digest of the report, which is in the store of blobs.
    pub report: Digest,
    /// What was varied on purpose, by words.
    pub varied: Vec<String>,
    /// What the rebuild made: digests of files, unsigned, by their names.
    pub made: BTreeMap<String, Digest>,
}

/// Why a head of the log that was signed before cannot be used.
fn broken(what: &str) -> PublishFailure {
    AttestError::Contradiction { what: "log", why: kiln_model::Foreign::new(what) }.into()
}

impl Flow {
    /// What it takes to make a job's packages again. Nothing where it was not built.
    pub async fn record(&self, job: &JobRecord) -> Result<Option<Record>, FlowError> {
        let Some(lock) = job.lock else { return Ok(None) };
        let made = self.store.artifacts(job.id).await?;
        let mut artifacts: Vec<ClaimedArtifact> = made
            .into_iter()
            .map(|one| ClaimedArtifact { name: one.name, digest: one.digest, size: one.size })
            .collect();
        // Databases don't agree on the order of texts.
        artifacts.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Some(Record {
            version: record::VERSION,
            kiln: env!("CARGO_PKG_VERSION").to_owned(),
            title: job.title.clone(),
            source: job.source.clone(),
            settings: job.settings.clone(),
            limits: job.limits.clone(),
            lock,
            base: self.base_of(job, &lock).await?,
            artifacts,
        }))
    }

    /// The lock that a job's source package was made on: of those that were given out for it, the
    /// one that answers nothing but the profile. Nothing where that is the job's own.
    async fn base_of(&self, job: &JobRecord, lock: &Digest) -> Result<Option<Digest>, FlowError> {
        if job.settings.lock.is_some() {
            return Ok(None);
        }
        let given = self.store.locks_of(LeaseKey { job: job.id, epoch: job.epoch }).await?;
        let is_base = |digest: &&Digest| {
            let found = self.lock(digest).ok().flatten();
            *digest != lock && found.is_some_and(|lock| lock.requires.is_empty())
        };
        Ok(given.iter().find(is_base).copied())
    }

    /// The job by which a job's packages were built: itself, or where it was promoted from.
    async fn built_by(&self, job: &JobRecord) -> Result<JobRecord, FlowError> {
        let mut at = job.clone();
        for _ in 0..PROMOTED {
            let Some(from) = self.store.build(at.build).await?.promoted else { break };
            let is_it = |one: &JobRecord| {
                one.settings.target == job.settings.target && one.lock == job.lock
            };
            match self.store.jobs_of(from).await?.into_iter().find(is_it) {
                Some(found) => at = found,
                None => break,
            }
        }
        Ok(at)
    }

    /// The hashes that prove that the log of so many entries continues that of fewer. Nothing where
    /// it has no so many entries.
    pub async fn log_consistency(
        &self,
        old: u64,
        new: u64,
    ) -> Result<Option<Vec<Digest>>, FlowError> {
        if new > self.store.log_size().await? {
            return Ok(None);
        }
        self.hashes(consistency(old, new)).await
    }

    async fn hashes(
        &self,
        ranges: Option<Vec<Range<u64>>>,
    ) -> Result<Option<Vec<Digest>>, FlowError> {
        match ranges {
            Some(ranges) => Ok(Some(self.store.log_hashes(&ranges).await?)),
            None => Ok(None),
        }
    }

    /// The digests of the logs of an attempt, as far as they are kept.
    async fn logged(&self, key: LeaseKey) -> Vec<(String, Digest)> {
        let logs = self.logs().clone();
        let hash = move || {
            let all = LOGS.iter().filter_map(|name| {
                let digest = hash_file(File::open(logs.path(key, name)).ok()?).ok()?;
                Some((format!("{name}.log"), digest))
            });
            all.collect()
        };
        tokio::task::spawn_blocking(hash).await.unwrap_or_default()
    }
}

fn hash_file(mut file: File) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    io::copy(&mut file, &mut hasher)?;
    Ok(hasher.finish())
}

impl Publisher {
    /// The public key that checks statements and heads of the log.
    pub async fn evidence_key(&self) -> Result<PublicKey, PublishFailure> {
        let key = self.signer.public_key(&evidence_key()).await?;
        Ok(PublicKey::of(&key.certificate.statement)?)
    }

    /// Says how a job's packages were built; `signed` is what of them was signed, by their names.
    /// Or why nothing can be said. The statement stands in no log yet; whoever puts it there sees to
    /// it that it is on the disk before.
    pub(crate) async fn attest(
        &self,
        project: &ProjectRecord,
        job: &JobRecord,
        signed: &BTreeMap<String, Digest>,
    ) -> Result<Result<NewAttestation, Report>, PublishFailure> {
        let flow = &self.flow;
        let Some((record, lock)) = self.of_job(job).await? else {
            return Ok(Err(no_lock()));
        };
        let base = record.base.and_then(|base| flow.lock(&base).ok().flatten());
        let by = flow.built_by(job).await?;
        let origin = flow.store.build(job.build).await?.origin;
        let origin = origin.map(|origin| Origin { remote: origin.remote, commit: origin.commit });
        let key = LeaseKey { job: by.id, epoch: by.epoch };
        let built = Built {
            service: &self.url,
            isolation: Isolation::Namespaces,
            project: &project.name,
            job: by.id.0,
            attempt: by.epoch.0,
            worker: by.worker.as_deref(),
            record: &record,
            lock: &lock,
            base: base.as_ref(),
            origin,
            signed,
            began_at: by.leased_at,
            ended_at: by.ended_at,
            logs: flow.logged(key).await,
        };
        let envelope = self.seal(&built.statement()).await?;
        Ok(Ok(NewAttestation { job: job.id, kind: AttestationKind::Provenance, envelope }))
    }

    /// What it takes to make a job's packages again: as it was attested, where it was, since the kiln
    /// that built it may have been another version than this one. Nothing where it was not built.
    pub async fn record(&self, job: &JobRecord) -> Result<Option<Record>, PublishFailure> {
        const CAP: u64 = kiln_attest::ENVELOPE_CAP as u64;
        let said = self.flow.store.attestations(job.id, AttestationKind::Provenance).await?;
        let Some(said) = said.last().filter(|said| self.flow.cas.has(&said.envelope)) else {
            return Ok(self.flow.record(job).await?);
        };
        let bytes = self.flow.cas.read_to_vec(&said.envelope, CAP).map_err(FlowError::from)?;
        let payload = Envelope::read(&bytes)?.unverified()?;
        Ok(Some(Statement::<Provenance>::record_of(&payload)?))
    }

    /// What a job was made of, and its lock; nothing where that cannot be read.
    async fn of_job(&self, job: &JobRecord) -> Result<Option<(Record, Lock)>, FlowError> {
        let Some(record) = self.flow.record(job).await? else { return Ok(None) };
        Ok(self.flow.lock(&record.lock).ok().flatten().map(|lock| (record, lock)))
    }

    /// Attests what was built and is never published. What cannot be attested is left as it is:
    /// nobody waits for it.
    pub(crate) async fn attest_tried(&self) -> Result<(), PublishFailure> {
        let store = &self.flow.store;
        for job in store.unattested(AT_ONCE).await? {
            let Some(project) = job.project else { continue };
            let Some(project) = store.project_of(project).await? else { continue };
            match self.attest(&project, &job, &BTreeMap::new()).await? {
                Ok(new) => drop(self.say(&new).await?),
                Err(why) => tracing::warn!(job = %job.id, error = why.error, "not attested"),
            }
        }
        Ok(())
    }

    /// Says what became of building a job's packages again. Tells where that stands in the log.
    pub async fn attest_rebuild(&self, rebuilt: &Rebuilt) -> Result<u64, PublishFailure> {
        let store = &self.flow.store;
        let job = store.job(rebuilt.job).await?;
        let none = || StoreError::None { what: "record of job", name: job.id.to_string() };
        let record = self.record(&job).await?.ok_or_else(none)?;
        let about = store.attestations(job.id, AttestationKind::Provenance).await?;
        let statement = Rebuild {
            service: &self.url,
            isolation: Isolation::Namespaces.word(),
            kiln: env!("CARGO_PKG_VERSION"),
            record: &record,
            provenance: about.last().map(|one| one.envelope),
            verdict: &rebuilt.verdict,
            report: rebuilt.report,
            varied: rebuilt.varied.clone(),
            made: &rebuilt.made,
            ended_at: self.flow.now(),
        }
        .statement();
        let envelope = self.seal(&statement).await?;
        let _alone = store.turn(Work::Publish).await?;
        let new = NewAttestation { job: job.id, kind: AttestationKind::Verdict, envelope };
        let position = self.say(&new).await?;
        self.newest_head().await?;
        Ok(position)
    }

    /// Puts a statement into the log, once it is on the disk.
    async fn say(&self, new: &NewAttestation) -> Result<u64, PublishFailure> {
        self.flow.synced(vec![new.envelope]).await?;
        Ok(self.flow.store.attest(new, self.flow.now()).await?)
    }

    /// Has a statement signed; its envelope is kept.
    async fn seal<P: Serialize>(&self, statement: &Statement<P>) -> Result<Digest, PublishFailure> {
        let signature = self.signature(statement.pae()).await?;
        let envelope = statement.signed(&self.evidence_key().await?, &signature);
        Ok(self.flow.cas.insert_bytes(&envelope.to_bytes()).map_err(FlowError::from)?)
    }

    async fn signature(&self, encoded: Vec<u8>) -> Result<Vec<u8>, PublishFailure> {
        let seconds = (self.flow.now() / 1000).unsigned_abs();
        // It is made where there is none.
        self.signer.public_key(&evidence_key()).await?;
        Ok(self.signer.sign_statement(&evidence_key(), encoded, seconds).await?)
    }

    /// Whether the log has entries that no signed head covers.
    pub(crate) async fn is_head_behind(&self) -> Result<bool, PublishFailure> {
        let size = self.flow.store.log_size().await?;
        let head = self.flow.store.newest_head().await?;
        Ok(size > head.map_or(0, |head| head.size))
    }

    /// The log's head, which is signed where the log has grown since the last one was. Nothing
    /// before the first entry.
    pub async fn newest_head(&self) -> Result<Option<SignedHead>, PublishFailure> {
        let store = &self.flow.store;
        if self.is_head_behind().await? {
            let size = store.log_size().await?;
            let whole: Range<u64> = 0..size;
            let roots = store.log_hashes(std::slice::from_ref(&whole)).await?;
            let root = roots.first().ok_or_else(|| broken("it has no root"))?;
            let key = self.evidence_key().await?;
            let head = TreeHead::new(&key, size, *root, self.flow.now());
            let signature = self.signature(head.pae()).await?;
            let text = String::from_utf8(head.signed(&key, &signature).to_bytes());
            store.keep_head(size, &text.map_err(|_| broken("its head is no text"))?).await?;
        }
        Ok(store.newest_head().await?)
    }

    /// That the log holds an envelope, by its newest head. Nothing where it doesn't.
    pub async fn proof(&self, envelope: &Digest) -> Result<Option<Proof>, PublishFailure> {
        let Some(position) = self.flow.store.log_position(envelope).await? else {
            return Ok(None);
        };
        let Some(SignedHead { size, head }) = self.newest_head().await? else { return Ok(None) };
        let path = self.flow.hashes(inclusion(position, size)).await?;
        let path = path.ok_or_else(|| broken("its head is behind its entries"))?;
        Ok(Some(Proof::new(position, path, Envelope::read(head.as_bytes())?)))
    }
}

fn evidence_key() -> KeyName {
    EVIDENCE_KEY.parse().expect("it is a name of a key")
}

fn no_lock() -> Report {
    Report {
        fault: Fault::Kiln,
        error: "the lock that it was built on cannot be read, so nothing can be attested"
            .to_owned(),
        causes: Vec::new(),
        hint: Some("submit it again".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use kiln_model::ProjectName;

    use super::*;

    #[test]
    fn no_project_has_the_name_of_the_key_of_evidence() {
        assert_eq!(evidence_key().as_str(), EVIDENCE_KEY);
        assert!(EVIDENCE_KEY.parse::<ProjectName>().is_err());
    }
}
