//! Projects: listed, made, shown, changed.

use std::collections::BTreeMap;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use kiln_api::{Build, MemberChange, Project, ProjectAsked, ProjectChange, TargetSummary};
use kiln_model::ProjectSettings;

use super::{Fields, Shell, builds, page, to};
use crate::api;
use crate::bodies::Taken;
use crate::guard::Asker;
use crate::once::Key;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// How many builds stand on a project's page.
const SHOWN: i64 = 10;

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage {
    shell: Shell,
    projects: Vec<Project>,
    next: Option<String>,
    targets: Vec<TargetSummary>,
}

#[derive(Template)]
#[template(path = "project.html")]
struct ProjectPage {
    shell: Shell,
    project: Project,
    builds: Vec<Build>,
    /// Those that it isn't built for.
    targets: Vec<TargetSummary>,
    macros: String,
    may_build: bool,
    may_change: bool,
}

pub(crate) async fn list(
    state: State<App>,
    asker: Extension<Asker>,
    asked: Query<api::projects::PageAsked>,
) -> Answer<Response> {
    let shell = Shell::of(&state.0, &asker.0, "Projects");
    let targets = api::projects::targets(state.clone()).await.0;
    let list = api::projects::list(state, asker, asked).await?.0;
    page(&ProjectsPage { shell, projects: list.items, next: list.next, targets })
}

pub(crate) async fn make(
    state: State<App>,
    asker: Extension<Asker>,
    fields: Fields,
) -> Answer<Response> {
    let asked = ProjectAsked {
        name: fields.text("name").to_owned(),
        summary: fields.text("summary").to_owned(),
        is_public: fields.is_set("public"),
        targets: fields.all("target"),
        settings: ProjectSettings::default(),
    };
    let path = format!("/projects/{}", asked.name);
    api::projects::make(state, asker, Key::none(), Taken(asked)).await.map(drop)?;
    to(&path)
}

pub(crate) async fn show(state: State<App>, asker: Extension<Asker>) -> Answer<Response> {
    let app = state.0.clone();
    let id = asker.project()?.id;
    let builds = builds::seen(&app, &asker, Some(id), None, None, SHOWN).await?;
    let shell = Shell::of(&app, &asker, asker.project()?.name.clone());
    let mut targets = api::projects::targets(state.clone()).await.0;
    let project = api::projects::show(state, asker).await?.0;
    let is_built = |name: &str| project.repos.iter().any(|it| it.is_enabled && it.target == name);
    targets.retain(|target| !is_built(&target.name));
    let macros = project.settings.macros.iter();
    let macros = macros.map(|(name, body)| format!("{name} {body}\n")).collect();
    let role = project.role.as_deref();
    let may_change = role == Some("maintainer");
    let may_build = may_change || role == Some("packager");
    page(&ProjectPage { shell, project, builds, targets, macros, may_build, may_change })
}

pub(crate) async fn change(
    state: State<App>,
    asker: Extension<Asker>,
    fields: Fields,
) -> Answer<Response> {
    let record = asker.project()?;
    let path = format!("/projects/{}", record.name);
    let settings = ProjectSettings {
        profile: fields.text("profile").to_owned(),
        macros: macros_of(fields.text("macros"))?,
        with: fields.words("with"),
        without: fields.words("without"),
        priority: fields.number("priority")?,
        may_replace: fields.words("may_replace"),
        keep_snapshots: fields.number("keep_snapshots")?,
        keep_days: fields.number("keep_days")?,
        gzip: fields.is_set("gzip"),
        verify: fields.is_set("verify"),
        ..record.settings.clone()
    };
    let change = ProjectChange {
        summary: Some(fields.text("summary").to_owned()),
        is_public: Some(fields.is_set("public")),
        settings: Some(settings),
        weight: None,
    };
    api::projects::change(state, asker, Taken(change)).await.map(drop)?;
    to(&path)
}

/// A macro on each line: its name, a space, its body.
pub(super) fn macros_of(text: &str) -> Answer<BTreeMap<String, String>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (name, body) = line.split_once(char::is_whitespace).ok_or_else(|| {
                Refused::wrong("a macro is a line with its name, a space and its body")
            })?;
            Ok((name.trim_start_matches('%').to_owned(), body.trim().to_owned()))
        })
        .collect()
}

pub(crate) async fn set_member(
    state: State<App>,
    asker: Extension<Asker>,
    fields: Fields,
) -> Answer<Response> {
    let project = asker.project()?.name.clone();
    let path = Path((project.clone(), fields.text("name").to_owned()));
    match fields.text("role") {
        "none" => api::projects::remove_member(state, asker, path).await?,
        role => {
            let change = Taken(MemberChange { role: role.to_owned() });
            api::projects::set_member(state, asker, path, change).await?
        }
    };
    to(&format!("/projects/{project}"))
}

pub(crate) async fn set_target(
    state: State<App>,
    asker: Extension<Asker>,
    fields: Fields,
) -> Answer<Response> {
    let project = asker.project()?.name.clone();
    let path = Path((project.clone(), fields.text("target").to_owned()));
    match fields.is_set("drop") {
        true => api::projects::drop_target(state, asker, path).await?,
        false => api::projects::add_target(state, asker, path).await?,
    };
    to(&format!("/projects/{project}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_read_line_by_line() {
        let read = macros_of("dist .acme\n\n%vendor  ACME Inc.\r\n").expect("macros");
        let pairs: Vec<_> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("dist", ".acme"), ("vendor", "ACME Inc.")]);
        assert!(macros_of("alone").is_err());
    }
}
