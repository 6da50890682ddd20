//! What was built once: promoted, or built anew.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use kiln_access::{Denied, Need};
use kiln_api::{Build, PromotionAsked, Rebuild, RebuildAsked, RebuildStep};
use kiln_flow::{Dependant, Dependants};
use kiln_model::{BuildId, Role, Scope, TargetName};
use kiln_store::StoreError;

use super::views;
use crate::bodies::Taken;
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// The most packages that one request may name.
const AT_ONCE: usize = 100;

/// The guard has seen that the asker is a packager here; that they may read where the build comes
/// from is seen to below.
pub(crate) async fn promote(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<PromotionAsked>,
) -> Answer<(StatusCode, Json<Build>)> {
    let build = BuildId(asked.build);
    may_read(&app, &asker, build).await?;
    let project = asker.project()?;
    let made = app.flow.promote(build, project, asker.user()?).await?;
    let what = format!("build {build} as build {}", made.build);
    app.note(&asker.label(), "promote", &project.name, &what).await;
    let record = app.store().build(made.build).await?;
    Ok((StatusCode::CREATED, Json(views::build(&app, &record).await?)))
}

/// What may not be seen is not told from what isn't there.
async fn may_read(app: &App, asker: &Asker, build: BuildId) -> Answer<()> {
    let none = || Refused::none("build", &build.to_string());
    let record = match app.store().build(build).await {
        Err(StoreError::None { .. }) => return Err(none()),
        record => record?,
    };
    let project = record.project.ok_or_else(none)?;
    let project = app.store().project_of(project).await?.ok_or_else(none)?;
    let role = app.store().role(project.id, asker.user()?).await?;
    let need = Need::Member(Role::Reader, Scope::Read);
    asker.principal.may(need, project.is_public, role).map_err(|denied| match denied {
        Denied::Hidden => none(),
        other => other.into(),
    })
}

pub(crate) async fn rebuild(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<RebuildAsked>,
) -> Answer<Json<Rebuild>> {
    if asked.packages.is_empty() || asked.packages.len() > AT_ONCE {
        return Err(Refused::wrong(format!("name 1 to {AT_ONCE} packages")));
    }
    let project = asker.project()?;
    let mut steps = Vec::new();
    for target in targets(&app, &asker, &asked.targets).await? {
        let wanted = Dependants {
            project: project.clone(),
            target: target.clone(),
            packages: asked.packages.clone(),
            is_deep: asked.deep,
        };
        let made: Vec<(Dependant, Option<i64>)> = match asked.tell {
            true => {
                let found = app.flow.dependants(&wanted).await?;
                found.into_iter().map(|one| (one, None)).collect()
            }
            false => {
                let made = app.flow.rebuild(&wanted, asker.user()?).await?;
                made.into_iter().map(|(one, made)| (one, Some(made.build.0))).collect()
            }
        };
        let names: Vec<String> = made.iter().map(|(one, _)| one.name.clone()).collect();
        steps.extend(made.into_iter().map(|(one, build)| RebuildStep {
            name: one.name,
            target: target.to_string(),
            last: one.job.0,
            had: one.had,
            after: one.after.iter().map(|at| names[*at].clone()).collect(),
            build,
        }));
    }
    if !asked.tell {
        let packages = asked.packages.join(" ");
        app.note(&asker.label(), "rebuild dependants", &project.name, &packages).await;
    }
    Ok(Json(Rebuild { steps }))
}

/// The targets that are named, or all that the project is built for.
async fn targets(app: &App, asker: &Asker, named: &[String]) -> Answer<Vec<TargetName>> {
    let repos = app.store().repos(asker.project()?.id).await?;
    let enabled: Vec<&str> =
        repos.iter().filter(|repo| repo.is_enabled).map(|repo| repo.target.as_str()).collect();
    if let Some(name) = named.iter().find(|name| !enabled.contains(&name.as_str())) {
        return Err(Refused::none("target of this project", name));
    }
    let chosen: Vec<&str> = match named {
        [] => enabled,
        named => named.iter().map(String::as_str).collect(),
    };
    chosen.iter().map(|name| name.parse().map_err(Refused::wrong)).collect()
}
