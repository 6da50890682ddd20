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
        let mut write = self.write("storing artifacts").await?;
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

    /// Notes a stage of the attempt that a lease is for.
    pub async fn note_stage(&self, key: LeaseKey, ended: &StageRecord) -> Result<(), StoreError> {
        let mut write = self.write("noting a stage").await?;
        alive(&mut write, key).await?;
        let text = "INSERT INTO stages (job, epoch, position, stage, wall_ms, cpu_ms, note)
                    SELECT $1, $2, COUNT(*), $3, $4, $5, $6 FROM stages
                    WHERE job = $1 AND epoch = $2";
        let insert = sqlx::query(text)
            .bind(key.job.0)
            .bind(key.epoch.0)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kiln_model::{Fault, Limits};
    use kiln_wire::worker::{Settings, Source, SourceFile};

    use super::*;
    use crate::{NewBuild, NewJob};

    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("kiln.db")).await.expect("opened");
        (folder, store)
    }

    fn build() -> NewBuild {
        let settings = Settings {
            target: "trial-13-x86_64".parse().expect("a name"),
            arch: "x86_64".to_owned(),
            profile: "distribution".to_owned(),
            macros: BTreeMap::new(),
            with: Vec::new(),
            without: Vec::new(),
            jobs: 2,
            lock: None,
            pins: Vec::new(),
        };
        let file = SourceFile { name: "x.src.rpm".into(), digest: Digest::of(b"x"), size: 1 };
        let job = NewJob {
            settings,
            limits: Limits::default(),
            is_background: false,
            priority: 0,
            waits_for: Vec::new(),
        };
        NewBuild {
            title: "x".to_owned(),
            source: Source::Srpm(file),
            jobs: vec![job],
            owner: None,
            origin: None,
        }
    }

    fn accepted(key: LeaseKey) -> Accepted {
        let artifact = Artifact {
            name: "x-1-1.x86_64.rpm".to_owned(),
            nevra: "x-1-1.x86_64".parse().expect("a NEVRA"),
            digest: Digest::of(b"rpm"),
            size: 3,
        };
        Accepted { key, lock: Digest::of(b"lock"), artifacts: vec![artifact] }
    }

    #[tokio::test]
    async fn a_build_goes_from_queued_to_built() {
        let (_folder, store) = store().await;
        let submitted = store.submit(&build(), 1).await.expect("submitted");
        let job = submitted.jobs[0];
        assert_eq!(store.job(job).await.expect("read").state, JobState::Queued);
        let key = store.lease(job, "here", 0, 100).await.expect("leased");
        let stage = StageRecord { stage: Stage::Run, wall_ms: 5, cpu_ms: 4, note: "x".to_owned() };
        store.note_stage(key, &stage).await.expect("noted");
        store.note_lock(key, Digest::of(b"lock")).await.expect("noted");
        store.accept(&accepted(key), 9).await.expect("accepted");
        let record = store.job(job).await.expect("read");
        assert_eq!((record.state, record.ended_at), (JobState::Built, Some(9)));
        assert_eq!(store.stages(job).await.expect("read"), [stage]);
        assert_eq!(store.artifacts(job).await.expect("read"), accepted(key).artifacts);
        let kept = store.kept().await.expect("listed");
        assert_eq!(kept.locks, [Digest::of(b"lock")]);
        assert_eq!(kept.blobs, [Digest::of(b"rpm"), Digest::of(b"x")]);
        assert_eq!(store.forget(9).await.expect("asked"), 0, "it ended at 9");
        assert_eq!(store.forget(10).await.expect("forgotten"), 1);
        assert!(store.kept().await.expect("listed").blobs.is_empty());
    }

    #[tokio::test]
    async fn a_stale_lease_changes_nothing() {
        let (_folder, store) = store().await;
        let job = store.submit(&build(), 1).await.expect("submitted").jobs[0];
        let key = store.lease(job, "here", 0, 100).await.expect("leased");
        let stale = LeaseKey { epoch: Epoch(key.epoch.0 + 1), ..key };
        assert!(matches!(store.accept(&accepted(stale), 2).await, Err(StoreError::Stale(_))));
        store.cancel(job, 3).await.expect("cancelled");
        assert!(matches!(store.accept(&accepted(key), 4).await, Err(StoreError::Stale(_))));
        assert_eq!(store.job(job).await.expect("read").state, JobState::Cancelled);
        assert!(store.artifacts(job).await.expect("read").is_empty());
    }

    #[tokio::test]
    async fn a_leased_job_is_not_leased_again() {
        let (_folder, store) = store().await;
        let job = store.submit(&build(), 1).await.expect("submitted").jobs[0];
        store.lease(job, "here", 0, 100).await.expect("leased");
        let again = store.lease(job, "there", 0, 100).await;
        assert!(matches!(again, Err(StoreError::Illegal { .. })));
    }

    #[tokio::test]
    async fn a_failure_is_kept_with_its_hint() {
        let (_folder, store) = store().await;
        let job = store.submit(&build(), 1).await.expect("submitted").jobs[0];
        let key = store.lease(job, "here", 0, 100).await.expect("leased");
        let report = Report {
            fault: Fault::Package,
            error: "it broke".to_owned(),
            causes: vec!["zlib.h is missing".to_owned()],
            hint: Some("add 'BuildRequires: zlib-devel'".to_owned()),
        };
        store.fail(key, &report, 5).await.expect("stored");
        assert_eq!(store.job(job).await.expect("read").report, Some(report));
    }

    #[tokio::test]
    async fn two_processes_write_one_store() {
        let (folder, store) = store().await;
        let other = Store::open(&folder.path().join("kiln.db")).await.expect("opened again");
        let mut tasks = tokio::task::JoinSet::new();
        for index in 0..20 {
            let store = if index % 2 == 0 { store.clone() } else { other.clone() };
            tasks.spawn(async move { store.submit(&build(), index).await });
        }
        let results = tasks.join_all().await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
}
