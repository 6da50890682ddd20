//! A worker's day: ask, run, hand over, ask again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kiln_agent::{Agent, Slot, SlotError, Slots};
use kiln_cas::Cas;
use kiln_jail::{Cancel, Launcher};
use kiln_model::{Isolation, LeaseKey};
use kiln_wire::worker::{Ending, Finish, Lease, LeaseRequest, VERSION};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::attempt::Remote;
use crate::link::{Link, LinkError};

/// How long a worker that gets nothing for the moment waits before it asks again.
const PAUSE: Duration = Duration::from_secs(2);

/// What a worker is made of.
pub struct WorkSettings {
    /// The way to its service.
    pub link: Link,
    /// Runs attempts.
    pub agent: Agent,
    /// Where they run.
    pub slots: Slots,
    /// Cleans up after them.
    pub launcher: Launcher,
    /// Where blobs are.
    pub cas: Cas,
    /// How many attempts it runs at once.
    pub parallel: u32,
    /// The strongest isolation that it offers.
    pub isolation: Isolation,
    /// Whether its processor runs the machines that it offers.
    pub has_kvm: bool,
    /// One lease, one attempt, and that's it.
    pub once: bool,
    /// Told to stop: soon, or now.
    pub stop: watch::Receiver<Stop>,
}

/// Whether a worker goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It does.
    Not,
    /// It ends what it has and takes nothing new.
    Soon,
    /// It ends at once; its leases run out and others take them.
    Now,
}

/// The attempts under way.
#[derive(Default)]
struct Running {
    attempts: Mutex<BTreeMap<LeaseKey, Cancel>>,
    changed: Notify,
}

/// Works until it is told to stop, or once.
pub async fn work(settings: WorkSettings) -> Result<(), LinkError> {
    let settings = Arc::new(settings);
    let running = Arc::new(Running::default());
    let renewing = tokio::spawn(renew(Arc::clone(&settings), Arc::clone(&running)));
    let count = if settings.once { 1 } else { settings.parallel.max(1) };
    let hands: Vec<_> = (0..count)
        .map(|_| tokio::spawn(hand(Arc::clone(&settings), Arc::clone(&running))))
        .collect();
    let mut result = Ok(());
    for hand in hands {
        if let Ok(Err(error)) = hand.await {
            result = Err(error);
        }
    }
    renewing.abort();
    result
}

/// One attempt after the other.
async fn hand(settings: Arc<WorkSettings>, running: Arc<Running>) -> Result<(), LinkError> {
    let mut stop = settings.stop.clone();
    let request = LeaseRequest {
        protocol: VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        slots: settings.parallel,
        isolation: settings.isolation,
        has_kvm: settings.has_kvm,
    };
    while *stop.borrow() == Stop::Not {
        let Some(slot) = take_slot(&settings).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let answer = tokio::select! {
            answer = settings.link.lease(&request) => answer,
            _ = stop.changed() => continue,
        };
        let lease = match answer {
            Ok(answer) if answer.is_draining => None,
            Ok(answer) => match answer.lease {
                Some(lease) => Some(lease),
                None => continue,
            },
            Err(error) if !error.is_passing() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "asking for work");
                None
            }
        };
        let Some(lease) = lease else {
            drop(slot);
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = stop.changed() => {}
            }
            continue;
        };
        run(&settings, &running, lease, slot).await;
        if settings.once {
            return Ok(());
        }
    }
    Ok(())
}

async fn take_slot(settings: &Arc<WorkSettings>) -> Option<Slot> {
    let with = Arc::clone(settings);
    let taken = tokio::task::spawn_blocking(move || with.slots.take(&with.launcher)).await;
    let taken: Result<Option<Slot>, SlotError> = taken.ok()?;
    taken.unwrap_or_else(|error| {
        tracing::error!(%error, "taking a slot");
        None
    })
}

async fn run(settings: &Arc<WorkSettings>, running: &Arc<Running>, lease: Lease, slot: Slot) {
    let key = lease.key;
    let Ok(cancel) = Cancel::new() else { return };
    running.begin(key, cancel.clone());
    let span = tracing::info_span!("attempt", job = %key.job, epoch = key.epoch.0);
    let within = span.clone();
    tracing::info!(parent: &span, "began");
    let (with, runtime) = (Arc::clone(settings), Handle::current());
    let attempt = move || within.in_scope(|| attempt(&with, &runtime, &lease, &slot, &cancel));
    let ended = tokio::task::spawn_blocking(attempt).await;
    let finished = match ended {
        Ok(ending) => {
            let ending = match (ending, *settings.stop.borrow()) {
                // Not what its packager wanted: another worker is to have it.
                (Ending::Cancelled, Stop::Now) => Ending::Stopped,
                (ending, _) => ending,
            };
            let finish = Finish { key, ending };
            settings.link.tell("/worker/v1/finish", &finish).await
        }
        Err(error) => {
            tracing::error!(parent: &span, %error, "the attempt's thread was lost");
            Ok(())
        }
    };
    running.end(key);
    match finished {
        Ok(()) => tracing::info!(parent: &span, "ended"),
        // Cancelled meanwhile, or said already before the connection broke.
        Err(error) if error.is_stale() => tracing::info!(parent: &span, "no longer its lease"),
        Err(error) => tracing::error!(parent: &span, %error, "saying how it ended"),
    }
}

fn attempt(
    settings: &WorkSettings,
    runtime: &Handle,
    lease: &Lease,
    slot: &Slot,
    cancel: &Cancel,
) -> Ending {
    let link = &settings.link;
    let control = Remote::new(link, &settings.cas, runtime.clone(), lease.key);
    let ending = std::thread::scope(|scope| {
        for log in control.logs() {
            scope.spawn(|| log.send(link, lease.key, runtime));
        }
        let ending = match control.fetch_sources(&lease.source) {
            Ok(()) => settings.agent.run(lease, slot, &control, cancel, None),
            Err(error) => Ending::Failed(error.report()),
        };
        for log in control.logs() {
            log.end();
        }
        ending
    });
    if let Err(error) = slot.clean(&settings.launcher) {
        tracing::error!(%error, "cleaning up after an attempt");
    }
    ending
}

/// Keeps the leases alive, and ends the attempts whose leases are lost.
async fn renew(settings: Arc<WorkSettings>, running: Arc<Running>) {
    let mut stop = settings.stop.clone();
    loop {
        let keys = running.keys();
        if keys.is_empty() {
            tokio::select! {
                () = running.changed.notified() => {}
                _ = stop.changed() => {}
            }
        } else {
            tokio::select! {
                answer = settings.link.renew(keys) => match answer {
                    Ok(renewed) => running.cancel(&renewed.lost),
                    Err(error) => {
                        tracing::warn!(%error, "renewing leases");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                () = running.changed.notified() => {}
                _ = stop.changed() => {}
            }
        }
        if *stop.borrow() == Stop::Now {
            running.cancel(&running.keys());
            return;
        }
    }
}

impl Running {
    fn begin(&self, key: LeaseKey, cancel: Cancel) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.insert(key, cancel);
        self.changed.notify_one();
    }

    fn end(&self, key: LeaseKey) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.remove(&key);
        self.changed.notify_one();
    }

    fn keys(&self) -> Vec<LeaseKey> {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.keys().copied().collect()
    }

    fn cancel(&self, lost: &[LeaseKey]) {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        for key in lost {
            if let Some(cancel) = attempts.get(key) {
                cancel.cancel();
            }
        }
    }
}
