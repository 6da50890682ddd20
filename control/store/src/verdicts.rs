//! Rebuilds: which job builds which again, and what came of it.

use kiln_model::{Digest, JobId, Verdict};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::builds::submit;
use crate::records::{NewBuild, Submitted};
use crate::{Store, StoreError};

/// A rebuild of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictRecord {
    /// The job that builds it again.
    pub rebuild: JobId,
    /// The job that built it first.
    pub job: JobId,
    /// When it was asked for, in milliseconds since 1970.
    pub asked_at: i64,
    /// When it was judged, likewise.
    pub ended_at: Option<i64>,
    /// What it came to.
    pub verdict: Option<Verdict>,
    /// The digest of the proof, in the store of blobs.
    pub proof: Option<Digest>,
}

/// A worker that gets a job only when no other one has taken it until a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spared {
    /// The worker's name.
    pub worker: String,
    /// The moment, in milliseconds since 1970.
    pub until: i64,
}

const COLUMNS: &str = "SELECT rebuild, job, asked_at, ended_at, verdict, proof FROM verdicts";

impl Store {
    /// Stores the rebuild of a job: a build with one job, queued.
    pub async fn submit_rebuild(
        &self,
        build: &NewBuild,
        job: JobId,
        spared: Option<&Spared>,
        now: i64,
    ) -> Result<Submitted, StoreError> {
        let mut write = self.write_for_good("storing a rebuild").await?;
        let submitted = submit(&mut write, build, now).await?;
        let [rebuild] = submitted.jobs[..] else {
            return Err(StoreError::Row { what: "a rebuild", field: "jobs" });
        };
        let text = "INSERT INTO verdicts (rebuild, job, asked_at) VALUES ($1, $2, $3)";
        write.run(sqlx::query(text).bind(rebuild.0).bind(job.0).bind(now)).await?;
        if let Some(Spared { worker, until }) = spared {
            let text = "UPDATE jobs SET spared = $1, spared_until = $2 WHERE id = $3";
            write.run(sqlx::query(text).bind(worker).bind(*until).bind(rebuild.0)).await?;
        }
        write.commit().await?;
        Ok(submitted)
    }

    /// The rebuilds of a job, the newest first.
    pub async fn verdicts_of(&self, job: JobId) -> Result<Vec<VerdictRecord>, StoreError> {
        let text = sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE job = $1 ORDER BY rebuild DESC"));
        let rows = self.list("listing rebuilds", sqlx::query(text).bind(job.0)).await?;
        rows.iter().map(record).collect()
    }

    /// What is said of a rebuild; nothing where the job is none.
    pub async fn verdict_by(&self, rebuild: JobId) -> Result<Option<VerdictRecord>, StoreError> {
        let text = sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE rebuild = $1"));
        let row = self.find("reading a rebuild", sqlx::query(text).bind(rebuild.0)).await?;
        row.as_ref().map(record).transpose()
    }

    /// The rebuilds that are over and not judged, the oldest first.
    pub async fn unjudged(&self) -> Result<Vec<VerdictRecord>, StoreError> {
        let text = sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE verdict IS NULL AND EXISTS (SELECT 1 FROM jobs
             WHERE jobs.id = verdicts.rebuild AND jobs.state IN ('built', 'failed', 'cancelled'))
             ORDER BY rebuild"
        ));
        self.list("listing rebuilds", sqlx::query(text)).await?.iter().map(record).collect()
    }

    /// The rebuilds that were judged and of which nothing is signed yet, the oldest first: of those
    /// that were compared, since that nothing came of one says nothing of the build.
    pub async fn unattested_verdicts(&self, count: i64) -> Result<Vec<VerdictRecord>, StoreError> {
        let text = sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE attested = 0
             AND verdict IN ('reproduced', 'equivalent', 'diverged', 'other-packages')
             AND EXISTS (SELECT 1 FROM jobs
                         WHERE jobs.id = verdicts.job AND jobs.faded_at IS NULL)
             ORDER BY rebuild LIMIT $1"
        ));
        let rows = self.list("listing rebuilds", sqlx::query(text).bind(count)).await?;
        rows.iter().map(record).collect()
    }

    /// Notes what a rebuild came to. Said twice, the first counts.
    pub async fn judge(
        &self,
        rebuild: JobId,
        verdict: Verdict,
        proof: Digest,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut write = self.write("noting a verdict").await?;
        let text = "UPDATE verdicts SET verdict = $1, proof = $2, ended_at = $3
                    WHERE rebuild = $4 AND verdict IS NULL";
        let update = sqlx::query(text)
            .bind(verdict.word())
            .bind(proof.to_string())
            .bind(now)
            .bind(rebuild.0);
        write.run(update).await?;
        write.commit().await
    }
}

fn record(row: &AnyRow) -> Result<VerdictRecord, StoreError> {
    let wrong = |field| StoreError::Row { what: "a rebuild", field };
    let verdict: Option<&str> = row.get("verdict");
    let proof: Option<&str> = row.get("proof");
    let word = |word: &str| Verdict::from_word(word).ok_or(wrong("verdict"));
    Ok(VerdictRecord {
        rebuild: JobId(row.get("rebuild")),
        job: JobId(row.get("job")),
        asked_at: row.get("asked_at"),
        ended_at: row.get("ended_at"),
        verdict: verdict.map(word).transpose()?,
        proof: proof.map(str::parse).transpose().map_err(|_| wrong("proof"))?,
    })
}
