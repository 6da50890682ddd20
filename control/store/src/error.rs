use kiln_model::{Fault, Faulty, IllegalStep, JobId, LeaseKey};

use crate::UploadCaps;

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
    /// The place of the database cannot be used.
    #[error("opening the store at {place}")]
    Place {
        /// Where.
        place: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
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
    /// Another record that this kiln did not write.
    #[error("reading {what} from the store: its {field} is not what kiln writes")]
    Row {
        /// Of what.
        what: &'static str,
        /// Which field.
        field: &'static str,
    },
    /// No such job.
    #[error("there is no job {0}")]
    NoJob(JobId),
    /// No such thing.
    #[error("there is no {what} {name}")]
    None {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The name is in use.
    #[error("there is a {what} {name} already")]
    Taken {
        /// What it would be the name of.
        what: &'static str,
        /// The name.
        name: String,
    },
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
    /// Something was to wait for a job of which nothing will be published.
    #[error("nothing of job {0} will be published, so that nothing can wait for it")]
    Never(JobId),
    /// A store that was to be filled has something in it.
    #[error("the database is not empty")]
    NotEmpty,
    /// A copy of a database that cannot be read.
    #[error("line {line} of the copy of the database: {why}")]
    Dump {
        /// Where in it.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// Somebody has sent as much as they may that no build names yet.
    #[error(
        "with this it would be {files} files of {bytes} bytes that you sent and no build names yet; \
         {} files of {} bytes may be", .caps.files, .caps.bytes
    )]
    NoRoom {
        /// How many bytes it would be.
        bytes: u64,
        /// How many files.
        files: u64,
        /// How much it may be.
        caps: UploadCaps,
    },
    /// One key for two requests.
    #[error("the idempotency key {0:?} was used for another request")]
    OtherRequest(String),
    /// The repository has a newer snapshot than the one that a new one was made from.
    #[error("another snapshot of {target} was published meanwhile")]
    Overtaken {
        /// The repository's target.
        target: String,
    },
}

impl Faulty for StoreError {
    fn fault(&self) -> Fault {
        match self {
            Self::Database { .. } | Self::Place { .. } => Fault::Host,
            Self::Schema(_) | Self::Record { .. } | Self::Row { .. } | Self::Overtaken { .. } => {
                Fault::Kiln
            }
            Self::NoJob(_)
            | Self::None { .. }
            | Self::Taken { .. }
            | Self::Illegal { .. }
            | Self::OtherRequest(_)
            | Self::NotEmpty
            | Self::Dump { .. }
            | Self::NoRoom { .. }
            | Self::Never(_) => Fault::Caller,
            Self::Stale(_) => Fault::Breach,
        }
    }

    fn hint(&self) -> Option<String> {
        if let Self::OtherRequest(_) = self {
            return Some("a new request needs a new key".to_owned());
        }
        if let Self::NoRoom { .. } = self {
            let hint = "submit builds of what you sent, or wait a day: what no build names goes";
            return Some(hint.to_owned());
        }
        let Self::Database { source, .. } = self else { return None };
        let code = source.as_database_error()?.code()?;
        is_full(&code)
            .then(|| "see that the disk with kiln's folder has room and is sound".to_owned())
    }
}

/// `SQLITE_IOERR` and `SQLITE_FULL`, in the lowest byte of a code (sqlite.org/rescode.html), or
/// PostgreSQL's `disk_full` and `io_error` (its manual, appendix A), which have five digits.
fn is_full(code: &str) -> bool {
    match code.len() {
        5 => code == "53100" || code == "58030",
        _ => code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 10 | 13)),
    }
}

/// Whether a statement would have given two things one name: `SQLITE_CONSTRAINT_UNIQUE` and
/// `_PRIMARYKEY`, or PostgreSQL's `unique_violation`.
pub(crate) fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}
