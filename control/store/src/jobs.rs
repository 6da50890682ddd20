//! The life of a job: leased, built or not, ended.

use kiln_model::{
    BuildId, Digest, Epoch, Fault, JobEvent, JobId, JobState, LeaseKey, Nevra, ProjectId, Report,
    Stage, UserId,
};
use serde_json::to_string as to_json;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::database::Write;
use crate::outbox::{What, announce};
use crate::records::{Accepted, Artifact, JobRecord, StageRecord};
use crate::{Store, StoreError};

pub(crate) const JSON: &str = "types of our own always serialise";

/// The columns of a [`JobRecord`].
pub(crate) const JOB: &str = "SELECT jobs.*, builds.title, builds.source FROM jobs
     JOIN builds ON builds.id = jobs.build";

impl Store {
    /// A job as it stands.
    pub async fn job(&self, id: JobId) -> Result<JobRecord, StoreError> {
        let text = sqlx::AssertSqlSafe(format!("{JOB} WHERE jobs.id = $1"));
        let row = self.find("reading a job", sqlx::query(text).bind(id.0)).await?;
        record(&row.ok_or(StoreError::NoJob(id))?)
    }

    /// Gives a worker the lease for a queued job until a moment. `now` and `until` are in
    /// milliseconds since 1970, here and below.
    pub async fn lease(
        &self,
        id: JobId,
        worker: &str,
        now: i64,
        until: i64,
    ) -> Result<LeaseKey, StoreError> {
        let mut write = self.write("leasing a job").await?;
        let key = lease(&mut write, id, worker, now, until).await?;
        write.commit().await?;
        Ok(key)
    }

    /// Stores what a claim became. The one way for a job to be built.
    pub async fn accept(&self, accepted: &Accepted, now: i64) -> Result<(), StoreError> {
        let mut write = self.write_for_good("storing artifacts").await?;
        let id = accepted.key.job;
        let state = held(&mut write, accepted.key, JobEvent::Accept).await?;
        for artifact in &accepted.artifacts {
            let text = "INSERT INTO artifacts (job, name, nevra, digest, size)
                        VALUES ($1, $2, $3, $4, $5)";
            let insert = sqlx::query(text)
                .bind(id.0)
                .bind(&artifact.name)
                .bind(artifact.nevra.to_string())
                .bind(artifact.digest.to_string())
                .bind(artifact.size.cast_signed());
            write.run(insert).await?;
        }
        let text = "UPDATE jobs SET state = $1, ended_at = $2, lock = $3 WHERE id = $4";
        let update = sqlx::query(text)
            .bind(state.word())
            .bind(now)
            .bind(accepted.lock.to_string())
            .bind(id.0);
        write.run(update).await?;
        let text = "SELECT publishes FROM jobs WHERE id = $1";
        if write.one(sqlx::query(text).bind(id.0)).await?.get::<i64, _>(0) == 0 {
            announce(&mut write, id, What::Built, now).await?;
        }
        write.commit().await
    }

    /// Ends a leased job without artifacts, and those that wait for it.
    pub async fn fail(&self, key: LeaseKey, report: &Report, now: i64) -> Result<(), StoreError> {
        let mut write = self.write("storing a failure").await?;
        held(&mut write, key, JobEvent::Fail).await?;
        end(&mut write, key.job, JobState::Failed, Some(report), now).await?;
        end_followers(&mut write, key.job, now).await?;
        write.commit().await
    }

    /// Puts a leased job back: its host failed it. Tells how often that has happened by now.
    pub async fn requeue(&self, key: LeaseKey, why: &Report) -> Result<i64, StoreError> {
        let mut write = self.write("queueing a job again").await?;
        let state = held(&mut write, key, JobEvent::Requeue).await?;
        let setbacks = put_back(&mut write, key.job, state, Some(why)).await?;
        write.commit().await?;
        Ok(setbacks)
    }

