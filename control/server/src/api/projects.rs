use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use kiln_api::{MemberChange, Page, Project, ProjectAsked, ProjectChange, TargetSummary};
use kiln_model::{ProjectName, ProjectSettings, Role, TargetName};
use kiln_store::{NewProject, ProjectRecord};
use serde::Deserialize;

use super::{accounts, page_size, views, words};
use crate::bodies::Taken;
use crate::guard::Asker;
use crate::once::Key;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// Which page of projects.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PageAsked {
    after: String,
    count: Option<i64>,
}

pub(crate) async fn targets(State(app): State<App>) -> Json<Vec<TargetSummary>> {
    let summary = |target: &kiln_model::Target| TargetSummary {
        name: target.name.to_string(),
        summary: target.summary.clone(),
        arch: target.arch.clone(),
        profiles: target.profile.keys().cloned().collect(),
    };
    Json(app.flow.targets().values().map(summary).collect())
}

pub(crate) async fn list(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Query(asked): Query<PageAsked>,
) -> Answer<Json<Page<Project>>> {
    let count = page_size(asked.count);
    let who = &asker.principal;
    let records = app.store().projects(who.user(), who.is_operator(), &asked.after, count).await?;
    let mut items = Vec::new();
    for record in &records {
        items.push(views::project(&app, record, &asker).await?);
    }
    let is_full = items.len() as i64 == count;
    let next = items.last().filter(|_| is_full).map(|last| last.name.clone());
    Ok(Json(Page { items, next }))
}

pub(crate) async fn make(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    key: Key,
    Taken(asked): Taken<ProjectAsked>,
) -> Answer<(StatusCode, Json<Project>)> {
    let once = key.once(&asker, &asked)?;
    let name: ProjectName = asked.name.parse().map_err(Refused::wrong)?;
    let targets: Vec<TargetName> =
        asked.targets.iter().map(|target| known(&app, target)).collect::<Answer<_>>()?;
    let new = NewProject {
        name,
        summary: line(&asked.summary)?,
        is_public: asked.is_public,
        settings: settings_of(&asker, asked.settings)?,
        maintainer: asker.user()?,
    };
    let id = app.store().make_project_once(&new, once.as_ref(), app.now()).await?;
    for target in &targets {
        app.store().set_target(id, target, true, app.now()).await?;
    }
    app.note(&asker.label(), "project create", &asked.name, "").await;
    // The key takes a moment to make: it is there when the first build is.
    let (service, project) = (app.clone(), asked.name.clone());
    tokio::spawn(async move {
        if let Err(error) = service.publisher.public_key(&project).await {
            tracing::error!(project, %error, "making its key");
        }
    });
    Ok((StatusCode::CREATED, Json(view(&app, &asked.name, &asker).await?)))
}

pub(crate) async fn show(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
) -> Answer<Json<Project>> {
    Ok(Json(views::project(&app, asker.project()?, &asker).await?))
}

pub(crate) async fn change(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(change): Taken<ProjectChange>,
) -> Answer<Json<Project>> {
    let mut record: ProjectRecord = asker.project()?.clone();
    if change.weight.is_some() && !asker.principal.is_operator() {
        return Err(kiln_access::Denied::Forbidden.into());
    }
    if let Some(summary) = change.summary {
        record.summary = line(&summary)?;
    }
    record.is_public = change.is_public.unwrap_or(record.is_public);
    if let Some(settings) = change.settings {
        // What an operator added stays, whoever changes the rest.
        let is_kept = settings.repos == record.settings.repos;
        record.settings = match is_kept {
            true => {
                words::check(&settings.macros, &settings.with, &settings.without)?;
                settings
            }
            false => settings_of(&asker, settings)?,
        };
    }
    record.weight = change.weight.unwrap_or(record.weight);
    app.store().set_project(&record).await?;
    app.note(&asker.label(), "project set", &record.name, "").await;
    Ok(Json(view(&app, &record.name, &asker).await?))
}

pub(crate) async fn set_member(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((_, name)): Path<(String, String)>,
    Taken(change): Taken<MemberChange>,
) -> Answer<StatusCode> {
    let words = "a role is reader, packager or maintainer";
    let role = Role::from_word(&change.role).ok_or_else(|| Refused::wrong(words))?;
    member(&app, &asker, &name, Some(role)).await
}

pub(crate) async fn remove_member(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((_, name)): Path<(String, String)>,
) -> Answer<StatusCode> {
    member(&app, &asker, &name, None).await
}

async fn member(app: &App, asker: &Asker, name: &str, role: Option<Role>) -> Answer<StatusCode> {
    let (project, user) = (asker.project()?, accounts::find(app, name).await?);
    app.store().set_member(project.id, user.id, role).await?;
    let word = role.map_or("nothing", Role::word);
    app.note(&asker.label(), "project member", &project.name, &format!("{name}: {word}")).await;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn add_target(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((_, target)): Path<(String, String)>,
) -> Answer<StatusCode> {
    let target = known(&app, &target)?;
    set_target(&app, &asker, &target, true).await
}

pub(crate) async fn drop_target(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((_, name)): Path<(String, String)>,
) -> Answer<StatusCode> {
    let project = asker.project()?;
    let repos = app.store().repos(project.id).await?;
    let none = || Refused::none("target of this project", &name);
    let target: TargetName = name.parse().map_err(|_| none())?;
    repos.iter().find(|repo| repo.target == name).ok_or_else(none)?;
    set_target(&app, &asker, &target, false).await
}

async fn set_target(
    app: &App,
    asker: &Asker,
    target: &TargetName,
    is_enabled: bool,
) -> Answer<StatusCode> {
    let project = asker.project()?;
    app.store().set_target(project.id, target, is_enabled, app.now()).await?;
    let action = if is_enabled { "project target add" } else { "project target drop" };
    app.note(&asker.label(), action, &project.name, target.as_str()).await;
    Ok(StatusCode::NO_CONTENT)
}

fn known(app: &App, name: &str) -> Answer<TargetName> {
    let target: TargetName = name.parse().map_err(Refused::wrong)?;
    match app.flow.targets().contains_key(&target) {
        true => Ok(target),
        false => Err(Refused::none("target", name)
            .with_hint("'kiln target list --server' shows those there are")),
    }
}

async fn view(app: &App, name: &str, asker: &Asker) -> Answer<Project> {
    let record = app.store().project(name).await?;
    let record = record.ok_or_else(|| Refused::none("project", name))?;
    views::project(app, &record, asker).await
}

/// One line for people.
fn line(text: &str) -> Answer<String> {
    match words::is_line(text, 300) {
        true => Ok(text.trim().to_owned()),
        false => Err(Refused::wrong("a summary is one line of at most 300 bytes")),
    }
}

/// Settings that this asker may choose. The service itself fetches what repositories name, files
/// and hosts of its own network too: which it may is for its operators.
fn settings_of(asker: &Asker, settings: ProjectSettings) -> Answer<ProjectSettings> {
    words::check(&settings.macros, &settings.with, &settings.without)?;
    if settings.repos.is_empty() || asker.principal.is_operator() {
        return Ok(settings);
    }
    let refused: Refused = kiln_access::Denied::Forbidden.into();
    Err(refused.with_hint("ask an operator to add repositories to a project"))
}
