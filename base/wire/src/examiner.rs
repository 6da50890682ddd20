//! Between control and an examiner: which two files are held against each other, and in what they
//! differ.
//!
//! Both files ride beside the message as open descriptors, the first build's first. What an
//! examiner says of strangers' files is a claim about them, and decides nothing that a digest
//! doesn't.

use kiln_model::{CauseKind, ComparedLogs, Differences};
use serde::{Deserialize, Serialize};

/// The version of these messages.
pub const VERSION: u32 = 1;

/// The longest question.
pub const REQUEST_CAP: usize = 1 << 20;

/// The longest answer.
pub const ANSWER_CAP: usize = 8 << 20;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Two packages of one name.
    Packages(Surroundings),
    /// Two logs.
    Logs,
}

/// What is known to have been different around the two builds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surroundings {
    /// Each thing with what it was on either side.
    pub known: Vec<Known>,
}

/// A thing that was different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// What it would be the cause of, where it shows.
    pub kind: CauseKind,
    /// What it was in the first build.
    pub original: String,
    /// What it was in the second.
    pub rebuilt: String,
}

/// What an examiner says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Answer {
    /// It has confined itself and is ready.
    Ready(Ready),
    /// In what two packages differ.
    Packages(Differences),
    /// In what two logs differ.
    Logs(ComparedLogs),
    /// Nothing came of it.
    Failed(Failure),
}

/// What an examiner says first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// [`VERSION`].
    pub version: u32,
    /// The words of the barriers that hold.
    pub barriers: Vec<String>,
}

/// Why nothing came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Failure {
    /// It could not be confined.
    System(String),
    /// It was asked in a way that there isn't.
    Protocol(String),
    /// One of the files is not what it should be.
    Unreadable(String),
}
