//! What people have sent that no build names yet, so that nobody fills the disk with it.

use kiln_model::UserId;
use sqlx::Row;

use crate::{Store, StoreError};

/// How much an account may have sent that no build names yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadCaps {
    /// In bytes.
    pub bytes: u64,
    /// In files.
    pub files: u64,
}

impl Store {
    /// Keeps room for something that somebody sends, or goes on to send. Refused where that would
    /// be too much of it.
    pub async fn keep_room(
        &self,
        owner: UserId,
        (name, size): (&str, u64),
        caps: UploadCaps,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut write = self.write("keeping room for an upload").await?;
        // One at a time for each account: two at once would each find room for one.
        let mine = write.locking("SELECT id FROM users WHERE id = $1");
        write.find(sqlx::query(mine).bind(owner.0)).await?;
        let text = "SELECT COALESCE(CAST(SUM(size) AS BIGINT), 0), COUNT(*) FROM uploads
                    WHERE owner = $1 AND name <> $2";
        let row = write.one(sqlx::query(text).bind(owner.0).bind(name)).await?;
        let count = |at: usize| u64::try_from(row.get::<i64, _>(at)).unwrap_or(u64::MAX);
        let (bytes, files) = (count(0).saturating_add(size), count(1).saturating_add(1));
        if bytes > caps.bytes || files > caps.files {
            return Err(StoreError::NoRoom { bytes, files, caps });
        }
        let text = "INSERT INTO uploads (owner, name, size, at) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (owner, name) DO UPDATE SET size = $3, at = $4";
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        write.run(sqlx::query(text).bind(owner.0).bind(name).bind(size).bind(now)).await?;
        write.commit().await
    }

    /// What was sent is named by a build, or was not sent after all: the room is free again.
    pub async fn free_room<'a>(
        &self,
        owner: UserId,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), StoreError> {
        let mut write = self.write("freeing the room of uploads").await?;
        let text = "DELETE FROM uploads WHERE owner = $1 AND name = $2";
        for name in names {
            write.run(sqlx::query(text).bind(owner.0).bind(name)).await?;
        }
        write.commit().await
    }

    /// Frees the room of what nobody went on with since a moment, and which is gone.
    pub async fn sweep_room(&self, before: i64) -> Result<u64, StoreError> {
        let query = sqlx::query("DELETE FROM uploads WHERE at < $1").bind(before);
        self.change("forgetting old uploads", query).await
    }
}
