//! What happens to a job, as it happens: server-sent events (WHATWG HTML, section 9.2).
//!
//! | event | data | id |
//! | --- | --- | --- |
//! | `attempt` | its number: what was shown of a log is of an earlier one | |
//! | `log` | rows of the log page | attempt and offset: where to go on |
//! | `job` | the state | |
//! | `end` | the state; nothing comes after it | |

use std::convert::Infallible;
use std::path::PathBuf;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event as Said, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use kiln_flow::{Event, Listener};
use kiln_model::{Epoch, JobId, LeaseKey};
use kiln_store::JobRecord;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;

use super::logfile::{newlines_before, write_row};
use crate::api::views::is_over;
use crate::live::name_of;
use crate::problem::Answer;
use crate::service::App;

/// The most bytes of a log in one event.
const PIECE: u64 = 64 << 10;

/// Which log, and from where on: `ATTEMPT-OFFSET`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LiveAsked {
    log: Option<String>,
    from: String,
}

/// A job that somebody looks at.
struct Looking {
    app: App,
    job: JobId,
    log: Option<&'static str>,
    epoch: i64,
    offset: u64,
    /// The number of the line that begins at the offset; 0 where it isn't known yet.
    number: u64,
    told: Option<String>,
    has_ended: bool,
    events: Listener,
}

pub(crate) async fn live(
    State(app): State<App>,
    Path(job): Path<i64>,
    Query(asked): Query<LiveAsked>,
    headers: HeaderMap,
) -> Answer<Response> {
    let log = asked.log.as_deref().map(name_of).transpose()?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let (epoch, offset) = place(last.unwrap_or(&asked.from)).unwrap_or((0, 0));
    let events = app.flow.events().listen();
    let job = JobId(job);
    let looking =
        Looking { app, job, log, epoch, offset, number: 0, told: None, has_ended: false, events };
    let said = stream::unfold(looking, |mut looking| async move {
        let said = looking.next().await?;
        Some((Ok::<_, Infallible>(said), looking))
    });
    let mut response = Sse::new(said).keep_alive(KeepAlive::default()).into_response();
    let headers = response.headers_mut();
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn place(text: &str) -> Option<(i64, u64)> {
    let (epoch, offset) = text.split_once('-')?;
    Some((epoch.parse().ok()?, offset.parse().ok()?))
}

impl Looking {
    /// What is to be told next; nothing when all was.
    async fn next(&mut self) -> Option<Said> {
        loop {
            if self.has_ended {
                return None;
            }
            let job = match self.app.store().job(self.job).await {
                Ok(job) => job,
                Err(error) => {
                    tracing::warn!(job = %self.job, %error, "looking at a job");
                    return None;
                }
            };
            if self.log.is_some() && self.epoch != job.epoch.0 {
                (self.epoch, self.offset, self.number) = (job.epoch.0, 0, 1);
                return Some(Said::default().event("attempt").data(job.epoch.0.to_string()));
            }
            if let Some(said) = self.grown(&job).await {
                return Some(said);
            }
            if let Some(said) = self.changed(&job).await {
                return Some(said);
            }
            if !self.wait().await {
                return None;
            }
        }
    }

    /// What the log has more; whole lines until it ends.
    async fn grown(&mut self, job: &JobRecord) -> Option<Said> {
        let log = self.log?;
        let key = LeaseKey { job: self.job, epoch: Epoch(self.epoch) };
        if self.number == 0 {
            let path: PathBuf = self.app.flow.logs().path(key, log);
            let offset = self.offset;
            let count = move || newlines_before(&path, offset);
            self.number = tokio::task::spawn_blocking(count).await.ok()?.ok()? + 1;
        }
        let piece = self.app.flow.logs().read(key, log, self.offset, PIECE).ok()?;
        // A line that fills a whole piece is told in parts.
        let is_whole = piece.len() as u64 == PIECE || is_over(job);
        let end = match memchr::memrchr(b'\n', &piece) {
            Some(end) => end + 1,
            None if is_whole => piece.len(),
            None => 0,
        };
        if end == 0 {
            return None;
        }
        let mut html = String::new();
        for line in piece[..end].split_inclusive(|byte| *byte == b'\n') {
            write_row(self.number, line, &mut html);
            self.number += u64::from(line.ends_with(b"\n"));
        }
        self.offset += end as u64;
        let id = format!("{}-{}", self.epoch, self.offset);
        Some(Said::default().event("log").id(id).data(html))
    }

    /// What else there is to see: the state, or another stage that ended.
    async fn changed(&mut self, job: &JobRecord) -> Option<Said> {
        let stages = self.app.store().stages(self.job).await.map_or(0, |stages| stages.len());
        let seen = format!("{} {} {stages} {:?}", job.state.word(), job.epoch.0, job.snapshot);
        self.has_ended = is_over(job);
        if self.has_ended {
            return Some(Said::default().event("end").data(job.state.word()));
        }
        if self.told.as_ref() == Some(&seen) {
            return None;
        }
        let is_first = self.told.replace(seen).is_none();
        // The page was made a moment ago; what changed since then is told with the next change.
        let name = if is_first { "begin" } else { "job" };
        Some(Said::default().event(name).data(job.state.word()))
    }

    /// Waits for something to happen to the job or its log; whether it can.
    async fn wait(&mut self) -> bool {
        loop {
            match self.events.recv().await {
                Ok(Event::Job(job)) if job == self.job => return true,
                Ok(Event::Log(key)) if key.job == self.job => return true,
                Ok(Event::Published) | Err(RecvError::Lagged(_)) => return true,
                Ok(_) => {}
                Err(RecvError::Closed) => return false,
            }
        }
    }
}
