//! What jobs and snapshots are made of, as bills of materials; and what shows how a job was built,
//! as files.

use kiln_bundle::Evidence;
use kiln_cas::Cas;
use kiln_model::{Digest, Nevra};
use kiln_parse::rpmfile::HeadCap;
use kiln_parse::rpmhead::Head;
use kiln_sbom::{Bill, Package, Role};
use kiln_store::{JobRecord, ProjectRecord, SnapshotRecord};

use crate::life::FlowError;
use crate::publish::{PublishFailure, Publisher};
use crate::share;

impl Publisher {
    /// What a job's packages are, and what they were made of and with. Nothing where it was not
    /// built, or is kept no longer.
    pub async fn bill_of_job(&self, job: &JobRecord) -> Result<Option<Bill>, PublishFailure> {
        let Some(record) = self.record(job).await? else { return Ok(None) };
        let Some(lock) = self.flow.lock(&record.lock).map_err(FlowError::from)? else {
            return Ok(None);
        };
        let artifacts = self.flow.store.artifacts(job.id).await?;
        let address = format!("{}/jobs/{}/sbom", self.url, job.id);
        let made_at = job.ended_at.unwrap_or(job.queued_at);
        let source = artifacts.iter().find(|one| one.nevra.arch() == "src");
        let name = source.map_or_else(|| job.title.clone(), |source| source.nevra.nvr());
        let mut bill = Bill::new(name, address, made_at, &record.kiln);
        for file in record.source.files() {
            bill.files.insert(file.name.clone(), file.digest);
        }
        let base = record.base.and_then(|base| self.flow.lock(&base).ok().flatten());
        let base = base.map_or_else(Vec::new, |base| base.packages);
        let cas = self.flow.cas.clone();
        let fill = move || {
            for made in artifacts {
                let role = if made.nevra.arch() == "src" { Role::Source } else { Role::Subject };
                bill.add(described(&cas, made.nevra, made.digest), role);
            }
            for (packages, role) in [
                (lock.packages, Role::Buildroot),
                (base, Role::Buildroot),
                (lock.toolbox, Role::Toolbox),
            ] {
                for package in packages {
                    bill.add(described(&cas, package.nevra, package.digest), role);
                }
            }
            bill
        };
        self.filled(fill).await.map(Some)
    }

    /// What a snapshot of a repository holds.
    pub async fn bill_of_snapshot(
        &self,
        project: &ProjectRecord,
        target: &str,
        snapshot: &SnapshotRecord,
    ) -> Result<Bill, PublishFailure> {
        let listed =
            share::packages_of(&self.flow.cas, &snapshot.packages).map_err(FlowError::from)?;
        let (name, number) = (&project.name, snapshot.number);
        let address = format!("{}/repos/{name}/{target}/{number}/sbom", self.url);
        let title = format!("{name} for {target}, snapshot {number}");
        let kiln = env!("CARGO_PKG_VERSION");
        let mut bill = Bill::new(title, address, snapshot.made_at, kiln);
        let cas = self.flow.cas.clone();
        let fill = move || {
            for one in listed {
                bill.add(described(&cas, one.nevra, one.digest), Role::Subject);
            }
            bill
        };
        self.filled(fill).await
    }

    /// Headers are read elsewhere, so that nobody's request waits for it, and for few at once.
    async fn filled(
        &self,
        fill: impl FnOnce() -> Bill + Send + 'static,
    ) -> Result<Bill, PublishFailure> {
        let _place = self.bills.acquire().await;
        let filled = tokio::task::spawn_blocking(fill).await;
        Ok(filled.map_err(|lost| FlowError::Lost(lost.to_string()))?)
    }

    /// What shows how something was built: its envelope, that the log holds it, and the key of
    /// both. Nothing where that is kept no longer.
    pub async fn evidence(&self, envelope: &Digest) -> Result<Option<Evidence>, PublishFailure> {
        const CAP: u64 = kiln_attest::ENVELOPE_CAP as u64;
        if !self.flow.cas.has(envelope) {
            return Ok(None);
        }
        let provenance = self.flow.cas.read_to_vec(envelope, CAP).map_err(FlowError::from)?;
        let Some(proof) = self.proof(envelope).await? else { return Ok(None) };
        let key = self.evidence_key().await?.pem();
        Ok(Some(Evidence { provenance, proof: proof.to_bytes(), key }))
    }
}

/// A package with what its header says, where its file is in the store.
fn described(cas: &Cas, nevra: Nevra, digest: Digest) -> Package {
    let package = Package::new(nevra, digest);
    let head =
        cas.read(&digest).ok().and_then(|mut file| Head::read(&mut file, HeadCap::BINARY).ok());
    match head {
        Some(head) => package.described(&head),
        None => package,
    }
}
