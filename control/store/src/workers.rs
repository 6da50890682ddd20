//! Workers: who may lease.

use kiln_model::WorkerName;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Store, StoreError};

/// A worker to be enrolled.
#[derive(Debug, Clone)]
pub struct NewWorker {
    /// Its name.
    pub name: WorkerName,
    /// The hash of its credential.
    pub hash: String,
    /// The architecture that it builds for.
    pub arch: String,
    /// How many attempts it runs at once.
    pub slots: i64,
    /// The version of its program.
    pub version: String,
}

/// What a worker says of itself when it asks for something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerSays<'a> {
    /// How many attempts it runs at once.
    pub slots: i64,
    /// The version of its program.
    pub version: &'a str,
    /// Whether it offers machines that its processor runs.
    pub has_kvm: bool,
}

/// Where a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerState {
    /// It may lease.
    Active,
    /// It ends what it has, and gets nothing new.
    Draining,
    /// It said something that was false: it gets nothing until an operator has looked.
    Aside,
}

/// A worker.
#[derive(Debug, Clone)]
pub struct WorkerRecord {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The architecture that it builds for.
    pub arch: String,
    /// How many attempts it runs at once.
    pub slots: i64,
    /// The version of its program.
    pub version: String,
    /// Whether it offers machines that its processor runs.
    pub has_kvm: bool,
    /// Where it stands.
    pub state: WorkerState,
    /// Why it is set aside.
    pub why: String,
    /// When it was last heard of, in milliseconds since 1970.
    pub seen_at: Option<i64>,
}

impl WorkerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Active, Self::Draining, Self::Aside];

    /// The state's word, as in JSON and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Aside => "aside",
        }
    }

    /// The state with that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

impl Store {
    /// Enrols a worker, or gives one of that name a new credential. Whoever had the old one is
    /// nobody from now on, so that what it held is queued again.
    pub async fn enrol(&self, worker: &NewWorker, now: i64) -> Result<(), StoreError> {
        let mut write = self.write("enrolling a worker").await?;
        let text = "INSERT INTO workers (name, hash, arch, slots, version, state, made_at)
                    VALUES ($1, $2, $3, $4, $5, 'active', $6)
                    ON CONFLICT (name) DO UPDATE
                    SET hash = $2, arch = $3, slots = $4, version = $5, state = 'active', why = ''";
        let query = sqlx::query(text)
            .bind(worker.name.as_str())
            .bind(&worker.hash)
            .bind(&worker.arch)
            .bind(worker.slots)
            .bind(&worker.version)
            .bind(now);
        write.run(query).await?;
        let text = "UPDATE jobs SET state = 'queued', lease_until = NULL, setbacks = setbacks + 1
                    WHERE worker = $1 AND state = 'leased' AND project IS NOT NULL";
        write.run(sqlx::query(text).bind(worker.name.as_str())).await?;
        write.commit().await
    }

    /// The worker with that credential.
    pub async fn worker_by(&self, hash: &str) -> Result<Option<WorkerRecord>, StoreError> {
        let query = sqlx::query("SELECT * FROM workers WHERE hash = $1").bind(hash);
        let row = self.find("looking for a worker", query).await?;
        row.as_ref().map(worker_record).transpose()
    }

    /// The worker of that name.
    pub async fn worker(&self, name: &str) -> Result<Option<WorkerRecord>, StoreError> {
        let query = sqlx::query("SELECT * FROM workers WHERE name = $1").bind(name);
        let row = self.find("looking for a worker", query).await?;
        row.as_ref().map(worker_record).transpose()
    }

    /// Every worker, by name.
    pub async fn workers(&self) -> Result<Vec<WorkerRecord>, StoreError> {
        let query = sqlx::query("SELECT * FROM workers ORDER BY name");
        self.list("listing workers", query).await?.iter().map(worker_record).collect()
    }

    /// Notes that a worker was heard of, and what it says of itself.
    pub async fn saw_worker(
        &self,
        name: &str,
        says: WorkerSays<'_>,
        now: i64,
    ) -> Result<(), StoreError> {
        let text = "UPDATE workers SET seen_at = $1, slots = $2, version = $3, has_kvm = $4
                    WHERE name = $5";
        let query = sqlx::query(text)
            .bind(now)
            .bind(says.slots)
            .bind(says.version)
            .bind(i64::from(says.has_kvm))
            .bind(name);
        self.change("noting that a worker is there", query).await.map(drop)
    }

    /// Whether an active worker for this architecture has machines that its processor runs: one that
    /// asked for something to do since then, or that has enough of it.
    pub async fn has_kvm(&self, arch: &str, since: i64) -> Result<bool, StoreError> {
        let text = "SELECT 1 FROM workers
                    WHERE has_kvm = 1 AND arch = $1 AND workers.state = 'active'
                    AND (seen_at >= $2 OR EXISTS (SELECT 1 FROM jobs
                        WHERE worker = workers.name AND jobs.state = 'leased')) LIMIT 1";
        let query = sqlx::query(text).bind(arch).bind(since);
        Ok(self.find("asking for a worker with machines", query).await?.is_some())
    }

    /// Says where a worker stands, and why.
    pub async fn set_worker(
        &self,
        name: &str,
        state: WorkerState,
        why: &str,
    ) -> Result<(), StoreError> {
        let text = "UPDATE workers SET state = $1, why = $2 WHERE name = $3";
        let query = sqlx::query(text).bind(state.word()).bind(why).bind(name);
        match self.change("changing a worker", query).await? {
            0 => Err(StoreError::None { what: "worker", name: name.to_owned() }),
            _ => Ok(()),
        }
    }
}

fn worker_record(row: &AnyRow) -> Result<WorkerRecord, StoreError> {
    let wrong = StoreError::Row { what: "a worker", field: "state" };
    Ok(WorkerRecord {
        id: row.get("id"),
        name: row.get("name"),
        arch: row.get("arch"),
        slots: row.get("slots"),
        version: row.get("version"),
        has_kvm: row.get::<i64, _>("has_kvm") != 0,
        state: WorkerState::from_word(row.get("state")).ok_or(wrong)?,
        why: row.get("why"),
        seen_at: row.get("seen_at"),
    })
}
