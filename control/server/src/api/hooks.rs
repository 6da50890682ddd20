//! Forges that have something built, and those who are told what becomes of it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use base64::Engine as _;
use kiln_access::Secret;
use kiln_api::{Hook, HookAsked, Listener, ListenerAsked};
use kiln_model::Permit;
use kiln_parse::remote;
use kiln_store::{ForgeKind, HookRecord, ListenerRecord, NewHook};
use kiln_wire::worker::Remote;

use super::builds::may_be_fetched;
use super::words;
use crate::bodies::Taken;
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// The most hooks, and the most listeners, of one project.
const MOST: usize = 50;

pub(crate) async fn list(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
) -> Answer<Json<Vec<Hook>>> {
    let hooks = app.store().hooks(asker.project()?.id).await?;
    Ok(Json(hooks.iter().map(|hook| view(&app, hook, None)).collect()))
}

pub(crate) async fn make(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<HookAsked>,
) -> Answer<(StatusCode, Json<Hook>)> {
    let words = "a forge is github, gitlab or forgejo";
    let forge = ForgeKind::from_word(&asked.forge).ok_or_else(|| Refused::wrong(words))?;
    let folder = asked.folder.filter(|folder| !folder.is_empty());
    folder.as_deref().map_or(Ok(()), remote::check_folder).map_err(Refused::wrong)?;
    let reference = "HEAD".to_owned();
    may_be_fetched(&app, &Remote::Git { url: asked.url.clone(), reference, folder: None })?;
    for pattern in [&asked.branches, &asked.tags] {
        if !words::is_line(pattern, 200) || pattern.contains(char::is_whitespace) {
            return Err(Refused::wrong("a pattern is one word, with '*' for anything"));
        }
    }
    if asked.branches.is_empty() && asked.tags.is_empty() {
        return Err(Refused::wrong("name branches or tags: '*' for all of them"));
    }
    let token = asked.token.filter(|token| !token.is_empty());
    if token.as_ref().is_some_and(|it| it.len() > 500 || !it.bytes().all(|b| b.is_ascii_graphic()))
    {
        return Err(Refused::wrong("that is not a token"));
    }
    let project = asker.project()?;
    within(app.store().hooks(project.id).await?.len())?;
    let hook = NewHook {
        name: random(),
        project: project.id,
        maker: asker.user()?,
        forge,
        secret: random(),
        url: asked.url,
        folder,
        branches: asked.branches,
        tags: asked.tags,
        token,
    };
    let id = app.store().make_hook(&hook, app.now()).await?;
    app.note(&asker.label(), "hook add", &project.name, &hook.url).await;
    let secret = Some(hook.secret.clone());
    let record = HookRecord { id, hook, made_at: app.now() };
    Ok((StatusCode::CREATED, Json(view(&app, &record, secret))))
}

pub(crate) async fn remove(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((_, id)): Path<(String, i64)>,
) -> Answer<StatusCode> {
    let project = asker.project()?;
    app.store().remove_hook(project.id, id, app.now()).await?;
    app.note(&asker.label(), "hook remove", &project.name, &id.to_string()).await;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn listeners(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
) -> Answer<Json<Vec<Listener>>> {
    let all = app.store().listeners(asker.project()?.id).await?;
    Ok(Json(all.into_iter().map(|one| listener(one, None)).collect()))
}

pub(crate) async fn make_listener(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<ListenerAsked>,
) -> Answer<(StatusCode, Json<Listener>)> {
    let parts = remote::url(&asked.url).map_err(Refused::wrong)?;
    let permit = app.settings.notified.permit(parts.is_plain, parts.host, parts.port);
    if permit == Permit::No {
        let refused = Refused::wrong("this service may not speak to that host, or not like that");
        return Err(refused.with_hint("an operator allows hosts: 'kiln up --notify-host'"));
    }
    let project = asker.project()?;
    within(app.store().listeners(project.id).await?.len())?;
    let key = base64::engine::general_purpose::STANDARD.encode(random().as_bytes());
    let secret = format!("whsec_{key}");
    let id = app.store().make_listener(project.id, &asked.url, &secret, app.now()).await?;
    app.note(&asker.label(), "notify add", &project.name, &asked.url).await;
    let made =
        Listener { id, url: asked.url, secret: Some(secret), failing_at: None, disabled_at: None };
    Ok((StatusCode::CREATED, Json(made)))
}

pub(crate) async fn remove_listener(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((_, id)): Path<(String, i64)>,
) -> Answer<StatusCode> {
    let project = asker.project()?;
    app.store().remove_listener(project.id, id).await?;
    app.note(&asker.label(), "notify remove", &project.name, &id.to_string()).await;
    Ok(StatusCode::NO_CONTENT)
}

fn within(count: usize) -> Answer<()> {
    match count < MOST {
        true => Ok(()),
        false => Err(Refused::wrong(format!("a project has at most {MOST} of these"))),
    }
}

/// As good as a token's secret, without its word before it.
fn random() -> String {
    let secret = Secret::new("hook");
    secret.text().rsplit('_').next().unwrap_or_default().to_owned()
}

fn view(app: &App, record: &HookRecord, secret: Option<String>) -> Hook {
    let HookRecord { id, hook, .. } = record;
    Hook {
        id: *id,
        address: format!("{}/hooks/{}", app.settings.url, hook.name),
        secret,
        forge: hook.forge.word().to_owned(),
        url: hook.url.clone(),
        folder: hook.folder.clone(),
        branches: hook.branches.clone(),
        tags: hook.tags.clone(),
        tells: hook.token.is_some(),
    }
}

fn listener(record: ListenerRecord, secret: Option<String>) -> Listener {
    let ListenerRecord { id, url, failing_at, disabled_at, .. } = record;
    Listener { id, url, secret, failing_at, disabled_at }
}
