//! The queue: who is next, fairly.
//!
//! Each project has a count of what it has been served, which grows by a turn divided by its
//! weight with each lease; of those that have something to build, the one that was served least
//! is next (stride scheduling: Waldspurger and Weihl, 1995). A project that was idle begins where
//! the others are. Within a project: higher priority first, then the older job.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kiln_model::{Isolation, JobId, JobState, LeaseKey, ProjectId};
use kiln_wire::worker::Settings;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::database::Write;
use crate::jobs::{JSON, lease, put_back};
use crate::{Store, StoreError};

/// One turn, in the unit of `projects.served`, for a project of weight 100.
const TURN: i64 = 1_000_000;

/// What a worker can build.
#[derive(Debug, Clone)]
pub struct Ability {
    /// Architectures, `noarch` need not be named.
    pub arch: String,
    /// The strongest isolation that it offers; it offers the weaker ones too.
    pub isolation: Isolation,
}

/// How much may be built at one time, whoever waits. Nothing is capped where there is no number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// Of one project.
    pub project: Option<i64>,
    /// Of one submitter.
    pub user: Option<i64>,
    /// For one target.
    pub target: Option<i64>,
}

/// How full the queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueFigures {
    /// Jobs that could begin.
    pub ready: i64,
    /// Jobs that wait for others.
    pub held: i64,
    /// Jobs that are being built.
    pub leased: i64,
    /// When the one that waits longest was queued, in milliseconds since 1970.
    pub oldest: Option<i64>,
}

/// A job that could begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub job: JobId,
    /// Whose.
    pub project: ProjectId,
    /// For what.
    pub target: String,
    /// Whether it is begun only when nothing else can be.
    pub is_background: bool,
}

/// What is being built, counted by whatever a cap is for.
#[derive(Default)]
struct Running {
    projects: BTreeMap<i64, i64>,
    users: BTreeMap<i64, i64>,
    targets: BTreeMap<String, i64>,
}

/// Who asks for something to do, and when.
#[derive(Clone, Copy)]
struct Asker<'a> {
    ability: &'a Ability,
    worker: &'a str,
    now: i64,
}

/// A project that has something to build.
struct Candidate {
    project: i64,
    is_background: i64,
    served: i64,
    weight: i64,
}

impl Store {
    /// Leases the job whose turn it is to a worker, until a moment; nothing where nothing waits
    /// that this worker could build.
    pub async fn lease_next(
        &self,
        worker: &str,
        ability: &Ability,
        caps: Caps,
        now: i64,
        until: i64,
    ) -> Result<Option<LeaseKey>, StoreError> {
        if !self.has_ready(ability).await? {
            return Ok(None);
        }
        let mut write = self.write("leasing the next job").await?;
        let running = running(&mut write).await?;
        for candidate in candidates(&mut write, ability).await? {
            if is_full(running.projects.get(&candidate.project), caps.project) {
                continue;
            }
            let asker = Asker { ability, worker, now };
            let first = first_of(&mut write, &candidate, asker, &running, caps).await?;
            let Some(id) = first else { continue };
            let key = lease(&mut write, id, worker, now, until).await?;
            charge(&mut write, &candidate).await?;
            write.commit().await?;
            return Ok(Some(key));
        }
        Ok(None)
    }

    /// Whether something could begin that this worker can build: many ask, and few get something.
    async fn has_ready(&self, ability: &Ability) -> Result<bool, StoreError> {
        let text = "SELECT 1 FROM jobs WHERE state = 'queued' AND waits = 0
                    AND project IS NOT NULL AND arch = $1 AND isolation IN ('namespaces', $2)
                    LIMIT 1";
        let query = sqlx::query(text).bind(&ability.arch).bind(ability.isolation.word());
        Ok(self.find("asking whether something waits", query).await?.is_some())
    }

    /// Lets leases live on until a moment: those of `keys` that this worker still holds. Gives
    /// back the ones that it no longer does.
    pub async fn renew(
        &self,
        worker: &str,
        keys: &[LeaseKey],
        until: i64,
    ) -> Result<Vec<LeaseKey>, StoreError> {
        let mut write = self.write("renewing leases").await?;
        let mut lost = Vec::new();
        for key in keys {
            let text = "UPDATE jobs SET lease_until = $1
                        WHERE id = $2 AND epoch = $3 AND worker = $4 AND state = 'leased'";
            let update =
                sqlx::query(text).bind(until).bind(key.job.0).bind(key.epoch.0).bind(worker);
            if write.run(update).await? == 0 {
                lost.push(*key);
            }
        }
        write.commit().await?;
        Ok(lost)
    }

