//! The worker that `kiln up` starts on its own host, and starts again when it ends.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use kiln_flow::Event;
use kiln_model::WorkerName;
use kiln_server::Service;
use kiln_store::{NewWorker, StoreError};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::control::now;
use crate::{role, telemetry};

/// How long a worker may take to end its attempts when it is told to.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a worker that ended by itself is waited with.
const PAUSE: Duration = Duration::from_secs(1);

/// The worker, watched.
pub(super) struct Crew {
    watching: JoinHandle<()>,
}

/// What a worker of this host needs.
pub(super) struct CrewSettings {
    /// Knows who it is.
    pub(super) service: Arc<Service>,
    /// By which name.
    pub(super) name: WorkerName,
    /// Where that listens.
    pub(super) server: String,
    /// How many attempts it runs at once.
    pub(super) count: u32,
    /// How it tells what it does.
    pub(super) telemetry: telemetry::Telling,
    /// Says when to end.
    pub(super) stop: watch::Receiver<bool>,
}

impl Crew {
    pub(super) fn start(settings: CrewSettings) -> Self {
        Self { watching: tokio::spawn(watch(settings)) }
    }

    /// Waits until the worker has ended, which it is told when the service stops.
    pub(super) async fn ended(self) {
        drop(self.watching.await);
    }
}

async fn watch(settings: CrewSettings) {
    let mut stop = settings.stop.clone();
    loop {
        let (mut child, line) = match start(&settings).await {
            Ok(started) => started,
            Err(error) => {
                tracing::error!(%error, "starting the worker");
                let stopped = tokio::time::timeout(PAUSE, stop.wait_for(|stop| *stop)).await;
                if stopped.is_ok() {
                    return;
                }
                continue;
            }
        };
        let is_stopped = tokio::select! {
            ended = child.wait() => {
                tracing::error!(status = ?ended.ok(), "the worker ended; it is started again");
                false
            }
            _ = stop.wait_for(|stop| *stop) => true,
        };
        if is_stopped {
            // It ends when nobody holds the other end of its standard input.
            drop(line);
            if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
                drop(child.kill().await);
            }
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A worker, and the line that it ends without. The credential goes through standard input: neither
/// arguments nor environment have it.
async fn start(settings: &CrewSettings) -> std::io::Result<(Child, ChildStdin)> {
    let CrewSettings { service, name, server, count, telemetry, .. } = settings;
    let credential = enrol(service, name, *count).await.map_err(std::io::Error::other)?;
    let mut child = Command::new(role::OWN_PROGRAM)
        .args(["worker", "--server", server.as_str(), "--credential-stdin"])
        .args(["--parallel", &count.to_string()])
        .args(telemetry.again())
        .stdin(Stdio::piped())
        // What is told to systemd is for this process to tell.
        .env_remove("NOTIFY_SOCKET")
        // Signals that a terminal sends to all of its foreground are for the parent.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    // Taken out: waiting for a child closes what it still has of its standard input.
    let mut line = child.stdin.take().ok_or_else(|| std::io::Error::other("it has no input"))?;
    line.write_all(format!("{credential}\n").as_bytes()).await?;
    Ok((child, line))
}

/// Each worker that is started gets a credential of its own: what the one before held is queued
/// again at once.
async fn enrol(service: &Service, name: &WorkerName, count: u32) -> Result<String, StoreError> {
    let credential = kiln_access::Secret::new("worker");
    let worker = NewWorker {
        name: name.clone(),
        hash: credential.hash(),
        arch: std::env::consts::ARCH.to_owned(),
        slots: i64::from(count),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    service.flow.store().enrol(&worker, now()).await?;
    service.flow.events().tell(Event::Queued);
    Ok(credential.text().to_owned())
}
