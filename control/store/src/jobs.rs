use kiln_model::{
    BuildId, Digest, Epoch, JobEvent, JobId, JobState, LeaseKey, Nevra, Report, Stage,
};
use kiln_wire::worker::Source;
use serde_json::to_string as to_json;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, Sqlite, Transaction};

use crate::records::{Accepted, Artifact, JobRecord, Kept, NewBuild, StageRecord, Submitted};
use crate::{Store, StoreError, failed};

type Write = Transaction<'static, Sqlite>;

const JSON: &str = "types of our own always serialise";

impl Store {
    /// Stores a build with its jobs, each queued. `now` is in milliseconds since 1970, here and
    /// below.
    pub async fn submit(&self, build: &NewBuild, now: i64) -> Result<Submitted, StoreError> {
        const DOING: &str = "storing a build";
        let mut write = self.write(DOING).await?;
        let source = to_json(&build.source).expect(JSON);
        let row = sqlx::query(
            "INSERT INTO builds (submitted_at, title, source) VALUES (?, ?, ?) RETURNING id",
        )
        .bind(now)
        .bind(&build.title)
        .bind(source)
        .fetch_one(&mut *write)
        .await
        .map_err(failed(DOING))?;
        let id = BuildId(row.get(0));
        let mut jobs = Vec::new();
        for job in &build.jobs {
            let row = sqlx::query(
                "INSERT INTO jobs (build, settings, limits, state, queued_at)
                 VALUES (?, ?, ?, ?, ?) RETURNING id",
            )
            .bind(id.0)
            .bind(to_json(&job.settings).expect(JSON))
            .bind(to_json(&job.limits).expect(JSON))
            .bind(JobState::Queued.word())
            .bind(now)
            .fetch_one(&mut *write)
            .await
            .map_err(failed(DOING))?;
            jobs.push(JobId(row.get(0)));
        }
        write.commit().await.map_err(failed(DOING))?;
        Ok(Submitted { build: id, jobs })
    }

    /// A job as it stands.
    pub async fn job(&self, id: JobId) -> Result<JobRecord, StoreError> {
        let row = sqlx::query(
            "SELECT jobs.*, builds.title, builds.source FROM jobs
             JOIN builds ON builds.id = jobs.build WHERE jobs.id = ?",
        )
        .bind(id.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("reading a job"))?
        .ok_or(StoreError::NoJob(id))?;
        record(&row)
    }

    /// Gives a worker the lease for a queued job until a moment.
    pub async fn lease(&self, id: JobId, worker: &str, until: i64) -> Result<LeaseKey, StoreError> {
        const DOING: &str = "leasing a job";
        let mut write = self.write(DOING).await?;
        let (state, epoch) = standing(&mut write, id, DOING).await?;
        let state = step(id, state, JobEvent::Lease)?;
        let key = LeaseKey { job: id, epoch: Epoch(epoch.0 + 1) };
        sqlx::query(
            "UPDATE jobs SET state = ?, epoch = ?, worker = ?, lease_until = ? WHERE id = ?",
        )
        .bind(state.word())
        .bind(key.epoch.0)
        .bind(worker)
        .bind(until)
        .bind(id.0)
        .execute(&mut *write)
        .await
        .map_err(failed(DOING))?;
        write.commit().await.map_err(failed(DOING))?;
        Ok(key)
    }

