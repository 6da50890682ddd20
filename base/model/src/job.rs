use std::fmt;

use serde::{Deserialize, Serialize};

/// One SRPM, submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BuildId(pub i64);

/// A build's part for one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

/// Which attempt at a job a lease is for: 1 for the first, one more for each lease after it.
/// Every write that a worker causes carries it and is refused when it is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i64);

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The right to run one attempt at one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseKey {
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub epoch: Epoch,
}

/// The stages of a build, in the order in which they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The upload is hashed and kept; its header, a hint, is read.
    Submit,
    /// The job waits for a worker.
    Queue,
    /// Sources that lie elsewhere are fetched, in a jail.
    Source,
    /// The SRPM is made anew in the base buildroot with the target's own macros.
    Prepare,
    /// Requirements become a lock.
    Resolve,
    /// The lock's RPMs that are not at hand are downloaded and verified.
    Fetch,
    /// The lock becomes layers.
    Materialise,
    /// `rpmbuild` runs.
    Run,
    /// What it made is copied out and hashed.
    Collect,
    /// The worker's claim is checked and becomes a fact.
    Accept,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 10] = [
        Self::Submit,
        Self::Queue,
        Self::Source,
        Self::Prepare,
        Self::Resolve,
        Self::Fetch,
        Self::Materialise,
        Self::Run,
        Self::Collect,
        Self::Accept,
    ];

    /// The stage with that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.word() == word)
    }

    /// The stage's word, as in JSON, in the store and on the terminal.
    pub fn word(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Queue => "queue",
            Self::Source => "source",
            Self::Prepare => "prepare",
            Self::Resolve => "resolve",
            Self::Fetch => "fetch",
            Self::Materialise => "materialise",
            Self::Run => "run",
            Self::Collect => "collect",
            Self::Accept => "accept",
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for a worker.
    Queued,
    /// A worker holds a lease for it.
    Leased,
    /// Its artifacts were accepted.
    Built,
    /// It ended without artifacts.
    Failed,
    /// Its packager or an operator ended it.
    Cancelled,
}

/// What can happen to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobEvent {
    /// A worker takes it.
    Lease,
    /// Its claim was checked and found true.
    Accept,
    /// The attempt failed for good.
    Fail,
    /// The lease ran out, its worker was lost or its host failed: another attempt may be made.
    Requeue,
    /// Someone entitled to it ended the job.
    Cancel,
}

/// An event that cannot happen in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {} cannot {}", .state.word(), .event.word())]
pub struct IllegalStep {
    /// The state.
    pub state: JobState,
    /// The event.
    pub event: JobEvent,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Queued, Self::Leased, Self::Built, Self::Failed, Self::Cancelled];

    /// The state's word, as in JSON and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Leased => "leased",
            Self::Built => "built",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether nothing can happen any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Built | Self::Failed | Self::Cancelled)
    }

    /// The state after `event`.
    pub fn after(self, event: JobEvent) -> Result<Self, IllegalStep> {
        match (self, event) {
            (Self::Queued, JobEvent::Lease) => Ok(Self::Leased),
            (Self::Leased, JobEvent::Accept) => Ok(Self::Built),
            (Self::Leased, JobEvent::Fail) => Ok(Self::Failed),
            (Self::Leased, JobEvent::Requeue) => Ok(Self::Queued),
            (Self::Queued | Self::Leased, JobEvent::Cancel) => Ok(Self::Cancelled),
            (state, event) => Err(IllegalStep { state, event }),
        }
    }
}

impl JobEvent {
    /// Every event.
    pub const ALL: [Self; 5] = [Self::Lease, Self::Accept, Self::Fail, Self::Requeue, Self::Cancel];

    /// The event's word, for messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lease => "be leased",
            Self::Accept => "be accepted",
            Self::Fail => "fail",
            Self::Requeue => "be queued again",
            Self::Cancel => "be cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_state_and_event_is_decided() {
        use JobEvent::*;
        use JobState::*;
        let legal = [
            (Queued, Lease, Leased),
            (Queued, Cancel, Cancelled),
            (Leased, Accept, Built),
            (Leased, Fail, Failed),
            (Leased, Requeue, Queued),
            (Leased, Cancel, Cancelled),
        ];
        for state in JobState::ALL {
            for event in JobEvent::ALL {
                let listed = legal.iter().find(|(s, e, _)| (*s, *e) == (state, event));
                match listed {
                    Some((_, _, next)) => assert_eq!(state.after(event), Ok(*next)),
                    None => assert_eq!(state.after(event), Err(IllegalStep { state, event })),
                }
            }
        }
    }

    #[test]
    fn nothing_happens_after_the_end() {
        for state in JobState::ALL.into_iter().filter(|state| state.is_final()) {
            for event in JobEvent::ALL {
                assert!(state.after(event).is_err());
            }
        }
    }

    #[test]
    fn words_read_back() {
        for state in JobState::ALL {
            assert_eq!(JobState::from_word(state.word()), Some(state));
        }
        for stage in Stage::ALL {
            assert_eq!(Stage::from_word(stage.word()), Some(stage));
        }
    }
}
