use kiln_model::{JobId, LeaseKey};
use tokio::sync::broadcast::{self, Receiver, Sender};

/// How many events one may be behind before it is told that it missed some.
const BEHIND: usize = 1024;

/// Something happened, and whoever waits for it may look again. The store says what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Tells those who wait in this process what happens.
#[derive(Debug, Clone)]
pub struct Events {
    sender: Sender<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Self { sender: broadcast::channel(BEHIND).0 }
    }
}

impl Events {
    /// Tells everyone who listens.
    pub fn tell(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.sender.send(event);
    }

    /// Hears all that happens from now on.
    pub fn listen(&self) -> Receiver<Event> {
        self.sender.subscribe()
    }
}
