//! What one process at a time does of several over one database.

use crate::database::Write;
use crate::{Store, StoreError};

/// Something of which one process at a time has the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Publishing: two at once would overtake each other.
    Publish,
    /// Sweeping away what nothing needs.
    Sweep,
    /// Holding rebuilds against what was built first.
    Judge,
}

/// The turn; given up when it is dropped, and by the database where its process dies.
#[must_use]
pub struct Turn {
    _held: Option<Write>,
}

impl Store {
    /// Waits for the turn to do something. A database that only one process uses has nobody to
    /// wait for.
    pub async fn turn(&self, work: Work) -> Result<Turn, StoreError> {
        if !self.is_shared() {
            return Ok(Turn { _held: None });
        }
        let mut write = self.write("waiting for the turn").await?;
        // Any numbers that nothing else in the database locks.
        let text = match work {
            Work::Publish => "SELECT 1 FROM pg_advisory_xact_lock(7520632)",
            Work::Sweep => "SELECT 1 FROM pg_advisory_xact_lock(7520633)",
            Work::Judge => "SELECT 1 FROM pg_advisory_xact_lock(7520634)",
        };
        write.one(sqlx::query(text)).await?;
        Ok(Turn { _held: Some(write) })
    }
}