    /// Puts a leased job back whose worker was told to stop: that says nothing of the job.
    pub async fn release(&self, key: LeaseKey) -> Result<(), StoreError> {
        let mut write = self.write("queueing a job again").await?;
        let state = held(&mut write, key, JobEvent::Requeue).await?;
        let text = "UPDATE jobs SET state = $1, lease_until = NULL WHERE id = $2";
        write.run(sqlx::query(text).bind(state.word()).bind(key.job.0)).await?;
        write.commit().await
    }

    /// Ends a job that was put back too often.
    pub async fn give_up(&self, id: JobId, report: &Report, now: i64) -> Result<(), StoreError> {
        let mut write = self.write("giving a job up").await?;
        let (state, _) = standing(&mut write, id).await?;
        if state == JobState::Queued {
            end(&mut write, id, JobState::Failed, Some(report), now).await?;
            end_followers(&mut write, id, now).await?;
        }
        write.commit().await
    }

    /// Ends a job that is not ended, whoever holds it, and those that wait for it: its worker's
    /// next word is stale.
    pub async fn cancel(&self, id: JobId, now: i64) -> Result<(), StoreError> {
        let mut write = self.write("cancelling a job").await?;
        let (state, _) = standing(&mut write, id).await?;
        let state = step(id, state, JobEvent::Cancel)?;
        end(&mut write, id, state, None, now).await?;
        end_followers(&mut write, id, now).await?;
        write.commit().await
    }

    /// Notes the stage at a place, counted from 0, of the attempt that a lease is for. One that
    /// is said twice stands there once.
    pub async fn note_stage(
        &self,
        key: LeaseKey,
        position: u32,
        ended: &StageRecord,
    ) -> Result<(), StoreError> {
        let mut write = self.write("noting a stage").await?;
        alive(&mut write, key).await?;
        let text = "INSERT INTO stages (job, epoch, position, stage, wall_ms, cpu_ms, note)
                    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let insert = sqlx::query(text)
            .bind(key.job.0)
            .bind(key.epoch.0)
            .bind(i64::from(position))
            .bind(ended.stage.word())
            .bind(ended.wall_ms.cast_signed())
            .bind(ended.cpu_ms.cast_signed())
            .bind(&ended.note);
        write.run(insert).await?;
        write.commit().await
    }

    /// Notes that a lock was given out for the attempt that a lease is for.
    pub async fn note_lock(&self, key: LeaseKey, lock: Digest) -> Result<(), StoreError> {
        let mut write = self.write("noting a lock").await?;
        alive(&mut write, key).await?;
        let text = "INSERT INTO locks (job, epoch, digest) VALUES ($1, $2, $3)
                    ON CONFLICT DO NOTHING";
        let insert = sqlx::query(text).bind(key.job.0).bind(key.epoch.0).bind(lock.to_string());
        write.run(insert).await?;
        write.commit().await
    }

    /// The locks that were given out for an attempt.
    pub async fn locks_of(&self, key: LeaseKey) -> Result<Vec<Digest>, StoreError> {
        let query = sqlx::query("SELECT digest FROM locks WHERE job = $1 AND epoch = $2")
            .bind(key.job.0)
            .bind(key.epoch.0);
        let rows = self.list("reading the locks of an attempt", query).await?;
        let wrong = StoreError::Record { job: key.job, field: "lock" };
        let locks: Option<Vec<Digest>> =
            rows.iter().map(|row| row.get::<&str, _>("digest").parse().ok()).collect();
        locks.ok_or(wrong)
    }

    /// The stages of a job's last attempt, in the order in which they ended.
    pub async fn stages(&self, id: JobId) -> Result<Vec<StageRecord>, StoreError> {
        let text = "SELECT stage, wall_ms, cpu_ms, note FROM stages
                    JOIN jobs ON jobs.id = stages.job AND jobs.epoch = stages.epoch
                    WHERE stages.job = $1 ORDER BY position";
        let rows = self.list("reading stages", sqlx::query(text).bind(id.0)).await?;
        rows.iter()
            .map(|row| {
                let stage = Stage::from_word(row.get("stage"))
                    .ok_or(StoreError::Record { job: id, field: "stage" })?;
                Ok(StageRecord {
                    stage,
                    wall_ms: row.get::<i64, _>("wall_ms").unsigned_abs(),
                    cpu_ms: row.get::<i64, _>("cpu_ms").unsigned_abs(),
                    note: row.get("note"),
                })
            })
            .collect()
    }

