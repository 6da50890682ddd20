//! Logs, whole or as they grow.

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::HeaderValue;
use axum::response::Response;
use futures_util::stream;
use kiln_flow::{Event, Listener};
use kiln_model::{JobId, JobState, LeaseKey};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

use crate::bodies::harmless;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// The most bytes of one piece of a log.
const PIECE: u64 = 64 << 10;

/// Which part of a log.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogAsked {
    /// From which byte on.
    #[param(minimum = 0)]
    offset: i64,
    /// Whether to go on as long as the job does.
    follow: bool,
}

/// A log that is being read.
struct Reading {
    app: App,
    job: JobId,
    name: &'static str,
    offset: u64,
    follow: bool,
    events: Listener,
}

pub(crate) async fn log(
    State(app): State<App>,
    Path((job, name)): Path<(i64, String)>,
    Query(asked): Query<LogAsked>,
) -> Answer<Response> {
    let name = name_of(&name)?;
    let LogAsked { offset, follow } = asked;
    let offset = u64::try_from(offset).map_err(|_| Refused::wrong("a log begins at byte 0"))?;
    let events = app.flow.events().listen();
    let reading = Reading { app, job: JobId(job), name, offset, follow, events };
    let pieces = stream::try_unfold(reading, |mut reading| async move {
        let piece = reading.next().await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(piece.map(|piece| (piece, reading)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    harmless(response.headers_mut(), "text/plain; charset=utf-8");
    // Proxies that collect answers would keep a live log from being live.
    let header = HeaderValue::from_static("no");
    response.headers_mut().insert("x-accel-buffering", header);
    Ok(response)
}

pub(crate) fn name_of(name: &str) -> Answer<&'static str> {
    match name {
        "build" => Ok("build"),
        "root" => Ok("root"),
        other => Err(Refused::none("log", other)),
    }
}

impl Reading {
    /// The next piece; nothing at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            let store = self.app.store();
            let job = store.job(self.job).await.map_err(|error| error.to_string())?;
            let key = LeaseKey { job: self.job, epoch: job.epoch };
            let logs = self.app.flow.logs();
            let piece =
                logs.read(key, self.name, self.offset, PIECE).map_err(|error| error.to_string())?;
            if !piece.is_empty() {
                self.offset += piece.len() as u64;
                return Ok(Some(piece.into()));
            }
            let goes_on = matches!(job.state, JobState::Queued | JobState::Leased);
            if !self.follow || !goes_on || !self.wait().await {
                return Ok(None);
            }
        }
    }

    /// Waits for something to happen to the job or its log; whether it can.
    async fn wait(&mut self) -> bool {
        loop {
            match self.events.recv().await {
                Ok(Event::Job(job)) if job == self.job => return true,
                Ok(Event::Log(key)) if key.job == self.job => return true,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return true,
                Err(RecvError::Closed) => return false,
            }
        }
    }
}
