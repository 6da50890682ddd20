use std::fmt;

use kiln_model::{Epoch, JobId, LeaseKey};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};

/// How many events one may be behind before it is told that it missed some.
const BEHIND: usize = 1024;

/// Something happened, and whoever waits for it may look again. The store says what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// Something can be leased.
    Queued,
    /// A job has changed.
    Job(JobId),
    /// A log of an attempt has grown.
    Log(LeaseKey),
    /// A repository has a new snapshot.
    Published,
}

/// What is told in this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// What happened; nothing where that isn't known.
    pub(crate) event: Option<Event>,
    /// Whether it happened in another process.
    pub(crate) is_relayed: bool,
}

/// Tells those who wait in this process what happens; [`Relay`](crate::Relay) tells the others.
#[derive(Debug, Clone)]
pub struct Events {
    sender: Sender<Told>,
}

/// Hears what happens.
#[derive(Debug)]
pub struct Listener {
    receiver: Receiver<Told>,
}

impl Default for Events {
    fn default() -> Self {
        Self { sender: broadcast::channel(BEHIND).0 }
    }
}

impl Events {
    /// Tells everyone who listens.
    pub fn tell(&self, event: Event) {
        self.say(Told { event: Some(event), is_relayed: false });
    }

    /// Tells everyone that something may have happened of which nobody told: to be called from
    /// time to time, so that what was missed is late and not lost.
    pub fn look_again(&self) {
        self.say(Told { event: None, is_relayed: true });
    }

    pub(crate) fn say(&self, told: Told) {
        // Nobody may be listening.
        let _ = self.sender.send(told);
    }

    /// Hears all that happens from now on.
    pub fn listen(&self) -> Listener {
        Listener { receiver: self.sender.subscribe() }
    }

    pub(crate) fn overhear(&self) -> Receiver<Told> {
        self.sender.subscribe()
    }
}

impl Listener {
    /// The next event. [`RecvError::Lagged`] where there may have been others: whoever waits for
    /// one looks again.
    pub async fn recv(&mut self) -> Result<Event, RecvError> {
        self.receiver.recv().await?.event.ok_or(RecvError::Lagged(1))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queued => f.write_str("queued"),
            Self::Job(job) => write!(f, "job {job}"),
            Self::Log(LeaseKey { job, epoch }) => write!(f, "log {job} {}", epoch.0),
            Self::Published => f.write_str("published"),
        }
    }
}

impl Event {
    /// The event that a text of [`fmt::Display`] says.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse().ok());
        match words[..] {
            ["queued"] => Some(Self::Queued),
            ["published"] => Some(Self::Published),
            ["job", _] => number(1).map(JobId).map(Self::Job),
            ["log", _, _] => {
                let key = LeaseKey { job: JobId(number(1)?), epoch: Epoch(number(2)?) };
                Some(Self::Log(key))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_the_same_in_another_process() {
        let key = LeaseKey { job: JobId(7), epoch: Epoch(2) };
        for event in [Event::Queued, Event::Job(JobId(3)), Event::Log(key), Event::Published] {
            assert_eq!(Event::from_text(&event.to_string()), Some(event));
        }
        for other in ["", "job", "job x", "log 1", "queued now", "event"] {
            assert_eq!(Event::from_text(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn who_is_told_to_look_again_looks_as_if_it_were_behind() {
        let events = Events::default();
        let mut listener = events.listen();
        events.look_again();
        events.tell(Event::Queued);
        assert!(matches!(listener.recv().await, Err(RecvError::Lagged(_))));
        assert_eq!(listener.recv().await, Ok(Event::Queued));
    }
}