    /// Whether a worker holds a lease.
    pub async fn is_held_by(&self, worker: &str, key: LeaseKey) -> Result<bool, StoreError> {
        let text = "SELECT 1 FROM jobs
                    WHERE id = $1 AND epoch = $2 AND worker = $3 AND state = 'leased'";
        let query = sqlx::query(text).bind(key.job.0).bind(key.epoch.0).bind(worker);
        Ok(self.find("asking who holds a lease", query).await?.is_some())
    }

    /// Puts back the jobs of projects whose leases ran out; tells which, with how often they have
    /// been put back by now.
    pub async fn expire(&self, now: i64) -> Result<Vec<(JobId, i64)>, StoreError> {
        let mut write = self.write("ending leases that ran out").await?;
        let question = "SELECT id FROM jobs WHERE state = 'leased' AND project IS NOT NULL
                        AND lease_until < $1";
        let text = write.skipping(question);
        let rows = write.list(sqlx::query(text).bind(now)).await?;
        let mut expired = Vec::new();
        for row in rows {
            let id = JobId(row.get(0));
            let setbacks = put_back(&mut write, id, JobState::Queued, None).await?;
            expired.push((id, setbacks));
        }
        write.commit().await?;
        Ok(expired)
    }

    /// The jobs of projects that wait for a worker with machines, and how each is to be built.
    pub async fn waiting_for_machines(&self) -> Result<Vec<(JobId, Settings)>, StoreError> {
        let text = "SELECT id, settings FROM jobs WHERE state = 'queued' AND waits = 0
                    AND project IS NOT NULL AND isolation = 'microvm' ORDER BY id";
        let rows = self.list("listing what waits for machines", sqlx::query(text)).await?;
        let waiting = |row: &AnyRow| {
            let job = JobId(row.get("id"));
            let settings = serde_json::from_str(row.get("settings"));
            Ok((job, settings.map_err(|_| StoreError::Record { job, field: "settings" })?))
        };
        rows.iter().map(waiting).collect()
    }

    /// Says anew what stands between a job and its host, if it still waits.
    pub async fn set_isolation(&self, job: JobId, settings: &Settings) -> Result<(), StoreError> {
        let text = "UPDATE jobs SET settings = $1, isolation = $2
                    WHERE id = $3 AND state = 'queued'";
        let query = sqlx::query(text)
            .bind(serde_json::to_string(settings).expect(JSON))
            .bind(settings.isolation.word())
            .bind(job.0);
        self.change("changing how a job is built", query).await.map(drop)
    }

    /// How full the queue is.
    pub async fn queue_figures(&self) -> Result<QueueFigures, StoreError> {
        let text = "SELECT
            COALESCE(SUM(CASE WHEN state = 'queued' AND waits = 0 THEN 1 ELSE 0 END), 0) AS ready,
            COALESCE(SUM(CASE WHEN state = 'queued' AND waits > 0 THEN 1 ELSE 0 END), 0) AS held,
            COALESCE(SUM(CASE WHEN state = 'leased' THEN 1 ELSE 0 END), 0) AS leased,
            MIN(CASE WHEN state = 'queued' AND waits = 0 THEN queued_at END) AS oldest
            FROM jobs WHERE state IN ('queued', 'leased') AND project IS NOT NULL";
        let row = self.find("counting the queue", sqlx::query(text)).await?;
        let Some(row) = row else { return Ok(QueueFigures::default()) };
        Ok(QueueFigures {
            ready: row.get("ready"),
            held: row.get("held"),
            leased: row.get("leased"),
            oldest: row.get("oldest"),
        })
    }

    /// The jobs of projects that could begin, in the order in which each project's are given out.
    pub async fn waiting(&self) -> Result<Vec<Waiting>, StoreError> {
        let text = "SELECT id, project, target, background FROM jobs
                    WHERE state = 'queued' AND waits = 0 AND project IS NOT NULL
                    ORDER BY background, project, priority DESC, id";
        let rows = self.list("listing what waits", sqlx::query(text)).await?;
        let waiting = |row: &AnyRow| Waiting {
            job: JobId(row.get("id")),
            project: ProjectId(row.get("project")),
            target: row.get("target"),
            is_background: row.get::<i64, _>("background") != 0,
        };
        Ok(rows.iter().map(waiting).collect())
    }
}

fn is_full(count: Option<&i64>, cap: Option<i64>) -> bool {
    cap.is_some_and(|cap| count.copied().unwrap_or(0) >= cap)
}

