//! What nothing needs any more goes, while the service runs.
//!
//! | goes | stays |
//! | --- | --- |
//! | snapshots of a repository beyond those that its project keeps | the newest; those of the last day |
//! | what old builds left: results, locks, logs, sources | where one of its packages is in a snapshot that stays |
//! | blobs that nothing names | those that somebody wrote or asked for lately, whatever for |
//! | records and packed pieces of metadata that no snapshot needs | likewise |
//!
//! First the store forgets, then files go: killed in between, the next sweep ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use kiln_cas::{Cas, CasError, KEPT};
use kiln_model::{Digest, JobId, ProjectId};
use kiln_store::{Kept, Leaving, Work};
use serde::{Deserialize, Serialize};

use crate::life::{Flow, FlowError};
use crate::publish::{PublishFailure, Publisher};
use crate::share;

const HOUR: i64 = 3600 * 1000;
const DAY: i64 = 24 * HOUR;

/// How long a snapshot stays that was the newest: somebody may be reading it.
const READ: i64 = DAY;

/// How long a packed piece of metadata stays that nothing used.
const CHUNKS: Duration = Duration::from_secs(14 * 24 * 3600);

/// How long half an upload stays that nobody goes on with. For as long it counts as its sender's.
const PARTS: Duration = Duration::from_secs(24 * 3600);

/// How a sweep is made.
#[derive(Debug, Clone, Copy)]
pub struct Sweep {
    /// How long a blob stays that nothing names: what is being uploaded or built is named later.
    pub young: Duration,
    /// Only tell what would go, at the least: what is named by snapshots alone that would go
    /// themselves is not counted.
    pub is_trial: bool,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { young: Duration::from_secs(24 * 3600), is_trial: false }
    }
}

/// What went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// Snapshots.
    pub snapshots: u64,
    /// Jobs whose leavings were let go of.
    pub jobs: u64,
    /// Folders of logs.
    pub logs: u64,
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Pieces of metadata, records of packages, halves of uploads.
    pub pieces: u64,
}

impl Publisher {
    /// Sweeps. One at a time, whoever asks.
    pub async fn sweep(&self, sweep: Sweep) -> Result<Swept, PublishFailure> {
        let flow = &self.flow;
        let _alone = flow.store().turn(Work::Sweep).await?;
        let held = flow.cas().begin_sweep().map_err(FlowError::from)?;
        let _held = held.ok_or(PublishFailure::Held)?;
        let snapshots = self.drop_snapshots(sweep).await?;
        let old = self.old_jobs().await?;
        if !sweep.is_trial {
            flow.store().fade(&old, flow.now()).await?;
        }
        let logs = flow.sweep_logs(sweep).await?;
        let (blobs, bytes, listed) = flow.sweep_blobs(sweep).await?;
        let pieces = if sweep.is_trial { 0 } else { self.sweep_pieces(listed).await? };
        let swept = Swept { snapshots, jobs: old.len() as u64, logs, blobs, bytes, pieces };
        if swept != Swept::default() {
            tracing::info!(?swept, is_trial = sweep.is_trial, "swept");
        }
        Ok(swept)
    }

    /// Going back to a snapshot and forgetting it exclude each other: both have the turn to
    /// publish.
    async fn drop_snapshots(&self, sweep: Sweep) -> Result<u64, PublishFailure> {
        let _turn = self.turn.lock().await;
        let store = self.flow.store();
        let _alone = store.turn(Work::Publish).await?;
        let before = self.flow.now() - READ;
        let mut count = 0;
        for repo in store.retained().await? {
            let below = repo.newest - i64::from(repo.settings.keep_snapshots);
            count += match sweep.is_trial {
                true => store.count_snapshots(&repo, below, before).await?,
                false => store.drop_snapshots(&repo, below, before).await?,
            };
        }
        Ok(count)
    }

    /// The jobs whose project keeps them no longer and none of whose packages is in a snapshot.
    async fn old_jobs(&self) -> Result<Vec<JobId>, PublishFailure> {
        let store = self.flow.store();
        let signed = self.flow.listed(store.package_lists().await?)?;
        let behind = store.jobs_behind(&signed).await?;
        let settings = store.retained().await?;
        let days: BTreeMap<ProjectId, i64> = settings
            .iter()
            .map(|repo| (repo.project, i64::from(repo.settings.keep_days)))
            .collect();
        let now = self.flow.now();
        let is_old = |one: &Leaving| {
            let days = days.get(&one.project).copied();
            days.is_some_and(|days| one.ended_at < now - days * DAY) && !behind.contains(&one.job)
        };
        let leavings = store.leavings().await?;
        Ok(leavings.iter().filter(|one| is_old(one)).map(|one| one.job).collect())
    }

