//! What is said of jobs, and the log of all of it.

use std::ops::Range;

use kiln_attest::{Node, completed_by, leaf_hash, node_hash, nodes_of, root_of};
use kiln_model::{Digest, JobId};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::database::Write;
use crate::jobs::{JOB, record};
use crate::records::JobRecord;
use crate::{Store, StoreError};

/// What a statement says of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttestationKind {
    /// How it was built.
    Provenance,
    /// What became of building it again.
    Verdict,
}

impl AttestationKind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Provenance => "provenance",
            Self::Verdict => "verdict",
        }
    }
}

/// A statement about a job, signed and in the store of blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttestation {
    /// The job.
    pub job: JobId,
    /// What is said.
    pub kind: AttestationKind,
    /// The digest of its envelope.
    pub envelope: Digest,
}

/// A statement about a job that stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// The job.
    pub job: JobId,
    /// The digest of its envelope.
    pub envelope: Digest,
    /// Where it stands in the log, from 0.
    pub position: u64,
    /// When it was made, in milliseconds since 1970.
    pub at: i64,
}

/// The head of a log that was signed last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// How many entries the log had.
    pub size: u64,
    /// The envelope.
    pub head: String,
}

impl Store {
    /// Adds a statement about a job to what is said of it, and to the log. Tells where it stands
    /// there; one that is there already stays where it is.
    pub async fn attest(&self, new: &NewAttestation, now: i64) -> Result<u64, StoreError> {
        let mut write = self.write_for_good("storing an attestation").await?;
        let position = attest(&mut write, new, now).await?;
        write.commit().await?;
        Ok(position)
    }

    /// As [`Store::attest`], of what a rebuild came to: that is said once.
    pub async fn attest_verdict(
        &self,
        rebuild: JobId,
        new: &NewAttestation,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut write = self.write_for_good("storing an attestation").await?;
        attest(&mut write, new, now).await?;
        let text = "UPDATE verdicts SET attested = 1 WHERE rebuild = $1";
        write.run(sqlx::query(text).bind(rebuild.0)).await?;
        write.commit().await
    }

    /// What is said of a job, the oldest first.
    pub async fn attestations(
        &self,
        job: JobId,
        kind: AttestationKind,
    ) -> Result<Vec<Attestation>, StoreError> {
        let text = "SELECT * FROM attestations WHERE job = $1 AND kind = $2 ORDER BY position";
        let query = sqlx::query(text).bind(job.0).bind(kind.word());
        let rows = self.list("reading attestations", query).await?;
        rows.iter().map(attestation).collect()
    }

    /// Jobs of projects that were built and are never published, and of which nobody has said how:
    /// the oldest first.
    pub async fn unattested(&self, count: i64) -> Result<Vec<JobRecord>, StoreError> {
        let text = AssertSqlSafe(format!(
            "{JOB} WHERE jobs.state = 'built' AND jobs.publishes = 0 AND jobs.faded_at IS NULL
             AND jobs.project IS NOT NULL AND jobs.lock IS NOT NULL AND NOT EXISTS
             (SELECT 1 FROM attestations WHERE attestations.job = jobs.id
              AND attestations.kind = 'provenance')
             ORDER BY jobs.id LIMIT $1"
        ));
        let query = sqlx::query(text).bind(count);
        let rows = self.list("looking for what is to be attested", query).await?;
        rows.iter().map(record).collect()
    }

    /// How many entries the log has.
    pub async fn log_size(&self) -> Result<u64, StoreError> {
        let row = self.find("measuring the log", sqlx::query(SIZE)).await?;
        Ok(row.map_or(0, |row| row.get::<i64, _>(0).unsigned_abs()))
    }

    /// Entries of the log from a position on, in order.
    pub async fn log_entries(&self, from: u64, count: i64) -> Result<Vec<Digest>, StoreError> {
        let text = "SELECT entry FROM log_entries WHERE position >= $1 ORDER BY position LIMIT $2";
        let query = sqlx::query(text).bind(number(from)).bind(count);
        let rows = self.list("reading the log", query).await?;
        rows.iter().map(|row| digest(row, "entry")).collect()
    }

    /// Where an entry stands in the log.
    pub async fn log_position(&self, entry: &Digest) -> Result<Option<u64>, StoreError> {
        let text = "SELECT position FROM log_entries WHERE entry = $1";
        let query = sqlx::query(text).bind(entry.to_string());
        let row = self.find("looking for an entry of the log", query).await?;
        Ok(row.map(|row| row.get::<i64, _>(0).unsigned_abs()))
    }

