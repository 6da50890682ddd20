//! The only SQL. One change of state is one function and one transaction; each that a worker
//! causes carries its lease and is refused when that is stale.
//!
//! Zone: `control`, TRUSTED. What does not belong here: what happens next (`control/flow`), and
//! bytes of any size (`base/cas`).

mod jobs;
mod records;

use std::path::Path;
use std::time::Duration;

use kiln_model::{Fault, Faulty, IllegalStep, JobId, LeaseKey};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool};

pub use records::{Accepted, Artifact, JobRecord, Kept, NewBuild, NewJob, StageRecord, Submitted};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// The truth about builds, jobs, attempts and artifacts.
///
/// ```text
/// kiln.db          SQLite, in WAL mode: one writer at a time, readers never wait
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("{doing} in the store")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("bringing the store's schema up to date")]
    Schema(#[source] sqlx::migrate::MigrateError),
    /// A record that this kiln did not write.
    #[error("reading job {job} from the store: its {field} is not what kiln writes")]
    Record {
        /// Which job.
        job: JobId,
        /// Which field.
        field: &'static str,
    },
    /// No such job.
    #[error("there is no job {0}")]
    NoJob(JobId),
    /// The lease is not, or no longer, the one that holds the job.
    #[error("the lease for attempt {} of job {} is stale", .0.epoch.0, .0.job)]
    Stale(LeaseKey),
    /// Something that cannot happen to a job in its state.
    #[error("job {job}")]
    Illegal {
        /// Which job.
        job: JobId,
        /// Why not.
        #[source]
        source: IllegalStep,
    },
}

impl Faulty for StoreError {
    fn fault(&self) -> Fault {
        match self {
            Self::Database { .. } => Fault::Host,
            Self::Schema(_) | Self::Record { .. } => Fault::Kiln,
            Self::NoJob(_) | Self::Illegal { .. } => Fault::Caller,
            Self::Stale(_) => Fault::Breach,
        }
    }

    fn hint(&self) -> Option<String> {
        let Self::Database { source, .. } = self else { return None };
        let code = source.as_database_error()?.code()?.parse::<u32>().ok()?;
        // The primary result code is the lowest byte (sqlite.org/rescode.html).
        matches!(code & 0xff, IO_ERROR | FULL)
            .then(|| "see that the disk with kiln's folder has room and is sound".to_owned())
    }
}

/// `SQLITE_IOERR` and `SQLITE_FULL`.
const IO_ERROR: u32 = 10;
const FULL: u32 = 13;

pub(crate) fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { doing, source }
}

impl Store {
    /// Opens the database at `path`, makes it where there is none, and brings its schema up to
    /// date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            // Another kiln may be writing: wait for it.
            .busy_timeout(Duration::from_secs(30));
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .map_err(failed("opening the database"))?;
        let store = Self { pool };
        // One at a time: of several that open a new database at once, each would find no schema
        // and make it.
        let doing = "bringing the store's schema up to date";
        let mut transaction = store.write(doing).await?;
        // `run` asks for a connection that lives for ever, where a future is sent elsewhere.
        let migrated = MIGRATIONS.run_direct(None, &mut *transaction, false).await;
        migrated.map_err(StoreError::Schema)?;
        transaction.commit().await.map_err(failed(doing))?;
        Ok(store)
    }

    /// Begins a transaction that will write: it takes the writer's place at once, since one that
    /// has read and then wants to write can only fail where another one wrote meanwhile.
    async fn write(
        &self,
        doing: &'static str,
    ) -> Result<sqlx::Transaction<'static, Sqlite>, StoreError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed(doing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 8)]
    async fn many_can_open_a_new_store_at_once() {
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("kiln.db");
            let opened: Vec<_> = (0..16)
                .map(|_| {
                    let path = path.clone();
                    tokio::spawn(async move { Store::open(&path).await.map(drop) })
                })
                .collect();
            for one in opened {
                one.await.expect("it ran").expect("opened");
            }
        }
    }
}
