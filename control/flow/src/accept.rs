//! The one place where a worker's claim becomes a fact.

use std::collections::BTreeSet;

use kiln_model::{Digest, Fault, Faulty, Foreign, LeaseKey};
use kiln_parse::rpmfile::{Facts, HeadCap, RpmError};
use kiln_store::{Accepted, Artifact};
use kiln_wire::worker::{Claim, ClaimedArtifact};

use crate::life::{Flow, FlowError};

/// The first thing in which a claim is false.
#[derive(Debug, thiserror::Error)]
#[error("a worker's claim is false: {what}")]
pub struct AcceptError {
    what: String,
    #[source]
    source: Option<RpmError>,
}

impl Faulty for AcceptError {
    fn fault(&self) -> Fault {
        Fault::Breach
    }
}

pub(crate) fn is_false(what: impl Into<String>) -> FlowError {
    AcceptError { what: what.into(), source: None }.into()
}

/// Checks a claim: the lease that it came under holds, the lock is one that was given out for
/// it, every artifact is in the store with the size and bytes that were named, and is the package
/// that its file name says, for this architecture, made from this source package.
pub(crate) async fn accept(
    flow: &Flow,
    key: LeaseKey,
    claim: &Claim,
) -> Result<Accepted, FlowError> {
    // Who speaks comes from the connection, never from the message.
    if claim.key != key {
        return Err(is_false("it names another lease than the one that it came under"));
    }
    let job = flow.held(key).await?;
    if !flow.store.locks_of(key).await?.contains(&claim.lock) {
        return Err(is_false("its lock was not given out for this attempt"));
    }
    let lock = flow.lock(&claim.lock)?.ok_or_else(|| is_false("its lock is not a lock"))?;
    let srpm = check(flow, &claim.srpm, HeadCap::SOURCE)?;
    if !srpm.facts.is_source() {
        return Err(is_false("its source package is not one"));
    }
    let mut artifacts = Vec::new();
    for claimed in &claim.rpms {
        let rpm = check(flow, claimed, HeadCap::BINARY)?;
        rpm.facts
            .check_result(&claimed.name, &srpm.artifact.name, &lock.arch)
            .map_err(|error| is_false(error.to_string()))?;
        artifacts.push(rpm.artifact);
    }
    artifacts.push(srpm.artifact);
    let names: BTreeSet<&str> = artifacts.iter().map(|one| one.name.as_str()).collect();
    if names.len() != artifacts.len() {
        return Err(is_false("it names one file twice"));
    }
    tracing::info!(job = %job.id, artifacts = artifacts.len(), "accepted");
    Ok(Accepted { key, lock: claim.lock, artifacts })
}

struct Checked {
    facts: Facts,
    artifact: Artifact,
}

fn check(flow: &Flow, claimed: &ClaimedArtifact, cap: HeadCap) -> Result<Checked, FlowError> {
    let name = Foreign::new(&claimed.name);
    if !flow.cas.has(&claimed.digest) {
        return Err(is_false(format!("the bytes of {name} were not handed over")));
    }
    let (digest, size) = hash(flow, &claimed.digest)?;
    if digest != claimed.digest || size != claimed.size {
        return Err(is_false(format!("{name} has other bytes, or another size")));
    }
    let facts = Facts::read(&mut flow.cas.read(&claimed.digest)?, cap).map_err(|source| {
        let what = format!("{name} is not a package");
        FlowError::Accept(AcceptError { what, source: Some(source) })
    })?;
    if facts.nevra.file_name() != claimed.name {
        let nevra = &facts.nevra;
        return Err(is_false(format!("{name} holds the package {nevra}")));
    }
    let artifact = Artifact {
        name: claimed.name.clone(),
        nevra: facts.nevra.clone(),
        digest: claimed.digest,
        size: claimed.size,
    };
    Ok(Checked { facts, artifact })
}

/// Reads the blob once more: what is published must be what was hashed, not what once was.
fn hash(flow: &Flow, digest: &Digest) -> Result<(Digest, u64), FlowError> {
    let mut hasher = kiln_model::Hasher::new();
    let mut reader = flow.cas.read(digest)?;
    std::io::copy(&mut reader, &mut hasher)
        .map_err(|_| is_false("an artifact's bytes are not those of its digest"))?;
    let size = hasher.bytes();
    Ok((hasher.finish(), size))
}