    async fn sweep_pieces(&self, listed: BTreeSet<Digest>) -> Result<u64, PublishFailure> {
        let (records, chunks) = (self.records.clone(), self.chunks.clone());
        let now = SystemTime::now();
        let work = move || records.sweep(&listed, now - KEPT) + chunks.sweep(now - CHUNKS);
        Ok(tokio::task::spawn_blocking(work).await.unwrap_or(0))
    }
}

impl Flow {
    /// The packages that lists of packages name.
    fn listed(&self, lists: Vec<Digest>) -> Result<BTreeSet<Digest>, FlowError> {
        let mut signed = BTreeSet::new();
        for list in lists {
            signed.extend(share::packages_of(self.cas(), &list)?.iter().map(|one| one.digest));
        }
        Ok(signed)
    }

    async fn sweep_logs(&self, sweep: Sweep) -> Result<u64, FlowError> {
        // Whose logs there are is listed before who is known: what begins meanwhile stays.
        let logs = self.logs().clone();
        let there = logs.jobs();
        let unfaded = self.store().unfaded().await?;
        let gone: BTreeSet<JobId> =
            there.into_iter().filter(|job| !unfaded.contains(job)).collect();
        if sweep.is_trial {
            return Ok(gone.len() as u64);
        }
        let removed = tokio::task::spawn_blocking(move || logs.remove(&gone)).await;
        Ok(removed.unwrap_or(0))
    }

    /// Removes the blobs that nothing names; tells how many, their bytes, and which packages
    /// snapshots list.
    async fn sweep_blobs(&self, sweep: Sweep) -> Result<(u64, u64, BTreeSet<Digest>), FlowError> {
        let moment = SystemTime::now() - sweep.young.max(KEPT);
        // What is old is listed before what is named: what is named in between was asked for in
        // between, and is not old any more.
        let cas = self.cas().clone();
        let old = blocking(&cas, move |cas| cas.unused_since(moment)).await?;
        let signed = self.listed(self.store().package_lists().await?)?;
        let named = self.named().await?;
        let unnamed: Vec<(Digest, u64)> =
            old.into_iter().filter(|(digest, _)| !named.contains(digest)).collect();
        if sweep.is_trial {
            let bytes = unnamed.iter().map(|(_, size)| size).sum();
            return Ok((unnamed.len() as u64, bytes, signed));
        }
        let remove = move |cas: &Cas| {
            let (mut count, mut bytes) = (0, 0);
            for (digest, size) in unnamed {
                if cas.remove_unused(&digest, moment)? {
                    (count, bytes) = (count + 1, bytes + size);
                }
            }
            cas.remove_parts(SystemTime::now() - PARTS)?;
            Ok((count, bytes))
        };
        let (count, bytes) = blocking(&cas, remove).await?;
        // What was sent so long ago is named by a build, or gone.
        let age = i64::try_from(sweep.young.max(PARTS).as_millis()).unwrap_or(i64::MAX);
        self.store().sweep_room(self.now().saturating_sub(age)).await?;
        Ok((count, bytes, signed))
    }

    /// Every blob that something names which is kept: sources and results of builds, what their
    /// locks name, what snapshots consist of, metadata of upstream repositories.
    pub async fn named(&self) -> Result<BTreeSet<Digest>, FlowError> {
        let Kept { locks, blobs, lists } = self.store().kept().await?;
        let mut named: BTreeSet<Digest> = blobs.into_iter().collect();
        for list in lists {
            named.extend(share::named_by_list(self.cas(), &list)?);
            named.insert(list);
        }
        for digest in locks {
            // A lock that cannot be read names nothing that could be kept for it.
            if let Ok(Some(lock)) = self.lock(&digest) {
                named.extend(lock.every_package().map(|package| package.digest));
            }
            named.insert(digest);
        }
        named.extend(self.repos.in_use()?);
        Ok(named)
    }
}

async fn blocking<T: Send + 'static>(
    cas: &Cas,
    work: impl FnOnce(&Cas) -> Result<T, CasError> + Send + 'static,
) -> Result<T, CasError> {
    let with = cas.clone();
    let done = tokio::task::spawn_blocking(move || work(&with)).await;
    done.unwrap_or_else(|_| Err(CasError::lost("sweeping", cas)))
}
