//! Events between control processes over one database.

use std::collections::BTreeSet;
use std::time::Duration;

use kiln_store::{Notices, Store, StoreError};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::events::{Event, Events, Told};

/// How often whoever waits looks again by itself.
const AGAIN: Duration = Duration::from_secs(10);

/// How long events are collected: a log that grows is told of once in that time.
const COLLECTED: Duration = Duration::from_millis(5);

/// How soon a database that went away is listened to again.
const PAUSE: Duration = Duration::from_millis(500);

/// Carries events from this process to the others over the same database, and theirs to this one.
/// It is for speed alone: a message that is lost costs [`AGAIN`], since all that matters stands
/// in the store.
pub struct Relay {
    store: Store,
    events: Events,
    /// Who speaks: what one says oneself comes back too.
    own: String,
}

impl Relay {
    /// A relay between `events` and those of other processes; `own` is a word that no other
    /// process has.
    pub fn new(store: &Store, events: &Events, own: &str) -> Self {
        Self { store: store.clone(), events: events.clone(), own: own.to_owned() }
    }

    /// Goes on for as long as the process.
    pub async fn run(self) {
        tokio::join!(self.remind(), self.hear(), self.speak());
    }

    async fn remind(&self) {
        loop {
            tokio::time::sleep(AGAIN).await;
            self.events.look_again();
        }
    }

    async fn hear(&self) {
        while self.store.is_shared() {
            if let Err(error) = self.hear_on().await {
                tracing::warn!(%error, "listening to the other processes");
            }
            tokio::time::sleep(PAUSE).await;
            // Nobody says what was said meanwhile.
            self.events.look_again();
        }
    }

    async fn hear_on(&self) -> Result<(), StoreError> {
        let mut notices: Notices = self.store.notices().await?;
        loop {
            let text = notices.next().await?;
            let mut lines = text.lines();
            if lines.next() == Some(&*self.own) {
                continue;
            }
            for line in lines {
                self.events.say(Told { event: Event::from_text(line), is_relayed: true });
            }
        }
    }

    async fn speak(&self) {
        if !self.store.is_shared() {
            return;
        }
        let mut told = self.events.overhear();
        loop {
            let mut batch = BTreeSet::new();
            let mut until = None;
            loop {
                let next = match until {
                    None => told.recv().await,
                    Some(until) => match tokio::time::timeout_at(until, told.recv()).await {
                        Ok(next) => next,
                        Err(_) => break,
                    },
                };
                match next {
                    Ok(Told { is_relayed: true, .. }) | Err(RecvError::Lagged(_)) => continue,
                    Ok(Told { event, .. }) => batch.extend(event),
                    Err(RecvError::Closed) => return,
                }
                // What can be leased is waited for: it doesn't wait for anything itself.
                let is_urgent = batch.contains(&Event::Queued);
                until.get_or_insert_with(|| Instant::now() + COLLECTED);
                if is_urgent || batch.len() >= MOST {
                    break;
                }
            }
            self.say(&batch).await;
        }
    }

    async fn say(&self, batch: &BTreeSet<Event>) {
        let lines: Vec<String> = batch.iter().map(Event::to_string).collect();
        let text = format!("{}\n{}", self.own, lines.join("\n"));
        if let Err(error) = self.store.notify(&text).await {
            tracing::warn!(%error, "telling the other processes");
        }
    }
}

/// The most events of one message: it may have 8,000 bytes (PostgreSQL's manual, NOTIFY).
const MOST: usize = 100;