async fn running(write: &mut Write) -> Result<Running, StoreError> {
    let text = "SELECT project, submitter, target, COUNT(*) AS count FROM jobs
                WHERE state = 'leased' AND project IS NOT NULL
                GROUP BY project, submitter, target";
    let mut running = Running::default();
    for row in write.list(sqlx::query(text)).await? {
        let count: i64 = row.get("count");
        *running.projects.entry(row.get("project")).or_default() += count;
        *running.users.entry(row.get("submitter")).or_default() += count;
        *running.targets.entry(row.get("target")).or_default() += count;
    }
    Ok(running)
}

/// The projects that have something to build: who was served least first, background last. Each
/// is one look at the index: how much waits makes no difference.
async fn candidates(write: &mut Write, ability: &Ability) -> Result<Vec<Candidate>, StoreError> {
    let text = "SELECT projects.id, projects.served, projects.weight, kinds.background
                FROM projects, (SELECT CAST(0 AS BIGINT) AS background
                                UNION ALL SELECT CAST(1 AS BIGINT)) AS kinds
                WHERE EXISTS (SELECT 1 FROM jobs WHERE state = 'queued' AND waits = 0
                    AND background = kinds.background AND project = projects.id AND arch = $1
                    AND isolation IN ('namespaces', $2))
                ORDER BY kinds.background, projects.served, projects.id";
    let rows =
        write.list(sqlx::query(text).bind(&ability.arch).bind(ability.isolation.word())).await?;
    let candidate = |row: &AnyRow| Candidate {
        project: row.get("id"),
        is_background: row.get("background"),
        served: row.get("served"),
        weight: row.get("weight"),
    };
    Ok(rows.iter().map(candidate).collect())
}

/// What is next in a project, of submitters and for targets that are not at their caps; a rebuild is
/// for another worker than the one that built it first, for as long as that one is spared.
async fn first_of(
    write: &mut Write,
    candidate: &Candidate,
    asker: Asker<'_>,
    running: &Running,
    caps: Caps,
) -> Result<Option<JobId>, StoreError> {
    let users = running.users.iter().filter(|(_, count)| is_full(Some(count), caps.user));
    let users: Vec<i64> = users.map(|(user, _)| *user).collect();
    let targets = running.targets.iter().filter(|(_, count)| is_full(Some(count), caps.target));
    let targets: Vec<&String> = targets.map(|(target, _)| target).collect();
    let mut question = "SELECT id FROM jobs WHERE state = 'queued' AND waits = 0
        AND background = $1 AND project = $2 AND arch = $3
        AND (spared IS NULL OR spared <> $4 OR spared_until < $5)
        AND isolation IN ('namespaces', $6)"
        .to_owned();
    let mut at = 7;
    for (column, count) in [("submitter", users.len()), ("target", targets.len())] {
        for _ in 0..count {
            write!(question, " AND {column} <> ${at}").expect("writing to a String cannot fail");
            at += 1;
        }
    }
    question.push_str(" ORDER BY priority DESC, id LIMIT 1");
    let text = write.skipping(&question);
    let mut query = sqlx::query(text)
        .bind(candidate.is_background)
        .bind(candidate.project)
        .bind(&asker.ability.arch)
        .bind(asker.worker)
        .bind(asker.now)
        .bind(asker.ability.isolation.word());
    for user in users {
        query = query.bind(user);
    }
    for target in targets {
        query = query.bind(target);
    }
    Ok(write.find(query).await?.map(|row| JobId(row.get(0))))
}

/// The turn is taken; others begin where this one stood.
async fn charge(write: &mut Write, candidate: &Candidate) -> Result<(), StoreError> {
    let turn = TURN * 100 / candidate.weight.max(1);
    let text = "UPDATE projects SET served = served + $1 WHERE id = $2";
    write.run(sqlx::query(text).bind(turn).bind(candidate.project)).await?;
    let text = "UPDATE queue SET floor = $1 WHERE floor < $1";
    write.run(sqlx::query(text).bind(candidate.served)).await?;
    Ok(())
}

/// A project as the queue knows it.
pub(crate) async fn set_weight(
    write: &mut Write,
    project: ProjectId,
    weight: i64,
) -> Result<(), StoreError> {
    let text = "UPDATE projects SET weight = $1 WHERE id = $2";
    write.run(sqlx::query(text).bind(weight.clamp(1, 10_000)).bind(project.0)).await?;
    Ok(())
}
