//! Workers that build nothing: every request that a worker makes of a service, in its order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kiln_api::{Enrolment, EnrolmentAsked, Upload};
use kiln_model::{Digest, Isolation, JobId, LeaseKey, Stage};
use kiln_wire::worker::{
    Claim, ClaimedArtifact, Ending, Enrol, Enrolled, Finish, Lease, LeaseAnswer, LeaseRequest,
    Provide, Provided, Renew, ResolveRequest, Resolved, Source, StageEnded, StageNote, VERSION,
};
use reqwest::Method;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::line::{Line, read};
use crate::packages::{File, Pair};

/// What a build's log says, a piece of it.
const TEXT: &str = "gcc -O2 -g -Wall -Wformat -Werror=format-security -c clay.c -o clay.o\n";

/// How many lines a piece of a log has; a worker sends what has come up in a moment.
const LINES: usize = 60;

/// How many jobs, and when each was leased.
pub(crate) type Leased = Mutex<BTreeMap<JobId, Instant>>;

/// All that workers share.
pub(crate) struct Site {
    /// What there is to build, by the digest of its source package.
    pub(crate) pairs: BTreeMap<Digest, Pair>,
    /// When each job was leased.
    pub(crate) leased: Leased,
}

impl Site {
    fn note(&self, job: JobId) {
        let mut leased = self.leased.lock().unwrap_or_else(PoisonError::into_inner);
        leased.insert(job, Instant::now());
    }
}

/// A worker that is enrolled.
struct Worker {
    line: Line,
    slots: u32,
    site: Arc<Site>,
    /// What it holds; told when that changes.
    keys: Mutex<BTreeSet<LeaseKey>>,
    changed: Notify,
}

/// Enrols `count` workers of so many slots, each of which works until `hands` is dropped.
pub(crate) async fn begin(
    hands: &mut JoinSet<Result<()>>,
    operator: &Line,
    count: usize,
    slots: u32,
    site: &Arc<Site>,
) -> Result<()> {
    for number in 0..count {
        let worker = Arc::new(Worker {
            line: enrol(operator, number, slots).await?,
            slots,
            site: Arc::clone(site),
            keys: Mutex::default(),
            changed: Notify::new(),
        });
        for _ in 0..slots {
            hands.spawn(Arc::clone(&worker).work());
        }
        hands.spawn(worker.renew());
    }
    Ok(())
}

