//! What was published: snapshots of a project's repositories.

use kiln_model::{Digest, JobId, JobState, ProjectId, Report};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::attestations::{NewAttestation, attest};
use crate::database::Write;
use crate::jobs::{JOB, end, end_followers, record};
use crate::outbox::{What, announce};
use crate::records::JobRecord;
use crate::{Store, StoreError};

/// A snapshot to be published.
#[derive(Debug, Clone)]
pub struct NewSnapshot {
    /// The project.
    pub project: ProjectId,
    /// The target.
    pub target: String,
    /// The newest one that it was made from; 0 for none.
    pub from: i64,
    /// What made it, for people to read.
    pub cause: String,
    /// Its `repomd.xml`.
    pub repomd: Digest,
    /// The list of its files.
    pub files: Digest,
    /// The list of its packages.
    pub packages: Digest,
    /// How many packages it has.
    pub count: i64,
    /// Packages that the one before hasn't; one that was published earlier with the same content
    /// as it was built may be signed anew.
    pub fresh: Vec<Published>,
    /// The jobs whose packages are in it from now on.
    pub jobs: Vec<JobId>,
    /// What is said of these jobs: what is published is attested, and neither is without the other.
    pub attestations: Vec<NewAttestation>,
}

/// A package that a repository holds or has held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its file name.
    pub name: String,
    /// As it was built.
    pub digest: Digest,
    /// As it was signed.
    pub signed: Digest,
    /// The size of the latter, in bytes.
    pub size: u64,
    /// The job that built it.
    pub job: JobId,
}

/// A snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotRecord {
    /// Its number in its repository, from 1.
    pub number: i64,
    /// When it was published, in milliseconds since 1970.
    pub made_at: i64,
    /// What made it.
    pub cause: String,
    /// Its `repomd.xml`.
    pub repomd: Digest,
    /// The list of its files.
    pub files: Digest,
    /// The list of its packages.
    pub packages: Digest,
    /// How many packages it has.
    pub count: i64,
}

impl Store {
    /// The jobs whose packages are to be published and are not yet, the oldest first.
    pub async fn unpublished(&self) -> Result<Vec<JobRecord>, StoreError> {
        let text = AssertSqlSafe(format!(
            "{JOB} WHERE jobs.state = 'built' AND jobs.publishes = 1 AND jobs.snapshot IS NULL
             ORDER BY jobs.id"
        ));
        let rows = self.list("looking for what is to be published", sqlx::query(text)).await?;
        rows.iter().map(record).collect()
    }

    /// Publishes a snapshot: from here on it is the newest. Jobs that waited for its jobs can
    /// begin. Gives its number.
    pub async fn publish(&self, new: &NewSnapshot, now: i64) -> Result<i64, StoreError> {
        let mut write = self.write_for_good("publishing a snapshot").await?;
        let text = write.locking("SELECT snapshot FROM repos WHERE project = $1 AND target = $2");
        let find = sqlx::query(text).bind(new.project.0).bind(&new.target);
        let none = || StoreError::None { what: "target of this project", name: new.target.clone() };
        let newest: i64 = write.find(find).await?.ok_or_else(none)?.get(0);
        if newest != new.from {
            return Err(StoreError::Overtaken { target: new.target.clone() });
        }
        let number = insert(&mut write, new, newest + 1, now).await?;
        for package in &new.fresh {
            add(&mut write, new, package).await?;
        }
        for job in &new.jobs {
            let text = "UPDATE jobs SET snapshot = $1 WHERE id = $2 AND state = 'built'";
            write.run(sqlx::query(text).bind(number).bind(job.0)).await?;
            release(&mut write, *job).await?;
            announce(&mut write, *job, What::Published, now).await?;
        }
        for attestation in &new.attestations {
            attest(&mut write, attestation, now).await?;
        }
        write.commit().await?;
        Ok(number)
    }

    /// Ends a job that was built and whose packages cannot be published.
    pub async fn refuse(&self, job: JobId, why: &Report, now: i64) -> Result<(), StoreError> {
        let mut write = self.write("refusing to publish").await?;
        end(&mut write, job, JobState::Failed, Some(why), now).await?;
        end_followers(&mut write, job, now).await?;
        write.commit().await
    }

    /// A package of a repository by its file name, in whichever snapshot it is.
    pub async fn published(
        &self,
        project: ProjectId,
        target: &str,
        name: &str,
    ) -> Result<Option<Published>, StoreError> {
        let text = "SELECT * FROM published WHERE project = $1 AND target = $2 AND name = $3";
        let query = sqlx::query(text).bind(project.0).bind(target).bind(name);
        let row = self.find("looking for a package", query).await?;
        row.as_ref().map(published).transpose()
    }

