use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use kiln_api::{
    Audited, Enrolment, EnrolmentAsked, Page, Queue, Service, Stats, SweepAsked, Worker,
    WorkerChange,
};
use kiln_flow::{Sweep, Swept};
use kiln_model::WorkerName;
use kiln_store::{TicketKind, WorkerState};
use serde::Deserialize;
use utoipa::IntoParams;

use super::page_size;
use crate::bodies::Taken;
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// For how long a right to enrol is good, in milliseconds.
const ENROLMENT: i64 = 24 * 3600 * 1000;

/// A worker that was heard of within so many milliseconds is there.
const THERE: i64 = 60_000;

/// Which page of the audit log.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuditAsked {
    /// Only lines with a lower number.
    before: Option<i64>,
    /// At most so many.
    count: Option<i64>,
}

pub(crate) async fn workers(State(app): State<App>) -> Answer<Json<Vec<Worker>>> {
    let view = |one: kiln_store::WorkerRecord| Worker {
        name: one.name,
        arch: one.arch,
        slots: one.slots,
        version: one.version,
        state: one.state.word().to_owned(),
        why: one.why,
        seen_at: one.seen_at,
    };
    Ok(Json(app.store().workers().await?.into_iter().map(view).collect()))
}

pub(crate) async fn enrolment(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<EnrolmentAsked>,
) -> Answer<(StatusCode, Json<Enrolment>)> {
    let name: WorkerName = asked.name.parse().map_err(Refused::wrong)?;
    let made = app.access.make_ticket(TicketKind::Worker, name.as_str(), ENROLMENT, app.now());
    let (ticket, expires_at) = made.await?;
    app.note(&asker.label(), "worker enroll", name.as_str(), "").await;
    let enrolment = Enrolment { ticket: ticket.text().to_owned(), expires_at };
    Ok((StatusCode::CREATED, Json(enrolment)))
}

pub(crate) async fn change_worker(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path(name): Path<String>,
    Taken(change): Taken<WorkerChange>,
) -> Answer<StatusCode> {
    let words = "a worker is active, draining or aside";
    let state = WorkerState::from_word(&change.state).ok_or_else(|| Refused::wrong(words))?;
    let by = asker.label();
    let why = if state == WorkerState::Aside { format!("by {by}") } else { String::new() };
    app.store().set_worker(&name, state, &why).await?;
    app.note(&by, "worker set", &name, state.word()).await;
    app.flow.events().tell(kiln_flow::Event::Queued);
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn audit(
    State(app): State<App>,
    Query(asked): Query<AuditAsked>,
) -> Answer<Json<Page<Audited>>> {
    let count = page_size(asked.count);
    let lines = app.store().audit(asked.before, count).await?;
    let view = |one: kiln_store::Audited| Audited {
        id: one.id,
        at: one.at,
        actor: one.actor,
        action: one.action,
        subject: one.subject,
        detail: one.detail,
    };
    let items: Vec<Audited> = lines.into_iter().map(view).collect();
    let is_full = items.len() as i64 == count;
    let next = items.last().filter(|_| is_full).map(|last| last.id.to_string());
    Ok(Json(Page { items, next }))
}

pub(crate) async fn sweep(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<SweepAsked>,
) -> Answer<Json<kiln_api::Swept>> {
    if asked.young_hours == 0 {
        return Err(Refused::wrong("what was written in the last hour always stays"));
    }
    if asked.young_hours > kiln_api::YOUNG_MOST {
        let most = kiln_api::YOUNG_MOST;
        return Err(Refused::wrong(format!("a blob is young for at most {most} hours")));
    }
    let young = Duration::from_secs(u64::from(asked.young_hours) * 3600);
    let swept = app.publisher.sweep(Sweep { young, is_trial: asked.is_trial }).await?;
    if !asked.is_trial {
        let told = format!("{} blobs, {} bytes", swept.blobs, swept.bytes);
        app.note(&asker.label(), "sweep", "", &told).await;
    }
    let Swept { snapshots, jobs, blobs, bytes, .. } = swept;
    Ok(Json(kiln_api::Swept { snapshots, jobs, blobs, bytes }))
}

pub(crate) async fn stats(State(app): State<App>) -> Answer<Json<Stats>> {
    let figures = app.store().queue_figures().await?;
    let now = app.now();
    let workers = app.store().workers().await?;
    let there: Vec<_> =
        workers.iter().filter(|one| one.seen_at.is_some_and(|at| at + THERE > now)).collect();
    Ok(Json(Stats {
        queue: Queue {
            ready: figures.ready,
            held: figures.held,
            leased: figures.leased,
            oldest_s: figures.oldest.map_or(0, |at| (now - at).max(0) / 1000),
        },
        workers: there.len() as i64,
        slots: there.iter().map(|one| one.slots).sum(),
    }))
}

pub(crate) async fn service(State(app): State<App>) -> Json<Service> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let signs_in_by = app.settings.provider.as_ref().map(|provider| provider.name().to_owned());
    Json(Service { version, url: app.settings.url.clone(), signs_in_by })
}

pub(crate) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(crate::openapi::document())
}

pub(crate) async fn health() -> &'static str {
    "well\n"
}

pub(crate) async fn ready(State(app): State<App>) -> Answer<&'static str> {
    app.store().ping().await?;
    Ok("ready\n")
}

/// In the text format of Prometheus (its documentation, "Exposition formats").
pub(crate) async fn metrics(state: State<App>) -> Answer<Response> {
    let Json(stats) = stats(state).await?;
    let mut text = String::new();
    let rows = [
        ("kiln_jobs_ready", "Jobs that could begin.", stats.queue.ready),
        ("kiln_jobs_held", "Jobs that wait for others.", stats.queue.held),
        ("kiln_jobs_leased", "Jobs that are being built.", stats.queue.leased),
        ("kiln_queue_oldest_seconds", "How long the first has waited.", stats.queue.oldest_s),
        ("kiln_workers", "Workers heard of in the last minute.", stats.workers),
        ("kiln_slots", "Attempts that they can run at once.", stats.slots),
    ];
    for (name, help, value) in rows {
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}")
            .expect("writing to a String cannot fail");
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
