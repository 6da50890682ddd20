//! What forges say: a push or a tag becomes a build, as whoever made the hook.
//!
//! Who speaks is known by the signature alone. What is built is where the hook's maker said, at the
//! commit that the forge names: no address of the message is used.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use kiln_access::{Need, Principal};
use kiln_api::Heard;
use kiln_flow::{Order, Sources};
use kiln_model::{Digest, Role, Scope};
use kiln_notify::{check_hex, check_shared};
use kiln_parse::remote;
use kiln_store::{ForgeKind, HookRecord, NewHook};
use kiln_wire::worker::{Remote, Source};
use serde::Deserialize;

use crate::problem::{Answer, Refused};
use crate::service::App;

/// The most bytes that a forge says at once.
const CAP: usize = 4 << 20;

/// What of a push counts; all three forges have these.
#[derive(Debug, Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    after: String,
}

pub(crate) async fn hear(
    State(app): State<App>,
    Path(name): Path<String>,
    request: Request,
) -> Answer<(StatusCode, Json<Heard>)> {
    let headers = request.headers().clone();
    let large = |_| Refused::caller(StatusCode::PAYLOAD_TOO_LARGE, "cut off, or too large");
    let body = to_bytes(request.into_body(), CAP).await.map_err(large)?;
    let known = app.store().hook(&name).await?;
    // Whoever is not known is checked like whoever is: the answer is one, and takes as long.
    let nobody = stand_in();
    let is_signed = is_signed(known.as_ref().map_or(&nobody, |it| &it.hook), &headers, &body);
    let hook = known.filter(|_| is_signed).ok_or_else(|| Refused::none("hook", ""))?;
    let note =
        |note: &str| Ok((StatusCode::OK, Json(Heard { build: None, note: note.to_owned() })));
    if !is_push(hook.hook.forge, &headers) {
        return note("heard; only pushes and tags are built");
    }
    let push: Push = serde_json::from_slice(&body).map_err(|_| Refused::wrong("not a push"))?;
    let Some(reference) = wanted(&hook.hook, &push) else {
        return note("heard; this hook is not for that branch or tag");
    };
    let digest = Digest::of(&body).to_string();
    if !app.store().hears(hook.id, &digest, app.now()).await? {
        return note("heard before; nothing is built twice");
    }
    let made = order(&app, &hook, reference).await;
    if made.is_err() {
        // The forge may say it again when it has been seen to.
        app.store().unhears(hook.id, &digest).await?;
    }
    let build = Some(made?);
    Ok((StatusCode::CREATED, Json(Heard { build, note: "submitted".to_owned() })))
}

