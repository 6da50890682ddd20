use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use kiln_api::{Build, Stats};
use kiln_model::JobState;

use super::{Shell, builds, page};
use crate::api::operating;
use crate::guard::Asker;
use crate::problem::Answer;
use crate::service::App;

/// How many builds each list has.
const SHOWN: i64 = 15;

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage {
    shell: Shell,
    stats: Stats,
    running: Vec<Build>,
    newest: Vec<Build>,
}

pub(crate) async fn start(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
) -> Answer<Response> {
    let leased = Some(JobState::Leased);
    let running = builds::seen(&app, &asker, None, leased, None, SHOWN).await?;
    let newest = builds::seen(&app, &asker, None, None, None, SHOWN).await?;
    let stats = operating::stats(State(app.clone())).await?.0;
    page(&StartPage { shell: Shell::of(&app, &asker, "Builds"), stats, running, newest })
}