    /// Stores what a claim became. The one way for a job to be built.
    pub async fn accept(&self, accepted: &Accepted, now: i64) -> Result<(), StoreError> {
        const DOING: &str = "storing artifacts";
        let mut write = self.write(DOING).await?;
        let state = held(&mut write, accepted.key, JobEvent::Accept, DOING).await?;
        for artifact in &accepted.artifacts {
            sqlx::query(
                "INSERT INTO artifacts (job, name, nevra, digest, size) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(accepted.key.job.0)
            .bind(&artifact.name)
            .bind(artifact.nevra.to_string())
            .bind(artifact.digest.to_string())
            .bind(artifact.size.cast_signed())
            .execute(&mut *write)
            .await
            .map_err(failed(DOING))?;
        }
        sqlx::query("UPDATE jobs SET state = ?, ended_at = ?, lock = ? WHERE id = ?")
            .bind(state.word())
            .bind(now)
            .bind(accepted.lock.to_string())
            .bind(accepted.key.job.0)
            .execute(&mut *write)
            .await
            .map_err(failed(DOING))?;
        write.commit().await.map_err(failed(DOING))
    }

    /// Ends a leased job without artifacts.
    pub async fn fail(&self, key: LeaseKey, report: &Report, now: i64) -> Result<(), StoreError> {
        const DOING: &str = "storing a failure";
        let mut write = self.write(DOING).await?;
        let state = held(&mut write, key, JobEvent::Fail, DOING).await?;
        sqlx::query("UPDATE jobs SET state = ?, ended_at = ?, report = ? WHERE id = ?")
            .bind(state.word())
            .bind(now)
            .bind(to_json(report).expect(JSON))
            .bind(key.job.0)
            .execute(&mut *write)
            .await
            .map_err(failed(DOING))?;
        write.commit().await.map_err(failed(DOING))
    }

    /// Ends a job that is not ended, whoever holds it: its worker's next word is stale.
    pub async fn cancel(&self, id: JobId, now: i64) -> Result<(), StoreError> {
        const DOING: &str = "cancelling a job";
        let mut write = self.write(DOING).await?;
        let (state, _) = standing(&mut write, id, DOING).await?;
        let state = step(id, state, JobEvent::Cancel)?;
        sqlx::query("UPDATE jobs SET state = ?, ended_at = ? WHERE id = ?")
            .bind(state.word())
            .bind(now)
            .bind(id.0)
            .execute(&mut *write)
            .await
            .map_err(failed(DOING))?;
        write.commit().await.map_err(failed(DOING))
    }

    /// Notes a stage of the attempt that a lease is for.
    pub async fn note_stage(&self, key: LeaseKey, ended: &StageRecord) -> Result<(), StoreError> {
        const DOING: &str = "noting a stage";
        let mut write = self.write(DOING).await?;
        let (state, epoch) = standing(&mut write, key.job, DOING).await?;
        if state != JobState::Leased || epoch != key.epoch {
            return Err(StoreError::Stale(key));
        }
        sqlx::query(
            "INSERT INTO stages (job, epoch, position, stage, wall_ms, cpu_ms, note)
             SELECT ?1, ?2, COUNT(*), ?3, ?4, ?5, ?6 FROM stages WHERE job = ?1 AND epoch = ?2",
        )
        .bind(key.job.0)
        .bind(key.epoch.0)
        .bind(ended.stage.word())
        .bind(ended.wall_ms.cast_signed())
        .bind(ended.cpu_ms.cast_signed())
        .bind(&ended.note)
        .execute(&mut *write)
        .await
        .map_err(failed(DOING))?;
        write.commit().await.map_err(failed(DOING))
    }

    /// Notes that a lock was given out for the attempt that a lease is for.
    pub async fn note_lock(&self, key: LeaseKey, lock: Digest) -> Result<(), StoreError> {
        const DOING: &str = "noting a lock";
        let mut write = self.write(DOING).await?;
        let (state, epoch) = standing(&mut write, key.job, DOING).await?;
        if state != JobState::Leased || epoch != key.epoch {
            return Err(StoreError::Stale(key));
        }
        sqlx::query(
            "INSERT INTO locks (job, epoch, digest) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(key.job.0)
        .bind(key.epoch.0)
        .bind(lock.to_string())
        .execute(&mut *write)
        .await
        .map_err(failed(DOING))?;
        write.commit().await.map_err(failed(DOING))
    }

    /// The locks that were given out for an attempt.
    pub async fn locks_of(&self, key: LeaseKey) -> Result<Vec<Digest>, StoreError> {
        let rows = sqlx::query("SELECT digest FROM locks WHERE job = ? AND epoch = ?")
            .bind(key.job.0)
            .bind(key.epoch.0)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("reading the locks of an attempt"))?;
        let wrong = StoreError::Record { job: key.job, field: "lock" };
        let locks: Option<Vec<Digest>> =
            rows.iter().map(|row| row.get::<&str, _>("digest").parse().ok()).collect();
        locks.ok_or(wrong)
    }

    /// The stages of a job's last attempt, in the order in which they ended.
    pub async fn stages(&self, id: JobId) -> Result<Vec<StageRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT stage, wall_ms, cpu_ms, note FROM stages
             JOIN jobs ON jobs.id = stages.job AND jobs.epoch = stages.epoch
             WHERE stages.job = ? ORDER BY position",
        )
        .bind(id.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("reading stages"))?;
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
        let rows = sqlx::query(
            "SELECT name, nevra, digest, size FROM artifacts WHERE job = ? ORDER BY name",
        )
        .bind(id.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("reading artifacts"))?;
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

