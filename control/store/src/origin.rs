//! Sources that were fetched: what a build is of stands fast once one attempt has fetched it.

use kiln_model::LeaseKey;
use kiln_wire::worker::{Remote, Source};
use serde::{Deserialize, Serialize};
use serde_json::{from_str, to_string as to_json};
use sqlx::Row;

use crate::jobs::{JSON, alive};
use crate::{Store, StoreError};

/// Where a build's source is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// As it was asked for.
    pub remote: Remote,
    /// What it was, once it was fetched: for git a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl Store {
    /// Makes what was fetched the source of the build that a lease is of, unless it has one by
    /// now; gives the one that it has.
    pub async fn pin(
        &self,
        key: LeaseKey,
        source: &Source,
        commit: Option<&str>,
    ) -> Result<Source, StoreError> {
        let mut write = self.write("keeping what was fetched").await?;
        alive(&mut write, key).await?;
        let text = write.locking(
            "SELECT id, source FROM builds WHERE id = (SELECT build FROM jobs WHERE id = $1)",
        );
        let row = write.one(sqlx::query(text).bind(key.job.0)).await?;
        let wrong = |_| StoreError::Record { job: key.job, field: "source" };
        let remote = match from_str(row.get("source")).map_err(wrong)? {
            Source::Remote(remote) => remote,
            there => return Ok(there),
        };
        let origin = Origin { remote, commit: commit.map(str::to_owned) };
        let text = "UPDATE builds SET source = $1, origin = $2 WHERE id = $3";
        let update = sqlx::query(text)
            .bind(to_json(source).expect(JSON))
            .bind(to_json(&origin).expect(JSON))
            .bind(row.get::<i64, _>("id"));
        write.run(update).await?;
        write.commit().await?;
        Ok(source.clone())
    }
}
