//! What pages show of the queue: what is in it, and how it went lately.

use kiln_model::{JobId, JobState, ProjectId, UserId};
use sqlx::{AssertSqlSafe, Row};

use crate::{Store, StoreError};

/// A job that waits or is being built.
#[derive(Debug, Clone)]
pub struct InQueue {
    /// Which.
    pub job: JobId,
    /// What a person calls its build; nothing where who asks may not see it.
    pub title: Option<String>,
    /// The project, likewise.
    pub project: Option<String>,
    /// The target.
    pub target: String,
    /// Whether somebody builds it.
    pub is_leased: bool,
    /// Who, if somebody does.
    pub worker: Option<String>,
    /// When it was queued, in milliseconds since 1970.
    pub queued_at: i64,
    /// When its present attempt began.
    pub leased_at: Option<i64>,
    /// How many jobs it waits for.
    pub waits: i64,
}

/// A job that ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// When it was queued, in milliseconds since 1970; the others likewise.
    pub queued_at: i64,
    /// When its last attempt began, if one did.
    pub began_at: Option<i64>,
    /// When it ended.
    pub ended_at: i64,
    /// How.
    pub state: JobState,
}

/// A job that is being built, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Whose.
    pub project: ProjectId,
    /// For what.
    pub target: String,
    /// When its last attempt began, in milliseconds since 1970.
    pub began_at: i64,
    /// When it ended; nothing where it hasn't.
    pub ended_at: Option<i64>,
}

impl Store {
    /// The jobs of projects that are being built, and the last `count` whose builds ended, the
    /// newest first.
    pub async fn ran(&self, count: i64) -> Result<Vec<Ran>, StoreError> {
        const COLUMNS: &str = "SELECT project, target, leased_at, ended_at FROM jobs";
        let leased = AssertSqlSafe(format!(
            "{COLUMNS} WHERE state = 'leased' AND project IS NOT NULL AND leased_at IS NOT NULL"
        ));
        let ended = AssertSqlSafe(format!(
            "{COLUMNS} WHERE ended_at IS NOT NULL AND project IS NOT NULL
             AND leased_at IS NOT NULL AND state IN ('built', 'failed')
             ORDER BY ended_at DESC LIMIT $1"
        ));
        let mut rows = self.list("listing what is being built", sqlx::query(leased)).await?;
        let query = sqlx::query(ended).bind(count);
        rows.extend(self.list("listing what was built", query).await?);
        let ran = |row: &sqlx::any::AnyRow| Ran {
            project: ProjectId(row.get("project")),
            target: row.get("target"),
            began_at: row.get("leased_at"),
            ended_at: row.get("ended_at"),
        };
        Ok(rows.iter().map(ran).collect())
    }

    /// The jobs of projects that are being built or wait, those first, as this user may see
    /// them: all where `sees_all`. At most `count`.
    pub async fn in_queue(
        &self,
        seen_by: Option<UserId>,
        sees_all: bool,
        count: i64,
    ) -> Result<Vec<InQueue>, StoreError> {
        const TEXT: &str = "SELECT jobs.id, jobs.target, jobs.state, jobs.worker, jobs.queued_at,
            jobs.leased_at, jobs.waits, builds.title, projects.name AS project,
            CAST(CASE WHEN $1 = 1 OR projects.is_public = 1 OR EXISTS
                (SELECT 1 FROM members WHERE members.project = projects.id
                 AND members.member = $2) THEN 1 ELSE 0 END AS BIGINT) AS is_seen
            FROM jobs JOIN builds ON builds.id = jobs.build
            JOIN projects ON projects.id = jobs.project
            WHERE jobs.state IN ('leased', 'queued')
            ORDER BY jobs.state, jobs.background, jobs.waits, jobs.id LIMIT $3";
        let query = sqlx::query(TEXT)
            .bind(i64::from(sees_all))
            .bind(seen_by.map_or(0, |user| user.0))
            .bind(count);
        let rows = self.list("listing the queue", query).await?;
        let job = |row: &sqlx::any::AnyRow| {
            let is_seen = row.get::<i64, _>("is_seen") == 1;
            let is_leased = row.get::<&str, _>("state") == JobState::Leased.word();
            InQueue {
                job: JobId(row.get("id")),
                title: is_seen.then(|| row.get("title")),
                project: is_seen.then(|| row.get("project")),
                target: row.get("target"),
                is_leased,
                worker: row.get::<Option<String>, _>("worker").filter(|_| is_leased),
                queued_at: row.get("queued_at"),
                leased_at: row.get("leased_at"),
                waits: row.get("waits"),
            }
        };
        Ok(rows.iter().map(job).collect())
    }

    /// The jobs of projects that ended since a moment, the newest first: at most `count`.
    pub async fn ended(&self, since: i64, count: i64) -> Result<Vec<Ended>, StoreError> {
        let text = "SELECT queued_at, leased_at, ended_at, state FROM jobs
                    WHERE ended_at >= $1 AND project IS NOT NULL
                    ORDER BY ended_at DESC LIMIT $2";
        let query = sqlx::query(text).bind(since).bind(count);
        let rows = self.list("listing what ended", query).await?;
        let wrong = || StoreError::Row { what: "a job", field: "state" };
        rows.iter()
            .map(|row| {
                Ok(Ended {
                    queued_at: row.get("queued_at"),
                    began_at: row.get("leased_at"),
                    ended_at: row.get("ended_at"),
                    state: JobState::from_word(row.get("state")).ok_or_else(wrong)?,
                })
            })
            .collect()
    }
}