    /// The newest snapshot of a repository.
    pub async fn newest(
        &self,
        project: ProjectId,
        target: &str,
    ) -> Result<Option<SnapshotRecord>, StoreError> {
        let text = "SELECT snapshots.* FROM snapshots
            JOIN repos ON repos.project = snapshots.project AND repos.target = snapshots.target
                      AND repos.snapshot = snapshots.number
            WHERE snapshots.project = $1 AND snapshots.target = $2";
        let query = sqlx::query(text).bind(project.0).bind(target);
        let row = self.find("reading a snapshot", query).await?;
        row.as_ref().map(snapshot).transpose()
    }

    /// A snapshot by its number.
    pub async fn snapshot(
        &self,
        project: ProjectId,
        target: &str,
        number: i64,
    ) -> Result<Option<SnapshotRecord>, StoreError> {
        let text = "SELECT * FROM snapshots WHERE project = $1 AND target = $2 AND number = $3";
        let query = sqlx::query(text).bind(project.0).bind(target).bind(number);
        let row = self.find("reading a snapshot", query).await?;
        row.as_ref().map(snapshot).transpose()
    }

    /// The snapshots of a repository, the newest first.
    pub async fn snapshots(
        &self,
        project: ProjectId,
        target: &str,
        count: i64,
    ) -> Result<Vec<SnapshotRecord>, StoreError> {
        let text = "SELECT * FROM snapshots WHERE project = $1 AND target = $2
                    ORDER BY number DESC LIMIT $3";
        let query = sqlx::query(text).bind(project.0).bind(target).bind(count);
        self.list("listing snapshots", query).await?.iter().map(snapshot).collect()
    }
}

async fn insert(
    write: &mut Write,
    new: &NewSnapshot,
    number: i64,
    now: i64,
) -> Result<i64, StoreError> {
    let text = "INSERT INTO snapshots
        (project, target, number, made_at, cause, repomd, files, packages, count)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let insert = sqlx::query(text)
        .bind(new.project.0)
        .bind(&new.target)
        .bind(number)
        .bind(now)
        .bind(&new.cause)
        .bind(new.repomd.to_string())
        .bind(new.files.to_string())
        .bind(new.packages.to_string())
        .bind(new.count);
    write.run(insert).await?;
    let text = "UPDATE repos SET snapshot = $1 WHERE project = $2 AND target = $3";
    write.run(sqlx::query(text).bind(number).bind(new.project.0).bind(&new.target)).await?;
    Ok(number)
}

async fn add(write: &mut Write, new: &NewSnapshot, one: &Published) -> Result<(), StoreError> {
    let text = "INSERT INTO published (project, target, name, digest, signed, size, job)
                VALUES ($1, $2, $3, $4, $5, $6, $7)
                ON CONFLICT (project, target, name) DO UPDATE SET signed = $5, size = $6
                WHERE published.digest = $4 RETURNING size";
    let insert = sqlx::query(text)
        .bind(new.project.0)
        .bind(&new.target)
        .bind(&one.name)
        .bind(one.digest.to_string())
        .bind(one.signed.to_string())
        .bind(one.size.cast_signed())
        .bind(one.job.0);
    let taken = || StoreError::Taken { what: "package", name: one.name.clone() };
    write.find(insert).await?.ok_or_else(taken).map(drop)
}

/// Lets those begin that waited for a job alone.
async fn release(write: &mut Write, job: JobId) -> Result<(), StoreError> {
    let text = "UPDATE jobs SET waits = waits - 1
                WHERE id IN (SELECT job FROM waits WHERE waits_for = $1)";
    write.run(sqlx::query(text).bind(job.0)).await?;
    let text = "DELETE FROM waits WHERE waits_for = $1";
    write.run(sqlx::query(text).bind(job.0)).await.map(drop)
}

fn digest(row: &AnyRow, field: &'static str) -> Result<Digest, StoreError> {
    let wrong = |_| StoreError::Row { what: "a snapshot", field };
    row.get::<&str, _>(field).parse().map_err(wrong)
}

fn published(row: &AnyRow) -> Result<Published, StoreError> {
    Ok(Published {
        name: row.get("name"),
        digest: digest(row, "digest")?,
        signed: digest(row, "signed")?,
        size: row.get::<i64, _>("size").unsigned_abs(),
        job: JobId(row.get("job")),
    })
}

fn snapshot(row: &AnyRow) -> Result<SnapshotRecord, StoreError> {
    Ok(SnapshotRecord {
        number: row.get("number"),
        made_at: row.get("made_at"),
        cause: row.get("cause"),
        repomd: digest(row, "repomd")?,
        files: digest(row, "files")?,
        packages: digest(row, "packages")?,
        count: row.get("count"),
    })
}
