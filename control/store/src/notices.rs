//! What processes over one PostgreSQL tell each other: LISTEN and NOTIFY.

use sqlx::postgres::PgListener;

use crate::database::failed;
use crate::{Store, StoreError};

/// Where it is said.
const CHANNEL: &str = "kiln";

/// Hears what others say.
#[derive(Debug)]
pub struct Notices {
    listener: PgListener,
}

impl Store {
    /// Whether other processes may be over the same database: then they can be told things.
    pub fn is_shared(&self) -> bool {
        self.url.is_some()
    }

    /// Says something to all who listen, this process among them. Of a database that nobody
    /// shares nobody hears.
    pub async fn notify(&self, text: &str) -> Result<(), StoreError> {
        if !self.is_shared() {
            return Ok(());
        }
        let query = sqlx::query("SELECT 1 FROM pg_notify($1, $2)").bind(CHANNEL).bind(text);
        self.find("telling other processes", query).await.map(drop)
    }

    /// Hears what is said from now on.
    pub async fn notices(&self) -> Result<Notices, StoreError> {
        const DOING: &str = "listening to other processes";
        let none = || StoreError::None { what: "other process of", name: "SQLite".to_owned() };
        let url = self.url.as_deref().ok_or_else(none)?;
        let mut listener = PgListener::connect(url).await.map_err(failed(DOING))?;
        listener.listen(CHANNEL).await.map_err(failed(DOING))?;
        Ok(Notices { listener })
    }
}

impl Notices {
    /// The next thing that is said; an error once the connection is lost, since nobody knows then
    /// what was said meanwhile.
    pub async fn next(&mut self) -> Result<String, StoreError> {
        const DOING: &str = "listening to other processes";
        let heard = self.listener.try_recv().await.map_err(failed(DOING))?;
        let lost = || failed(DOING)(sqlx::Error::WorkerCrashed);
        heard.map(|one| one.payload().to_owned()).ok_or_else(lost)
    }
}
