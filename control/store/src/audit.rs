//! Who did what, and requests that were answered already.

use kiln_model::UserId;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Store, StoreError};

/// Something that somebody did and that others may want to know of.
#[derive(Debug, Clone)]
pub struct Deed<'a> {
    /// Who: a user, a worker, or kiln.
    pub actor: &'a str,
    /// What, as `project create`.
    pub action: &'a str,
    /// To what.
    pub subject: &'a str,
    /// Anything else that there is to say.
    pub detail: &'a str,
}

/// A line of the audit log.
#[derive(Debug, Clone)]
pub struct Audited {
    /// Its number.
    pub id: i64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// Anything else that there is to say.
    pub detail: String,
}

impl Store {
    /// Notes a deed.
    pub async fn note(&self, deed: &Deed<'_>, now: i64) -> Result<(), StoreError> {
        let text = "INSERT INTO audit (at, actor, action, subject, detail)
                    VALUES ($1, $2, $3, $4, $5)";
        let query = sqlx::query(text)
            .bind(now)
            .bind(deed.actor)
            .bind(deed.action)
            .bind(deed.subject)
            .bind(deed.detail);
        self.change("noting what was done", query).await.map(drop)
    }

    /// The audit log, the newest line first: those before `before`, at most `count`.
    pub async fn audit(&self, before: Option<i64>, count: i64) -> Result<Vec<Audited>, StoreError> {
        let text = "SELECT * FROM audit WHERE $1 IS NULL OR id < $1 ORDER BY id DESC LIMIT $2";
        let query = sqlx::query(text).bind(before).bind(count);
        let audited = |row: &AnyRow| Audited {
            id: row.get("id"),
            at: row.get("at"),
            actor: row.get("actor"),
            action: row.get("action"),
            subject: row.get("subject"),
            detail: row.get("detail"),
        };
        Ok(self.list("reading the audit log", query).await?.iter().map(audited).collect())
    }

    /// What a request with that key was answered, if its owner made it before.
    pub async fn answer_to(&self, owner: UserId, key: &str) -> Result<Option<String>, StoreError> {
        let text = "SELECT answer FROM answered WHERE owner = $1 AND idempotency = $2";
        let query = sqlx::query(text).bind(owner.0).bind(key);
        Ok(self.find("looking for an answer", query).await?.map(|row| row.get(0)))
    }

    /// Keeps an answer for those who ask again.
    pub async fn keep_answer(
        &self,
        owner: UserId,
        key: &str,
        answer: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        let text = "INSERT INTO answered (owner, idempotency, at, answer) VALUES ($1, $2, $3, $4)
                    ON CONFLICT DO NOTHING";
        let query = sqlx::query(text).bind(owner.0).bind(key).bind(now).bind(answer);
        self.change("keeping an answer", query).await.map(drop)
    }
}
