//! Lists of builds, and a build with its jobs.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use kiln_api::Build;
use kiln_model::{BuildId, JobState, ProjectId};
use kiln_store::BuildsAsked;
use serde::Deserialize;

use super::{Shell, page, to};
use crate::api::{self, PAGE, views};
use crate::guard::Asker;
use crate::problem::Answer;
use crate::service::App;

/// Where the page before ended.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Before {
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "builds.html")]
struct BuildsPage {
    shell: Shell,
    project: String,
    builds: Vec<Build>,
    next: Option<i64>,
}

#[derive(Template)]
#[template(path = "build.html")]
struct BuildPage {
    shell: Shell,
    build: Build,
    may_cancel: bool,
}

impl BuildPage {
    fn is_over(&self) -> bool {
        self.build.jobs.iter().all(|job| job.is_over)
    }
}

/// The builds that somebody may see, the newest first.
pub(super) async fn seen(
    app: &App,
    asker: &Asker,
    project: Option<ProjectId>,
    state: Option<JobState>,
    before: Option<i64>,
    count: i64,
) -> Answer<Vec<Build>> {
    let who = &asker.principal;
    let asked = BuildsAsked {
        project,
        seen_by: who.user().filter(|_| !who.is_operator()),
        is_anonymous: who.user().is_none(),
        state,
        before: before.map(BuildId),
        count,
    };
    let mut builds = Vec::new();
    for record in app.store().builds(&asked).await? {
        builds.push(views::build(app, &record).await?);
    }
    Ok(builds)
}

pub(crate) async fn list(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Query(asked): Query<Before>,
) -> Answer<Response> {
    let project = asker.project()?;
    let (id, name) = (Some(project.id), project.name.clone());
    let builds = seen(&app, &asker, id, None, asked.before, PAGE).await?;
    let is_full = builds.len() as i64 == PAGE;
    let next = builds.last().filter(|_| is_full).map(|last| last.id);
    let shell = Shell::of(&app, &asker, format!("Builds of {name}"));
    page(&BuildsPage { shell, project: name, builds, next })
}

pub(crate) async fn show(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path(build): Path<i64>,
) -> Answer<Response> {
    let record = app.store().build(BuildId(build)).await?;
    let build = views::build(&app, &record).await?;
    let may_cancel = may_build(&app, &asker).await? && build.jobs.iter().any(is_open);
    let shell = Shell::of(&app, &asker, format!("Build {}: {}", build.id, build.title));
    page(&BuildPage { shell, build, may_cancel })
}

fn is_open(job: &kiln_api::Job) -> bool {
    matches!(job.state.as_str(), "queued" | "leased")
}

/// Whether who asks may submit and end builds of the project that the request is about.
pub(super) async fn may_build(app: &App, asker: &Asker) -> Answer<bool> {
    let view = views::project(app, asker.project()?, asker).await?;
    Ok(matches!(view.role.as_deref(), Some("packager" | "maintainer")))
}

pub(crate) async fn cancel(
    state: State<App>,
    asker: Extension<Asker>,
    build: Path<i64>,
) -> Answer<Response> {
    let id = build.0;
    api::builds::cancel(state, asker, build).await.map(drop)?;
    to(&format!("/builds/{id}"))
}
