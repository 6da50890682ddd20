//! A repository of a project: what is in it, what was, and how to go back.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use kiln_api::{Rollback, Snapshot};

use super::{Fields, Shell, page, to};
use crate::api::repositories;
use crate::bodies::Taken;
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// How many packages are shown.
const SHOWN: usize = 5000;

#[derive(Template)]
#[template(path = "repo.html")]
struct RepoPage {
    shell: Shell,
    project: String,
    target: String,
    url: String,
    is_public: bool,
    snapshots: Vec<Snapshot>,
    packages: Vec<Package>,
    count: usize,
    may_change: bool,
}

struct Package {
    nevra: String,
    /// Relative to the address of a snapshot.
    location: String,
}

pub(crate) async fn show(
    state: State<App>,
    asker: Extension<Asker>,
    Path((_, target)): Path<(String, String)>,
) -> Answer<Response> {
    let app = state.0.clone();
    let view = crate::api::views::project(&app, asker.project()?, &asker).await?;
    let repo = view.repos.iter().find(|repo| repo.target == target);
    let repo = repo.ok_or_else(|| Refused::none("target of this project", &target))?;
    let newest = app.store().newest(asker.project()?.id, &target).await?;
    let listed = match &newest {
        Some(newest) => kiln_flow::packages_of(app.flow.cas(), &newest.packages)?,
        None => Vec::new(),
    };
    let (project, is_public) = (view.name.clone(), view.is_public);
    let shell = Shell::of(&app, &asker, format!("{project} for {target}"));
    let path = Path((project.clone(), target.clone()));
    page(&RepoPage {
        shell,
        url: repo.url.clone(),
        is_public,
        count: listed.len(),
        packages: (listed.into_iter().take(SHOWN))
            .map(|one| Package { nevra: one.nevra.to_string(), location: one.location })
            .collect(),
        may_change: view.role.as_deref() == Some("maintainer"),
        snapshots: repositories::snapshots(state, asker, path).await?.0,
        project,
        target,
    })
}

pub(crate) async fn roll_back(
    state: State<App>,
    asker: Extension<Asker>,
    path: Path<(String, String)>,
    fields: Fields,
) -> Answer<Response> {
    let Path((project, target)) = &path;
    let back = format!("/projects/{project}/{target}");
    let to_snapshot = Rollback { to: fields.number("to")? };
    repositories::roll_back(state, asker, path, Taken(to_snapshot)).await.map(drop)?;
    to(&back)
}
