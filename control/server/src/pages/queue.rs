//! The queue and the workers, now and lately.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use kiln_api::{Stats, Worker};
use kiln_store::InQueue;

use super::chart::{Chart, charts};
use super::{Shell, page};
use crate::api::operating;
use crate::guard::Asker;
use crate::problem::Answer;
use crate::service::App;

/// How many jobs are shown.
const SHOWN: i64 = 200;

#[derive(Template)]
#[template(path = "queue.html")]
struct QueuePage {
    shell: Shell,
    stats: Stats,
    jobs: Vec<InQueue>,
    workers: Vec<Worker>,
    charts: Vec<Chart>,
}

pub(crate) async fn show(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
) -> Answer<Response> {
    let who = &asker.principal;
    let is_operator = who.is_operator();
    let jobs = app.store().in_queue(who.user(), is_operator, SHOWN).await?;
    let mut workers = operating::workers(State(app.clone())).await?.0;
    for worker in workers.iter_mut().filter(|_| !is_operator) {
        // Why one was set aside may tell of somebody's private build.
        worker.why.clear();
    }
    let charts = charts(&app).await?;
    let stats = operating::stats(State(app.clone())).await?.0;
    page(&QueuePage { shell: Shell::of(&app, &asker, "Queue"), stats, jobs, workers, charts })
}
