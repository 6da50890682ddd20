//! A look at a database that changes nothing: for whoever asks how it stands.

use std::path::Path;

use sqlx::Row;

use crate::database::NEWEST;
use crate::{Store, StoreError};

/// How a database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The last step of the schema that it has; nothing where it is empty.
    pub schema: Option<i64>,
    /// The last step that this program knows.
    pub known: i64,
    /// The newest moment that something in it was submitted at or noted, in milliseconds since
    /// 1970: nothing later than that has happened by its clock.
    pub newest: Option<i64>,
    /// Its own clock, where it has one, likewise.
    pub clock: Option<i64>,
}

impl Look {
    /// Whether this program and the database are of one version.
    pub fn is_current(&self) -> bool {
        self.schema == Some(self.known)
    }
}

impl Store {
    /// Opens the SQLite database at `path`, which has to be there, as it is.
    pub async fn open_as_it_is(path: &Path) -> Result<Self, StoreError> {
        Self::connect_to_sqlite(path, "rw").await
    }

    /// How the database stands. Where its schema is not this program's, nothing else may be asked.
    pub async fn look(&self) -> Result<Look, StoreError> {
        const DOING: &str = "looking at the schema";
        let known = NEWEST;
        let nothing = Look { schema: None, known, newest: None, clock: self.clock().await? };
        let text = match self.is_postgres() {
            true => "SELECT 1 FROM pg_tables WHERE tablename = '_sqlx_migrations'",
            false => "SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations'",
        };
        if self.find(DOING, sqlx::query(text)).await?.is_none() {
            return Ok(nothing);
        }
        let text = "SELECT MAX(version) FROM _sqlx_migrations WHERE success";
        let row = self.find(DOING, sqlx::query(text)).await?;
        let schema = row.and_then(|row| row.get::<Option<i64>, _>(0));
        let look = Look { schema, ..nothing };
        if !look.is_current() {
            return Ok(look);
        }
        let text = "SELECT MAX(at) FROM (SELECT MAX(at) AS at FROM audit
                    UNION ALL SELECT MAX(submitted_at) FROM builds) AS moments";
        let row = self.find("looking for what is newest", sqlx::query(text)).await?;
        Ok(Look { newest: row.and_then(|row| row.get::<Option<i64>, _>(0)), ..look })
    }

    /// What the database's own host takes for now.
    async fn clock(&self) -> Result<Option<i64>, StoreError> {
        if !self.is_postgres() {
            return Ok(None);
        }
        let text = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
        let row = self.find("asking for the time", sqlx::query(text)).await?;
        Ok(row.map(|row| row.get(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_makes_nothing_and_tells_the_version() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kiln.db");
        assert!(Store::open_as_it_is(&path).await.is_err() && !path.exists());
        std::fs::write(&path, b"").expect("an empty file");
        let store = Store::open_as_it_is(&path).await.expect("opened");
        let look = store.look().await.expect("looked");
        assert_eq!((look.schema, look.is_current()), (None, false));
        store.close().await;
        Store::open(&path).await.expect("made").close().await;
        let store = Store::open_as_it_is(&path).await.expect("opened");
        let look = store.look().await.expect("looked");
        assert_eq!((look.is_current(), look.newest, look.clock), (true, None, None));
        let text = "UPDATE _sqlx_migrations SET version = 9999 WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
        store.change("making it newer", sqlx::query(text)).await.expect("changed");
        assert_eq!(store.look().await.expect("looked").schema, Some(9999));
    }
}
