//! The page of a log.

use std::path::PathBuf;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use kiln_model::{Epoch, JobId, LeaseKey};
use kiln_store::JobRecord;
use serde::Deserialize;

use super::logfile::{self, From, LINES, Match, Window};
use super::{Shell, page};
use crate::api::views::is_over;
use crate::guard::Asker;
use crate::live::name_of;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// The longest text that is searched for.
const SOUGHT: usize = 200;

/// Which part of a log.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LogAsked {
    line: Option<u64>,
    q: String,
}

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    shell: Shell,
    job: JobRecord,
    name: &'static str,
    window: Window,
    sought: String,
    matches: Vec<Match>,
    is_more: bool,
    error: Option<u64>,
    is_live: bool,
}

impl LogPage {
    /// The line at which the page before begins.
    fn before(&self) -> Option<u64> {
        (self.window.first > 1).then(|| self.window.first.saturating_sub(LINES).max(1))
    }

    fn after(&self) -> Option<u64> {
        (self.window.next <= self.window.count).then_some(self.window.next)
    }

    fn attempt(&self) -> i64 {
        self.job.epoch.0
    }
}

pub(crate) async fn log(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((job, name)): Path<(i64, String)>,
    Query(asked): Query<LogAsked>,
) -> Answer<Response> {
    let name = name_of(&name)?;
    let job = app.store().job(JobId(job)).await?;
    let path = path_of(&app, &job, name);
    let is_running = !is_over(&job);
    let from = match asked.line {
        Some(line) => From::Line(line),
        None if is_running => From::End(LINES),
        None => From::Line(1),
    };
    let mut sought = asked.q;
    sought.truncate(sought.floor_char_boundary(SOUGHT));
    let (text, is_failed) = (sought.clone(), job.report.is_some());
    let read = reading(move || {
        let window = logfile::window(&path, from)?;
        let (matches, is_more) = logfile::search(&path, &text)?;
        let error = if is_failed { logfile::error_line(&path)? } else { None };
        Ok((window, matches, is_more, error))
    });
    let (window, matches, is_more, error) = read.await?;
    // Only the end of a log grows.
    let is_live = is_running && window.next > window.count;
    let shell = Shell::of(&app, &asker, format!("{name} log of job {}", job.id));
    page(&LogPage { shell, job, name, window, sought, matches, is_more, error, is_live })
}

/// The last lines of a log, for the page of its job.
pub(super) async fn tail(
    app: &App,
    job: &JobRecord,
    name: &'static str,
    lines: u64,
) -> Answer<Window> {
    let path = path_of(app, job, name);
    reading(move || logfile::window(&path, From::End(lines))).await
}

/// The line that tells why a job failed.
pub(super) async fn error_line(app: &App, job: &JobRecord) -> Answer<Option<u64>> {
    let path = path_of(app, job, "build");
    reading(move || logfile::error_line(&path)).await
}

fn path_of(app: &App, job: &JobRecord, name: &str) -> PathBuf {
    app.flow.logs().path(LeaseKey { job: job.id, epoch: Epoch(job.epoch.0) }, name)
}

async fn reading<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Answer<T> {
    let read = tokio::task::spawn_blocking(work).await.map_err(Refused::lost)?;
    read.map_err(Refused::lost)
}