/// A hook that nobody has.
fn stand_in() -> NewHook {
    NewHook {
        name: String::new(),
        project: kiln_model::ProjectId(0),
        maker: kiln_model::UserId(0),
        forge: ForgeKind::Github,
        secret: "nobody's".to_owned(),
        url: String::new(),
        folder: None,
        branches: String::new(),
        tags: String::new(),
        token: None,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn is_signed(hook: &NewHook, headers: &HeaderMap, body: &[u8]) -> bool {
    let secret = &hook.secret;
    match hook.forge {
        ForgeKind::Github => {
            let signature = text(headers, "x-hub-signature-256");
            check_hex(secret, body, signature.strip_prefix("sha256=").unwrap_or_default())
        }
        ForgeKind::Gitlab => check_shared(secret, text(headers, "x-gitlab-token")),
        ForgeKind::Forgejo => ["x-forgejo-signature", "x-gitea-signature"]
            .iter()
            .any(|name| check_hex(secret, body, text(headers, name))),
    }
}

fn is_push(forge: ForgeKind, headers: &HeaderMap) -> bool {
    match forge {
        ForgeKind::Github => text(headers, "x-github-event") == "push",
        ForgeKind::Gitlab => {
            matches!(text(headers, "x-gitlab-event"), "Push Hook" | "Tag Push Hook")
        }
        ForgeKind::Forgejo => {
            ["x-forgejo-event", "x-gitea-event"].iter().any(|name| text(headers, name) == "push")
        }
    }
}

/// What is to be fetched: of a branch the commit, of a tag the tag; nothing where the hook is not
/// for it, or where it was removed.
fn wanted(hook: &NewHook, push: &Push) -> Option<String> {
    let Push { reference, after } = push;
    let is_there = remote::is_commit(after) && after.bytes().any(|byte| byte != b'0');
    if !is_there || remote::check_reference(reference).is_err() {
        return None;
    }
    if let Some(branch) = reference.strip_prefix("refs/heads/") {
        return is_like(&hook.branches, branch).then(|| after.clone());
    }
    let tag = reference.strip_prefix("refs/tags/")?;
    is_like(&hook.tags, tag).then(|| reference.clone())
}

/// Whether a name is like a pattern, in which `*` stands for anything.
fn is_like(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

/// Submits it as the hook's maker, who must still be allowed to.
async fn order(app: &App, hook: &HookRecord, reference: String) -> Answer<i64> {
    let HookRecord { id, hook, .. } = hook;
    let gone = || Refused::none("project", "");
    let project = app.store().project_of(hook.project).await?.ok_or_else(gone)?;
    let maker = app.store().user_of(hook.maker).await?.filter(|it| it.disabled_at.is_none());
    let maker = maker.ok_or_else(|| Refused::from(kiln_access::Denied::Forbidden))?;
    let principal = Principal::User {
        id: maker.id,
        name: maker.name.clone(),
        is_operator: maker.is_operator,
        scope: Scope::Build,
        token: 0,
    };
    let role = app.store().role(project.id, maker.id).await?;
    principal.may(Need::Member(Role::Packager, Scope::Build), project.is_public, role)?;
    let place = hook.folder.as_deref().unwrap_or(&hook.url).trim_end_matches('/');
    let title = place.rsplit('/').next().unwrap_or(place).trim_end_matches(".git").to_owned();
    let (url, folder) = (hook.url.clone(), hook.folder.clone());
    let source = Source::Remote(Remote::Git { url, reference, folder });
    let name = project.name.clone();
    let sources = Sources { title: title.clone(), source };
    let order = Order {
        hook: Some(*id),
        limits: app.settings.limits.clone(),
        jobs: app.settings.jobs,
        ..Order::plain(project, maker.id, sources)
    };
    let made = app.flow.order(&order).await?;
    app.note(&format!("hook {id}"), "build", &name, &title).await;
    Ok(made[0].build.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_stars() {
        for (pattern, name, is) in [
            ("main", "main", true),
            ("main", "mainly", false),
            ("*", "anything/at/all", true),
            ("", "main", false),
            ("release/*", "release/1.0", true),
            ("release/*", "prerelease/1.0", false),
            ("v*.*", "v1.0", true),
            ("v*-rc*x", "v1-rc2x", true),
            ("v*-rc*x", "v1-rc2", false),
        ] {
            assert_eq!(is_like(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn a_branch_is_built_at_its_commit_and_a_tag_as_it_is_called() {
        let hook = NewHook { branches: "main".to_owned(), tags: "v*".to_owned(), ..stand_in() };
        let ask = |reference: &str, after: &str| {
            let push = Push { reference: reference.to_owned(), after: after.to_owned() };
            wanted(&hook, &push)
        };
        let commit = "ab".repeat(20);
        assert_eq!(ask("refs/heads/main", &commit), Some(commit.clone()));
        assert_eq!(ask("refs/tags/v1", &commit), Some("refs/tags/v1".to_owned()));
        for (reference, after) in [
            ("refs/heads/other", &commit[..]),
            ("refs/tags/x1", &commit),
            ("refs/heads/main", &"0".repeat(40)),
            ("refs/heads/main", "--upload-pack=x"),
            ("refs/tags/v1..x", &commit),
            ("refs/tags/v --x", &commit),
            ("refs/notes/x", &commit),
        ] {
            assert_eq!(ask(reference, after), None, "{reference} {after}");
        }
    }
}
