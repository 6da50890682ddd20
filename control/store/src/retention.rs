//! What is let go of: old snapshots, and what old builds left.

use std::collections::BTreeSet;

use kiln_model::{Digest, JobId, ProjectId, ProjectSettings};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Store, StoreError};

/// A repository, and what its project says of how long things are kept.
#[derive(Debug, Clone)]
pub struct Retained {
    /// The project.
    pub project: ProjectId,
    /// The target.
    pub target: String,
    /// The newest snapshot; 0 before the first.
    pub newest: i64,
    /// The project's settings.
    pub settings: ProjectSettings,
}

/// A job that is over and whose leavings are kept.
#[derive(Debug, Clone, Copy)]
pub struct Leaving {
    /// Which.
    pub job: JobId,
    /// Of which project.
    pub project: ProjectId,
    /// When it ended, in milliseconds since 1970.
    pub ended_at: i64,
}

impl Store {
    /// Every repository of every project, those of removed ones too.
    pub async fn retained(&self) -> Result<Vec<Retained>, StoreError> {
        let text = "SELECT repos.project, repos.target, repos.snapshot, projects.settings
                    FROM repos JOIN projects ON projects.id = repos.project
                    ORDER BY repos.project, repos.target";
        let rows = self.list("listing repositories", sqlx::query(text)).await?;
        let wrong = |_| StoreError::Row { what: "a project", field: "settings" };
        let retained = |row: &AnyRow| {
            Ok(Retained {
                project: ProjectId(row.get("project")),
                target: row.get("target"),
                newest: row.get("snapshot"),
                settings: serde_json::from_str(row.get("settings")).map_err(wrong)?,
            })
        };
        rows.iter().map(retained).collect()
    }

    /// Forgets the snapshots of a repository with lower numbers than `below` that were made
    /// before a moment; never the newest. Tells how many.
    pub async fn drop_snapshots(
        &self,
        repo: &Retained,
        below: i64,
        before: i64,
    ) -> Result<u64, StoreError> {
        let text = "DELETE FROM snapshots WHERE project = $1 AND target = $2 AND number < $3
                    AND made_at < $4 AND number <> (SELECT snapshot FROM repos
                        WHERE repos.project = $1 AND repos.target = $2)";
        let query =
            sqlx::query(text).bind(repo.project.0).bind(&repo.target).bind(below).bind(before);
        self.change("forgetting snapshots", query).await
    }

    /// How many [`Store::drop_snapshots`] would forget.
    pub async fn count_snapshots(
        &self,
        repo: &Retained,
        below: i64,
        before: i64,
    ) -> Result<u64, StoreError> {
        let text = "SELECT COUNT(*) FROM snapshots WHERE project = $1 AND target = $2
                    AND number < $3 AND made_at < $4 AND number <> (SELECT snapshot FROM repos
                        WHERE repos.project = $1 AND repos.target = $2)";
        let query =
            sqlx::query(text).bind(repo.project.0).bind(&repo.target).bind(below).bind(before);
        let row = self.find("counting snapshots", query).await?;
        Ok(row.map_or(0, |row| row.get::<i64, _>(0).unsigned_abs()))
    }

    /// The lists of packages of all snapshots there are.
    pub async fn package_lists(&self) -> Result<Vec<Digest>, StoreError> {
        let query = sqlx::query("SELECT DISTINCT packages FROM snapshots");
        let rows = self.list("listing snapshots", query).await?;
        let wrong = |_| StoreError::Row { what: "a snapshot", field: "packages" };
        rows.iter().map(|row| row.get::<&str, _>(0).parse().map_err(wrong)).collect()
    }

    /// The jobs whose packages are among these, as they were signed.
    pub async fn jobs_behind(
        &self,
        signed: &BTreeSet<Digest>,
    ) -> Result<BTreeSet<JobId>, StoreError> {
        let query = sqlx::query("SELECT signed, job FROM published");
        let rows = self.list("listing packages", query).await?;
        let is_named = |row: &&AnyRow| {
            row.get::<&str, _>("signed").parse().is_ok_and(|digest| signed.contains(&digest))
        };
        Ok(rows.iter().filter(is_named).map(|row| JobId(row.get("job"))).collect())
    }

    /// The jobs of projects to which nothing will happen any more and whose leavings are kept.
    pub async fn leavings(&self) -> Result<Vec<Leaving>, StoreError> {
        let text = "SELECT id, project, ended_at FROM jobs
                    WHERE project IS NOT NULL AND faded_at IS NULL AND ended_at IS NOT NULL
                    AND (state IN ('failed', 'cancelled')
                         OR (state = 'built' AND (publishes = 0 OR snapshot IS NOT NULL)))";
        let rows = self.list("listing old builds", sqlx::query(text)).await?;
        let leaving = |row: &AnyRow| Leaving {
            job: JobId(row.get("id")),
            project: ProjectId(row.get("project")),
            ended_at: row.get("ended_at"),
        };
        Ok(rows.iter().map(leaving).collect())
    }

    /// Lets go of what jobs left: their results, locks and attestations are named no longer.
    pub async fn fade(&self, jobs: &[JobId], now: i64) -> Result<(), StoreError> {
        let mut write = self.write("letting go of old builds").await?;
        for job in jobs {
            // What was said of it stays in the log, by its digest.
            for text in [
                "DELETE FROM artifacts WHERE job = $1",
                "DELETE FROM locks WHERE job = $1",
                "DELETE FROM attestations WHERE job = $1",
            ] {
                write.run(sqlx::query(text).bind(job.0)).await?;
            }
            let text = "UPDATE jobs SET lock = NULL, faded_at = $1 WHERE id = $2";
            write.run(sqlx::query(text).bind(now).bind(job.0)).await?;
        }
        write.commit().await
    }

    /// The jobs whose logs are kept.
    pub async fn unfaded(&self) -> Result<BTreeSet<JobId>, StoreError> {
        let query = sqlx::query("SELECT id FROM jobs WHERE faded_at IS NULL");
        let rows = self.list("listing jobs", query).await?;
        Ok(rows.iter().map(|row| JobId(row.get(0))).collect())
    }
}