    /// The hash over each of these ranges of the log, as [`kiln_attest::nodes_of`] takes them; none
    /// reaches past its end.
    pub async fn log_hashes(&self, ranges: &[Range<u64>]) -> Result<Vec<Digest>, StoreError> {
        let mut hashes = Vec::new();
        for range in ranges {
            let mut nodes = Vec::new();
            for node in nodes_of(range.clone()) {
                let row = self.find("reading the log", find(node)).await?;
                let none = || StoreError::None { what: "entry of the log", name: named(range) };
                nodes.push(digest(&row.ok_or_else(none)?, "hash")?);
            }
            hashes.push(root_of(&nodes));
        }
        Ok(hashes)
    }

    /// Keeps a head that was signed. Where there is one of that size already, it stays.
    pub async fn keep_head(&self, size: u64, head: &str) -> Result<(), StoreError> {
        let text = "INSERT INTO log_heads (size, head) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let query = sqlx::query(text).bind(number(size)).bind(head);
        self.change("keeping a head of the log", query).await.map(drop)
    }

    /// The head that was signed last.
    pub async fn newest_head(&self) -> Result<Option<SignedHead>, StoreError> {
        let text = "SELECT size, head FROM log_heads ORDER BY size DESC LIMIT 1";
        let row = self.find("reading a head of the log", sqlx::query(text)).await?;
        Ok(row.as_ref().map(signed_head))
    }

    /// The head of the log when it had so many entries, if one was signed then.
    pub async fn head_of(&self, size: u64) -> Result<Option<SignedHead>, StoreError> {
        let text = "SELECT size, head FROM log_heads WHERE size = $1";
        let query = sqlx::query(text).bind(number(size));
        let row = self.find("reading a head of the log", query).await?;
        Ok(row.as_ref().map(signed_head))
    }
}

/// The position after the last.
const SIZE: &str = "SELECT COALESCE(MAX(position) + 1, 0) FROM log_entries";

pub(crate) async fn attest(
    write: &mut Write,
    new: &NewAttestation,
    now: i64,
) -> Result<u64, StoreError> {
    let position = append(write, &new.envelope).await?;
    let text = "INSERT INTO attestations (job, position, kind, envelope, at)
                VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    let insert = sqlx::query(text)
        .bind(new.job.0)
        .bind(number(position))
        .bind(new.kind.word())
        .bind(new.envelope.to_string())
        .bind(now);
    write.run(insert).await?;
    Ok(position)
}

/// Adds an entry at the log's end, with the subtrees that are complete with it. Two at once cannot
/// take one place: the second finds it taken, and its transaction fails.
async fn append(write: &mut Write, entry: &Digest) -> Result<u64, StoreError> {
    let text = "SELECT position FROM log_entries WHERE entry = $1";
    if let Some(row) = write.find(sqlx::query(text).bind(entry.to_string())).await? {
        return Ok(row.get::<i64, _>(0).unsigned_abs());
    }
    let position = write.one(sqlx::query(SIZE)).await?.get::<i64, _>(0).unsigned_abs();
    let text = "INSERT INTO log_entries (position, entry) VALUES ($1, $2)";
    write.run(sqlx::query(text).bind(number(position)).bind(entry.to_string())).await?;
    let mut hash = leaf_hash(entry);
    keep(write, Node { level: 0, index: position }, &hash).await?;
    for node in completed_by(position) {
        let left = Node { level: node.level - 1, index: node.index * 2 };
        let left = digest(&write.one(find(left)).await?, "hash")?;
        hash = node_hash(&left, &hash);
        keep(write, node, &hash).await?;
    }
    Ok(position)
}

async fn keep(write: &mut Write, node: Node, hash: &Digest) -> Result<(), StoreError> {
    let text = "INSERT INTO log_nodes (level, place, hash) VALUES ($1, $2, $3)";
    let insert = sqlx::query(text)
        .bind(i64::from(node.level))
        .bind(number(node.index))
        .bind(hash.to_string());
    write.run(insert).await.map(drop)
}

fn find(node: Node) -> crate::database::Query<'static> {
    let text = "SELECT hash FROM log_nodes WHERE level = $1 AND place = $2";
    sqlx::query(text).bind(i64::from(node.level)).bind(number(node.index))
}

/// A count or a position as the database has it: it never has more than it can number.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn named(range: &Range<u64>) -> String {
    format!("{} to {}", range.start, range.end)
}

fn digest(row: &AnyRow, field: &'static str) -> Result<Digest, StoreError> {
    let wrong = |_| StoreError::Row { what: "the log", field };
    row.get::<&str, _>(field).parse().map_err(wrong)
}

fn attestation(row: &AnyRow) -> Result<Attestation, StoreError> {
    Ok(Attestation {
        job: JobId(row.get("job")),
        envelope: digest(row, "envelope")?,
        position: row.get::<i64, _>("position").unsigned_abs(),
        at: row.get("at"),
    })
}

fn signed_head(row: &AnyRow) -> SignedHead {
    SignedHead { size: row.get::<i64, _>("size").unsigned_abs(), head: row.get("head") }
}