    /// What the kept builds name. What a lock names in turn is for the caller to read from it.
    pub async fn kept(&self) -> Result<Kept, StoreError> {
        const DOING: &str = "listing what is kept";
        let digests = |rows: Vec<SqliteRow>| -> Vec<Digest> {
            rows.iter().filter_map(|row| row.get::<&str, _>(0).parse().ok()).collect()
        };
        let locks = sqlx::query("SELECT DISTINCT digest FROM locks")
            .fetch_all(&self.pool)
            .await
            .map_err(failed(DOING))?;
        let artifacts = sqlx::query("SELECT DISTINCT digest FROM artifacts")
            .fetch_all(&self.pool)
            .await
            .map_err(failed(DOING))?;
        let sources = sqlx::query("SELECT source FROM builds")
            .fetch_all(&self.pool)
            .await
            .map_err(failed(DOING))?;
        let mut blobs = digests(artifacts);
        for row in &sources {
            match serde_json::from_str(row.get("source")) {
                Ok(Source::Srpm(file)) => blobs.push(file.digest),
                Ok(Source::Folder { files, .. }) => {
                    blobs.extend(files.iter().map(|file| file.digest));
                }
                Err(_) => {}
            }
        }
        Ok(Kept { locks: digests(locks), blobs })
    }

    /// Forgets the builds all of whose jobs ended before a moment; tells how many.
    pub async fn forget(&self, before: i64) -> Result<u64, StoreError> {
        const DOING: &str = "forgetting builds";
        let mut write = self.write(DOING).await?;
        let old = "SELECT build FROM jobs GROUP BY build
                   HAVING COUNT(*) = COUNT(ended_at) AND MAX(ended_at) < ?";
        for table in ["stages", "locks", "artifacts"] {
            let jobs = format!("SELECT id FROM jobs WHERE build IN ({old})");
            let text = format!("DELETE FROM {table} WHERE job IN ({jobs})");
            sqlx::query(AssertSqlSafe(text))
                .bind(before)
                .execute(&mut *write)
                .await
                .map_err(failed(DOING))?;
        }
        sqlx::query(AssertSqlSafe(format!("DELETE FROM jobs WHERE build IN ({old})")))
            .bind(before)
            .execute(&mut *write)
            .await
            .map_err(failed(DOING))?;
        let gone = sqlx::query("DELETE FROM builds WHERE id NOT IN (SELECT build FROM jobs)")
            .execute(&mut *write)
            .await
            .map_err(failed(DOING))?
            .rows_affected();
        write.commit().await.map_err(failed(DOING))?;
        Ok(gone)
    }
}

/// A job's state and epoch, read inside a transaction that will change them.
async fn standing(
    write: &mut Write,
    id: JobId,
    doing: &'static str,
) -> Result<(JobState, Epoch), StoreError> {
    let row = sqlx::query("SELECT state, epoch FROM jobs WHERE id = ?")
        .bind(id.0)
        .fetch_optional(&mut **write)
        .await
        .map_err(failed(doing))?
        .ok_or(StoreError::NoJob(id))?;
    let state = JobState::from_word(row.get("state"))
        .ok_or(StoreError::Record { job: id, field: "state" })?;
    Ok((state, Epoch(row.get("epoch"))))
}

fn step(id: JobId, state: JobState, event: JobEvent) -> Result<JobState, StoreError> {
    state.after(event).map_err(|source| StoreError::Illegal { job: id, source })
}

/// The state after an event that the holder of a lease causes; stale where it holds nothing.
async fn held(
    write: &mut Write,
    key: LeaseKey,
    event: JobEvent,
    doing: &'static str,
) -> Result<JobState, StoreError> {
    let (state, epoch) = standing(write, key.job, doing).await?;
    if epoch != key.epoch || state != JobState::Leased {
        return Err(StoreError::Stale(key));
    }
    step(key.job, state, event)
}

fn record(row: &SqliteRow) -> Result<JobRecord, StoreError> {
    let id = JobId(row.get("id"));
    let wrong = |field| StoreError::Record { job: id, field };
    let json = |field: &'static str| row.get::<&str, _>(field);
    let report: Option<&str> = row.get("report");
    let lock: Option<&str> = row.get("lock");
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
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kiln_model::{Fault, Limits};
    use kiln_wire::worker::{Settings, SourceFile};

    use super::*;
    use crate::NewJob;

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
        let job = NewJob { settings, limits: Limits::default() };
        NewBuild { title: "x".to_owned(), source: Source::Srpm(file), jobs: vec![job] }
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
        let key = store.lease(job, "here", 100).await.expect("leased");
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
        let key = store.lease(job, "here", 100).await.expect("leased");
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
        store.lease(job, "here", 100).await.expect("leased");
        let again = store.lease(job, "there", 100).await;
        assert!(matches!(again, Err(StoreError::Illegal { .. })));
    }

    #[tokio::test]
    async fn a_failure_is_kept_with_its_hint() {
        let (_folder, store) = store().await;
        let job = store.submit(&build(), 1).await.expect("submitted").jobs[0];
        let key = store.lease(job, "here", 100).await.expect("leased");
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