    /// The jobs that made a file of that name, the newest first, each with what it made; at most a
    /// hundred.
    pub async fn jobs_that_made(&self, name: &str) -> Result<Vec<(JobId, Digest)>, StoreError> {
        let text = "SELECT job, digest FROM artifacts WHERE name = $1 ORDER BY job DESC LIMIT 100";
        let rows = self.list("finding who made a file", sqlx::query(text).bind(name)).await?;
        let found = |row: &AnyRow| {
            let job = JobId(row.get("job"));
            let digest = row.get::<&str, _>("digest").parse();
            digest
                .map(|digest| (job, digest))
                .map_err(|_| StoreError::Record { job, field: "artifact" })
        };
        rows.iter().map(found).collect()
    }

    /// What a job made.
    pub async fn artifacts(&self, id: JobId) -> Result<Vec<Artifact>, StoreError> {
        let text = "SELECT name, nevra, digest, size FROM artifacts WHERE job = $1 ORDER BY name";
        let rows = self.list("reading artifacts", sqlx::query(text).bind(id.0)).await?;
        let wrong = |field| StoreError::Record { job: id, field };
        rows.iter()
            .map(|row| {
                let nevra: Nevra =
                    row.get::<&str, _>("nevra").parse().map_err(|_| wrong("artifact"))?;
                let digest: Digest =
                    row.get::<&str, _>("digest").parse().map_err(|_| wrong("artifact"))?;
                let size = row.get::<i64, _>("size").unsigned_abs();
                Ok(Artifact { name: row.get("name"), nevra, digest, size })
            })
            .collect()
    }
}

/// A job's state and epoch, read inside a transaction that will change them.
pub(crate) async fn standing(
    write: &mut Write,
    id: JobId,
) -> Result<(JobState, Epoch), StoreError> {
    let text = write.locking("SELECT state, epoch FROM jobs WHERE id = $1");
    let row = write.find(sqlx::query(text).bind(id.0)).await?.ok_or(StoreError::NoJob(id))?;
    let state = JobState::from_word(row.get("state"))
        .ok_or(StoreError::Record { job: id, field: "state" })?;
    Ok((state, Epoch(row.get("epoch"))))
}

fn step(id: JobId, state: JobState, event: JobEvent) -> Result<JobState, StoreError> {
    state.after(event).map_err(|source| StoreError::Illegal { job: id, source })
}

/// That a lease holds its job; stale where it holds nothing.
pub(crate) async fn alive(write: &mut Write, key: LeaseKey) -> Result<JobState, StoreError> {
    let (state, epoch) = standing(write, key.job).await?;
    let is_alive = epoch == key.epoch && state == JobState::Leased;
    if is_alive { Ok(state) } else { Err(StoreError::Stale(key)) }
}

/// The state after an event that the holder of a lease causes.
async fn held(write: &mut Write, key: LeaseKey, event: JobEvent) -> Result<JobState, StoreError> {
    let state = alive(write, key).await?;
    step(key.job, state, event)
}

pub(crate) async fn lease(
    write: &mut Write,
    id: JobId,
    worker: &str,
    now: i64,
    until: i64,
) -> Result<LeaseKey, StoreError> {
    let (state, epoch) = standing(write, id).await?;
    let state = step(id, state, JobEvent::Lease)?;
    let key = LeaseKey { job: id, epoch: Epoch(epoch.0 + 1) };
    let text = "UPDATE jobs SET state = $1, epoch = $2, worker = $3, leased_at = $4,
                lease_until = $5 WHERE id = $6";
    let update = sqlx::query(text)
        .bind(state.word())
        .bind(key.epoch.0)
        .bind(worker)
        .bind(now)
        .bind(until)
        .bind(id.0);
    write.run(update).await?;
    announce(write, id, What::Began, now).await?;
    Ok(key)
}

