//! Repositories, as dnf and zypper read them.
//!
//! ```text
//! /repos/PROJECT/key.asc                     the public key
//! /repos/PROJECT/TARGET/PROJECT.repo         for /etc/yum.repos.d
//! /repos/PROJECT/TARGET/mirrorlist           one line: where the newest snapshot is
//! /repos/PROJECT/TARGET/NUMBER/repodata/…    a snapshot: it never changes
//! /repos/PROJECT/TARGET/NUMBER/Packages/…
//! /repos/PROJECT/TARGET/current/…            whichever is the newest, for readers without lists
//! ```
//!
//! A reader that begins with the list reads one snapshot to the end, whatever is published
//! meanwhile: metadata, their signature and packages always fit together.

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use kiln_flow::generation;
use kiln_store::{ProjectRecord, SnapshotRecord};

use crate::bodies::{self, harmless};
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

pub(crate) async fn key(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
) -> Answer<Response> {
    let key = app.publisher.public_key(&asker.project()?.name).await?;
    let mut response = key.into_response();
    harmless(response.headers_mut(), "application/pgp-keys");
    Ok(response)
}

pub(crate) async fn about(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((_, target, file)): Path<(String, String, String)>,
) -> Answer<Response> {
    let project = asker.project()?;
    known(&app, project, &target).await?;
    let text = match file.as_str() {
        "mirrorlist" => {
            let newest = app.store().newest(project.id, &target).await?;
            let number = newest.map_or(0, |newest| newest.number);
            format!("{}/repos/{}/{target}/{number}/\n", app.settings.url, project.name)
        }
        other if other == format!("{}.repo", project.name) => {
            repo_file(&app.settings.url, &project.name, &target)
        }
        other => return Err(Refused::none("file", other)),
    };
    let mut response = text.into_response();
    harmless(response.headers_mut(), "text/plain; charset=utf-8");
    let header = HeaderValue::from_static("no-cache");
    response.headers_mut().insert(header::CACHE_CONTROL, header);
    Ok(response)
}

/// What lies in /etc/yum.repos.d (dnf.conf(5)).
fn repo_file(url: &str, project: &str, target: &str) -> String {
    format!(
        "[kiln-{project}]\n\
         name={project} for {target}\n\
         mirrorlist={url}/repos/{project}/{target}/mirrorlist\n\
         gpgkey={url}/repos/{project}/key.asc\n\
         gpgcheck=1\n\
         repo_gpgcheck=1\n\
         metadata_expire=60\n\
         enabled=1\n"
    )
}

pub(crate) async fn file(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((_, target, snapshot, path)): Path<(String, String, String, String)>,
    request: Request,
) -> Answer<Response> {
    let project = asker.project()?;
    let cas = app.flow.cas();
    if let Some(name) = path.strip_prefix("Packages/").and_then(|rest| rest.rsplit('/').next()) {
        let found = app.store().published(project.id, &target, name).await?;
        let found = found.ok_or_else(|| Refused::none("package", name))?;
        let path = cas.path(&found.signed);
        let served = bodies::blob(&path, &found.signed, "application/x-rpm", request).await?;
        return Ok(kept(served, true));
    }
    let record = find_snapshot(&app, project, &target, &snapshot).await?;
    // Its name is looked up in what we wrote: it never becomes part of a path.
    let written = generation(cas, &record.files)?;
    let found = written.files.get(&path).ok_or_else(|| Refused::none("file", &path))?;
    let blob = cas.path(&found.digest);
    let served = bodies::blob(&blob, &found.digest, "application/octet-stream", request).await?;
    Ok(kept(served, snapshot != "current"))
}

/// Says for how long a copy is good: what has a number never changes.
fn kept(mut response: Response, is_for_ever: bool) -> Response {
    let value = match is_for_ever {
        true => "max-age=31536000, immutable",
        false => "no-cache",
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
    response
}

async fn find_snapshot(
    app: &App,
    project: &ProjectRecord,
    target: &str,
    snapshot: &str,
) -> Answer<SnapshotRecord> {
    let found = match (snapshot, snapshot.parse::<i64>()) {
        ("current", _) => app.store().newest(project.id, target).await?,
        (_, Ok(number)) => app.store().snapshot(project.id, target, number).await?,
        (_, Err(_)) => None,
    };
    found.ok_or_else(|| {
        Refused::none("snapshot", snapshot).with_hint("nothing has been published there yet")
    })
}

async fn known(app: &App, project: &ProjectRecord, target: &str) -> Answer<()> {
    let repos = app.store().repos(project.id).await?;
    match repos.iter().any(|repo| repo.target == target) {
        true => Ok(()),
        false => Err(Refused::none("target of this project", target)),
    }
}
