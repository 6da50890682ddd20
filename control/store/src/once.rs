//! Requests that were made already: made again, they do nothing more.
//!
//! A client that heard no answer can't know whether its request arrived. It asks once more with
//! the same key, and what came of the first is told again. The key is noted in the transaction
//! that does what is asked, so that no moment is left at which one is done and the other isn't.

use kiln_model::{Digest, UserId};
use serde::{Deserialize, Serialize};
use sqlx::Row;

use crate::database::Write;
use crate::jobs::JSON;
use crate::{Store, StoreError};

/// A request that is to be carried out once, however often it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Who makes it.
    pub owner: UserId,
    /// What its client calls it.
    pub key: String,
    /// What is asked for: one key stands for one request.
    pub request: Digest,
}

/// What is kept of a request: what it asked for, and the ids of what was made.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    request: Digest,
    made: Vec<i64>,
}

impl Store {
    /// Forgets the requests that were made before a moment.
    pub async fn sweep_answers(&self, before: i64) -> Result<u64, StoreError> {
        let text = "DELETE FROM answered WHERE at < $1";
        self.change("forgetting old requests", sqlx::query(text).bind(before)).await
    }
}

/// Takes a request's key; gives what was made where it was made before. Another request of the
/// same key that is under way is waited for.
pub(crate) async fn begin(
    write: &mut Write,
    once: Option<&Once>,
    now: i64,
) -> Result<Option<Vec<i64>>, StoreError> {
    let Some(Once { owner, key, request }) = once else { return Ok(None) };
    let text = "INSERT INTO answered (owner, idempotency, at, answer) VALUES ($1, $2, $3, '')
                ON CONFLICT DO NOTHING";
    let insert = sqlx::query(text).bind(owner.0).bind(key).bind(now);
    if write.run(insert).await? == 1 {
        return Ok(None);
    }
    let text = "SELECT answer FROM answered WHERE owner = $1 AND idempotency = $2";
    let row = write.one(sqlx::query(text).bind(owner.0).bind(key)).await?;
    let wrong = |_| StoreError::Row { what: "a request", field: "answer" };
    let answer: Answer = serde_json::from_str(row.get(0)).map_err(wrong)?;
    match answer.request == *request {
        true => Ok(Some(answer.made)),
        false => Err(StoreError::OtherRequest(key.clone())),
    }
}

/// Notes what was made.
pub(crate) async fn end(
    write: &mut Write,
    once: Option<&Once>,
    made: Vec<i64>,
) -> Result<(), StoreError> {
    let Some(Once { owner, key, request }) = once else { return Ok(()) };
    let answer = serde_json::to_string(&Answer { request: *request, made }).expect(JSON);
    let text = "UPDATE answered SET answer = $1 WHERE owner = $2 AND idempotency = $3";
    write.run(sqlx::query(text).bind(answer).bind(owner.0).bind(key)).await.map(drop)
}