async fn enrol(operator: &Line, number: usize, slots: u32) -> Result<Line> {
    let asked = EnrolmentAsked { name: format!("load{number}") };
    let made: Enrolment = operator.ask("make a ticket", "/api/v1/workers", &asked).await?;
    let enrol = Enrol {
        ticket: made.ticket,
        arch: "x86_64".to_owned(),
        slots,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let enrolled: Enrolled = operator.of("").ask("enrol", "/worker/v1/enrol", &enrol).await?;
    Ok(operator.of(&enrolled.credential))
}

impl Worker {
    /// One slot's day: ask, do, ask again.
    async fn work(self: Arc<Self>) -> Result<()> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let request = serde_json::to_vec(&LeaseRequest {
            protocol: VERSION,
            version,
            slots: self.slots,
            isolation: Isolation::default(),
            has_kvm: false,
        })?;
        loop {
            let began = Instant::now();
            let answer =
                self.line.quietly(Method::POST, "/worker/v1/lease", request.clone()).await?;
            let answer: LeaseAnswer = read("lease", &answer)?;
            let Some(lease) = answer.lease else { continue };
            self.line.meter().note("lease", began.elapsed());
            self.site.note(lease.key.job);
            self.hold(|keys| keys.insert(lease.key));
            let done = self.attempt(&lease).await;
            self.hold(|keys| keys.remove(&lease.key));
            done.with_context(|| format!("job {}", lease.key.job))?;
        }
    }

    fn hold(&self, change: impl FnOnce(&mut BTreeSet<LeaseKey>) -> bool) {
        change(&mut self.keys.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    /// Says that the worker is still at it, anew whenever what it holds changes.
    async fn renew(self: Arc<Self>) -> Result<()> {
        loop {
            let keys: Vec<LeaseKey> = {
                let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
                keys.iter().copied().collect()
            };
            if keys.is_empty() {
                self.changed.notified().await;
                continue;
            }
            let body = serde_json::to_vec(&Renew { keys })?;
            tokio::select! {
                answer = self.line.quietly(Method::POST, "/worker/v1/renew", body) => {
                    // What is lost between two attempts is no loss: the next question tells.
                    answer.map(drop)?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                () = self.changed.notified() => {}
            }
        }
    }

    async fn attempt(&self, lease: &Lease) -> Result<()> {
        let Source::Srpm(source) = &lease.source else { anyhow::bail!("not a source package") };
        let pair = self.site.pairs.get(&source.digest).context("not one of ours")?;
        let LeaseKey { job, epoch } = lease.key;
        let base = format!("/worker/v1/jobs/{job}/{}", epoch.0);
        let blob = format!("{base}/blobs/{}", source.digest);
        let bytes = self.line.send("fetch the source", Method::GET, &blob, Vec::new()).await?;
        ensure!(Digest::of(&bytes) == source.digest, "other bytes than those of the source");
        let asked = ResolveRequest { key: lease.key, requires: Vec::new() };
        let resolved: Resolved = self.line.ask("resolve", "/worker/v1/resolve", &asked).await?;
        self.stage(lease.key, 0, Stage::Resolve).await?;
        let lock = kiln_parse::lock::digest(&resolved.lock);
        let asked = Provide { key: lease.key, lock };
        let _: Provided = self.line.ask("provide", "/worker/v1/provide", &asked).await?;
        self.stage(lease.key, 1, Stage::Materialise).await?;
        let text = TEXT.repeat(LINES);
        for piece in 0..2 {
            let path = format!("{base}/logs/build?offset={}", piece * text.len());
            self.line.send("log", Method::POST, &path, text.clone().into_bytes()).await?;
        }
        self.stage(lease.key, 2, Stage::Run).await?;
        self.deliver(&base, &pair.source).await?;
        self.deliver(&base, &pair.binary).await?;
        self.stage(lease.key, 3, Stage::Collect).await?;
        let claim = Claim {
            key: lease.key,
            lock,
            srpm: claimed(&pair.source),
            rpms: vec![claimed(&pair.binary)],
            refused: Vec::new(),
        };
        let finish = Finish { key: lease.key, ending: Ending::Built(claim) };
        self.tell("finish", "/worker/v1/finish", &finish).await
    }

    async fn stage(&self, key: LeaseKey, position: u32, stage: Stage) -> Result<()> {
        let ended = StageEnded { position, stage, wall_ms: 10, cpu_ms: 5, note: String::new() };
        self.tell("stage", "/worker/v1/stage", &StageNote { key, ended }).await
    }

    /// Asks how much is there, as a worker does, and hands over what is not.
    async fn deliver(&self, base: &str, file: &File) -> Result<()> {
        let path = format!("{base}/artifacts/{}/{}?offset=0", file.digest, file.bytes.len());
        for bytes in [Vec::new(), file.bytes.clone()] {
            let answer = self.line.send("artifact", Method::PUT, &path, bytes).await?;
            let have: Upload = read("artifact", &answer)?;
            if have.is_whole {
                return Ok(());
            }
        }
        anyhow::bail!("{} did not arrive", file.name)
    }

    async fn tell(&self, what: &'static str, path: &str, message: &impl Serialize) -> Result<()> {
        let body = serde_json::to_vec(message)?;
        self.line.send(what, Method::POST, path, body).await.map(drop)
    }
}

fn claimed(file: &File) -> ClaimedArtifact {
    let File { name, digest, bytes } = file;
    ClaimedArtifact { name: name.clone(), digest: *digest, size: bytes.len() as u64 }
}
