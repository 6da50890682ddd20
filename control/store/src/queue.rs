//! The queue: who is next, fairly.
//!
//! Each project has a count of what it has been served, which grows by a turn divided by its
//! weight with each lease; of those that have something to build, the one that was served least
//! is next (stride scheduling: Waldspurger and Weihl, 1995). A project that was idle begins where
//! the others are. Within a project: higher priority first, then the older job.

use std::collections::BTreeMap;

use kiln_model::{JobId, JobState, LeaseKey, ProjectId};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::database::Write;
use crate::jobs::{lease, put_back};
use crate::{Store, StoreError};

/// One turn, in the unit of `projects.served`, for a project of weight 100.
const TURN: i64 = 1_000_000;

/// What a worker can build.
#[derive(Debug, Clone)]
pub struct Ability {
    /// Architectures, `noarch` need not be named.
    pub arch: String,
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

/// What is being built, counted by whatever a cap is for.
#[derive(Default)]
struct Running {
    projects: BTreeMap<i64, i64>,
    users: BTreeMap<i64, i64>,
    targets: BTreeMap<String, i64>,
}

/// Something that could be built next.
struct Candidate {
    project: i64,
    submitter: i64,
    target: String,
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
        let mut write = self.write("leasing the next job").await?;
        let running = running(&mut write).await?;
        for candidate in candidates(&mut write, ability).await? {
            if running.is_capped(&candidate, caps) {
                continue;
            }
            let Some(id) = first_of(&mut write, &candidate, ability).await? else { continue };
            let key = lease(&mut write, id, worker, now, until).await?;
            charge(&mut write, &candidate).await?;
            write.commit().await?;
            return Ok(Some(key));
        }
        Ok(None)
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

    /// How many jobs are before one in the queue, if all projects went on as now: those of its
    /// own project that go first, and as many of each other project.
    pub async fn before(&self, id: JobId) -> Result<i64, StoreError> {
        let text = "SELECT project, COUNT(*) AS count FROM jobs
            WHERE state = 'queued' AND waits = 0 AND project IS NOT NULL AND id <> $1
            AND (project <> (SELECT project FROM jobs WHERE id = $1)
                 OR priority > (SELECT priority FROM jobs WHERE id = $1)
                 OR (priority = (SELECT priority FROM jobs WHERE id = $1) AND id < $1))
            GROUP BY project";
        let own = "SELECT project FROM jobs WHERE id = $1";
        let own = self.find("reading a job", sqlx::query(own).bind(id.0)).await?;
        let own: Option<i64> = own.ok_or(StoreError::NoJob(id))?.get(0);
        let rows = self.list("counting the queue", sqlx::query(text).bind(id.0)).await?;
        let counts: Vec<(i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let mine = counts.iter().find(|(project, _)| Some(*project) == own);
        let mine = mine.map_or(0, |(_, count)| *count);
        let others = counts.iter().filter(|(project, _)| Some(*project) != own);
        Ok(mine + others.map(|(_, count)| (*count).min(mine + 1)).sum::<i64>())
    }
}

impl Running {
    fn is_capped(&self, candidate: &Candidate, caps: Caps) -> bool {
        let is_full = |count: Option<&i64>, cap: Option<i64>| {
            cap.is_some_and(|cap| count.copied().unwrap_or(0) >= cap)
        };
        is_full(self.projects.get(&candidate.project), caps.project)
            || is_full(self.users.get(&candidate.submitter), caps.user)
            || is_full(self.targets.get(&candidate.target), caps.target)
    }
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

/// What waits, by project, submitter and target: who was served least first, background last.
async fn candidates(write: &mut Write, ability: &Ability) -> Result<Vec<Candidate>, StoreError> {
    let text = "SELECT waiting.*, projects.served, projects.weight FROM
                (SELECT background, project, submitter, target, MAX(priority) AS priority,
                        MIN(id) AS first FROM jobs
                 WHERE state = 'queued' AND waits = 0 AND project IS NOT NULL AND arch = $1
                 GROUP BY background, project, submitter, target) AS waiting
                JOIN projects ON projects.id = waiting.project
                ORDER BY waiting.background, projects.served, waiting.project,
                         waiting.priority DESC, waiting.first";
    let rows = write.list(sqlx::query(text).bind(&ability.arch)).await?;
    let candidate = |row: &AnyRow| Candidate {
        project: row.get("project"),
        submitter: row.get("submitter"),
        target: row.get("target"),
        is_background: row.get("background"),
        served: row.get("served"),
        weight: row.get("weight"),
    };
    Ok(rows.iter().map(candidate).collect())
}

async fn first_of(
    write: &mut Write,
    candidate: &Candidate,
    ability: &Ability,
) -> Result<Option<JobId>, StoreError> {
    let question = "SELECT id FROM jobs
        WHERE state = 'queued' AND waits = 0 AND background = $1 AND project = $2
        AND submitter = $3 AND target = $4 AND arch = $5
        ORDER BY priority DESC, id LIMIT 1";
    let text = write.skipping(question);
    let query = sqlx::query(text)
        .bind(candidate.is_background)
        .bind(candidate.project)
        .bind(candidate.submitter)
        .bind(&candidate.target)
        .bind(&ability.arch);
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
