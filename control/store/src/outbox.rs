//! What is to be told to others: written in the transaction of the change that it tells of, and
//! taken out when it has arrived. So it arrives at least once, whatever is killed when.

use kiln_model::JobId;
use sqlx::Row;

use crate::database::Write;
use crate::{Store, StoreError};

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It waits.
    Queued,
    /// A worker is at it.
    Began,
    /// It is built, and nothing of it is to be published.
    Built,
    /// What it made is published.
    Published,
    /// It failed.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

/// Something to be told, to a listener or to the forge of a hook.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its number.
    pub id: i64,
    /// Which listener.
    pub listener: Option<i64>,
    /// Which hook's forge.
    pub hook: Option<i64>,
    /// Of which job.
    pub job: JobId,
    /// What became of it.
    pub what: What,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// How often it was tried to tell it, this time included.
    pub tries: i64,
}

impl What {
    /// Each.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Began, Self::Built, Self::Published, Self::Failed, Self::Cancelled];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Began => "began",
            Self::Built => "built",
            Self::Published => "published",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.word() == word)
    }
}

/// Writes down what becomes of a job, for all who are told.
pub(crate) async fn announce(
    write: &mut Write,
    job: JobId,
    what: What,
    now: i64,
) -> Result<(), StoreError> {
    let text = "INSERT INTO outbox (listener, hook, job, what, at, next_at)
        SELECT listeners.id, CAST(NULL AS BIGINT), jobs.id, $2, $3, $3 FROM jobs
        JOIN listeners ON listeners.project = jobs.project
        WHERE jobs.id = $1 AND listeners.disabled_at IS NULL
        UNION ALL
        SELECT CAST(NULL AS BIGINT), hooks.id, jobs.id, $2, $3, $3 FROM jobs
        JOIN builds ON builds.id = jobs.build JOIN hooks ON hooks.id = builds.hook
        WHERE jobs.id = $1 AND hooks.token IS NOT NULL AND hooks.removed_at IS NULL";
    write.run(sqlx::query(text).bind(job.0).bind(what.word()).bind(now)).await.map(drop)
}

impl Store {
    /// Takes up to `count` messages whose time has come; nobody else gets them before `until`.
    pub async fn take_messages(
        &self,
        count: i64,
        now: i64,
        until: i64,
    ) -> Result<Vec<Message>, StoreError> {
        let mut write = self.write("taking messages").await?;
        let question = "SELECT * FROM outbox WHERE next_at <= $1 ORDER BY id LIMIT $2";
        let text = write.skipping(question);
        let rows = write.list(sqlx::query(text).bind(now).bind(count)).await?;
        let mut messages = Vec::new();
        for row in rows {
            let wrong = StoreError::Row { what: "a message", field: "what" };
            let message = Message {
                id: row.get("id"),
                listener: row.get("listener"),
                hook: row.get("hook"),
                job: JobId(row.get("job")),
                what: What::from_word(row.get("what")).ok_or(wrong)?,
                at: row.get("at"),
                tries: row.get::<i64, _>("tries") + 1,
            };
            let text = "UPDATE outbox SET tries = $1, next_at = $2 WHERE id = $3";
            let update = sqlx::query(text).bind(message.tries).bind(until).bind(message.id);
            write.run(update).await?;
            messages.push(message);
        }
        write.commit().await?;
        Ok(messages)
    }

    /// A message has arrived, or is of no use any more.
    pub async fn drop_message(&self, message: &Message, arrived: bool) -> Result<(), StoreError> {
        let mut write = self.write("taking a message out").await?;
        let text = "DELETE FROM outbox WHERE id = $1";
        write.run(sqlx::query(text).bind(message.id)).await?;
        if let (true, Some(listener)) = (arrived, message.listener) {
            let text = "UPDATE listeners SET failing_at = NULL WHERE id = $1";
            write.run(sqlx::query(text).bind(listener)).await?;
        }
        write.commit().await
    }

    /// A message did not arrive: it is tried again at `next_at`, or never where there is none. A
    /// listener at whom nothing has arrived since `patience` is told nothing any more; tells whether
    /// that is so now.
    pub async fn failed_message(
        &self,
        message: &Message,
        next_at: Option<i64>,
        now: i64,
        patience: i64,
    ) -> Result<bool, StoreError> {
        let mut write = self.write("noting that a message did not arrive").await?;
        match next_at {
            Some(next_at) => {
                let text = "UPDATE outbox SET next_at = $1 WHERE id = $2";
                write.run(sqlx::query(text).bind(next_at).bind(message.id)).await?;
            }
            None => {
                let text = "DELETE FROM outbox WHERE id = $1";
                write.run(sqlx::query(text).bind(message.id)).await?;
            }
        }
        let Some(listener) = message.listener else {
            write.commit().await?;
            return Ok(false);
        };
        let text = "UPDATE listeners SET failing_at = $1 WHERE id = $2 AND failing_at IS NULL";
        write.run(sqlx::query(text).bind(now).bind(listener)).await?;
        let text = "UPDATE listeners SET disabled_at = $1
                    WHERE id = $2 AND failing_at < $3 AND disabled_at IS NULL";
        let update = sqlx::query(text).bind(now).bind(listener).bind(now - patience);
        let is_disabled = write.run(update).await? == 1;
        if is_disabled {
            let text = "DELETE FROM outbox WHERE listener = $1";
            write.run(sqlx::query(text).bind(listener)).await?;
        }
        write.commit().await?;
        Ok(is_disabled)
    }
}