/// A leased job is queued again; `why` is told to whoever asks meanwhile.
pub(crate) async fn put_back(
    write: &mut Write,
    id: JobId,
    state: JobState,
    why: Option<&Report>,
) -> Result<i64, StoreError> {
    let text = "UPDATE jobs SET state = $1, lease_until = NULL, setbacks = setbacks + 1,
                report = $2 WHERE id = $3 RETURNING setbacks";
    let why = why.map(|why| to_json(why).expect(JSON));
    let row = write.one(sqlx::query(text).bind(state.word()).bind(why).bind(id.0)).await?;
    Ok(row.get(0))
}

/// Ends a job, whatever it was doing.
pub(crate) async fn end(
    write: &mut Write,
    id: JobId,
    state: JobState,
    report: Option<&Report>,
    now: i64,
) -> Result<(), StoreError> {
    let text = "UPDATE jobs SET state = $1, ended_at = $2, report = $3 WHERE id = $4";
    let report = report.map(|report| to_json(report).expect(JSON));
    let update = sqlx::query(text).bind(state.word()).bind(now).bind(report).bind(id.0);
    write.run(update).await?;
    let is_cancelled = state == JobState::Cancelled;
    let what = if is_cancelled { What::Cancelled } else { What::Failed };
    announce(write, id, what, now).await
}

/// Ends the jobs that wait for one that will never be published, and those that wait for them.
pub(crate) async fn end_followers(
    write: &mut Write,
    cause: JobId,
    now: i64,
) -> Result<(), StoreError> {
    let mut causes = vec![cause];
    while let Some(cause) = causes.pop() {
        let text = "SELECT waits.job FROM waits JOIN jobs ON jobs.id = waits.job
                    WHERE waits.waits_for = $1 AND jobs.state = 'queued'";
        let rows = write.list(sqlx::query(text).bind(cause.0)).await?;
        let report = Report {
            fault: Fault::Package,
            error: format!("job {cause}, which it waits for, did not come to be published"),
            causes: Vec::new(),
            hint: Some(format!("see what became of job {cause}, then submit this again")),
        };
        for row in rows {
            let follower = JobId(row.get(0));
            end(write, follower, JobState::Failed, Some(&report), now).await?;
            causes.push(follower);
        }
    }
    Ok(())
}

pub(crate) fn record(row: &AnyRow) -> Result<JobRecord, StoreError> {
    let id = JobId(row.get("id"));
    let wrong = |field| StoreError::Record { job: id, field };
    let json = |field: &'static str| row.get::<&str, _>(field);
    let report: Option<&str> = row.get("report");
    let lock: Option<&str> = row.get("lock");
    let is = |field: &'static str| row.get::<i64, _>(field) != 0;
    Ok(JobRecord {
        id,
        build: BuildId(row.get("build")),
        title: row.get("title"),
        source: serde_json::from_str(json("source")).map_err(|_| wrong("source"))?,
        settings: serde_json::from_str(json("settings")).map_err(|_| wrong("settings"))?,
        limits: serde_json::from_str(json("limits")).map_err(|_| wrong("limits"))?,
        state: JobState::from_word(row.get("state")).ok_or(wrong("state"))?,
        epoch: Epoch(row.get("epoch")),
        worker: row.get("worker"),
        queued_at: row.get("queued_at"),
        ended_at: row.get("ended_at"),
        report: report.map(serde_json::from_str).transpose().map_err(|_| wrong("report"))?,
        lock: lock.map(str::parse).transpose().map_err(|_| wrong("lock"))?,
        project: row.get::<Option<i64>, _>("project").map(ProjectId),
        submitter: row.get::<Option<i64>, _>("submitter").map(UserId),
        is_background: is("background"),
        priority: row.get("priority"),
        waits: row.get("waits"),
        leased_at: row.get("leased_at"),
        setbacks: row.get("setbacks"),
        publishes: is("publishes"),
        snapshot: row.get("snapshot"),
    })
}
