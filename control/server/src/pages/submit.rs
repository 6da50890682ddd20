//! Submitting by a browser: files are hashed into the store as they arrive.

use std::collections::BTreeMap;
use std::io::Write as _;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::multipart::Field;
use axum::extract::{Multipart, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use kiln_access::Secret;
use kiln_api::{BuildAsked, Given};
use kiln_cas::{Cas, CasError};
use kiln_model::Digest;
use tokio::sync::mpsc;

use super::projects::macros_of;
use super::{Fields, Shell, page, to};
use crate::api;
use crate::api::uploads::keep_room;
use crate::bodies::Taken;
use crate::guard::Asker;
use crate::once::Key;
use crate::problem::{Answer, Refused};
use crate::service::{App, ServiceSettings};

/// The most files of one form.
const FILES: usize = 500;

/// The most fields that are not files, and the most bytes of one.
const FIELDS: usize = 200;
const FIELD: usize = 64 << 10;

/// How many pieces may wait to be written.
const PIECES: usize = 16;

#[derive(Template)]
#[template(path = "submit.html")]
struct SubmitPage {
    shell: Shell,
    project: String,
    targets: Vec<String>,
    cap: u64,
}

pub(crate) async fn form(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
) -> Answer<Response> {
    let project = asker.project()?;
    let repos = app.store().repos(project.id).await?;
    let targets = repos.into_iter().filter(|repo| repo.is_enabled).map(|repo| repo.target);
    let shell = Shell::of(&app, &asker, format!("Build in {}", project.name));
    let (project, cap) = (project.name.clone(), app.settings.upload_cap);
    page(&SubmitPage { shell, project, targets: targets.collect(), cap })
}

pub(crate) async fn submit(
    state: State<App>,
    asker: Extension<Asker>,
    headers: HeaderMap,
    mut form: Multipart,
) -> Answer<Response> {
    // What the files are is known when they are here: until then, the form counts as its sender's.
    let (room, mut left) = (Secret::new("form"), room_of(&state.settings, &headers));
    keep_room(&state, &asker, room.text(), left).await?;
    let (mut files, mut fields) = (BTreeMap::new(), Vec::new());
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        let key = field.name().unwrap_or_default().to_owned();
        match field.file_name().map(str::to_owned) {
            // No file was chosen.
            Some(name) if name.is_empty() => {}
            Some(name) => {
                let (digest, size) = store(state.flow.cas(), &mut field, left).await?;
                left -= size;
                if files.insert(name, digest.to_string()).is_some() {
                    return Err(Refused::wrong("two of the files have one name"));
                }
            }
            None => fields.push((key, text(&mut field).await?)),
        }
        if files.len() > FILES || fields.len() > FIELDS {
            return Err(Refused::wrong(format!("at most {FILES} files can be sent at once")));
        }
    }
    let fields = Fields::of(fields);
    let asked = BuildAsked {
        given: given(files)?,
        targets: fields.all("target"),
        scratch: fields.is_set("scratch"),
        chain: false,
        ordered: fields.is_set("ordered"),
        background: fields.is_set("background"),
        priority: 0,
        profile: None,
        macros: macros_of(fields.text("macros"))?,
        with: fields.words("with"),
        without: fields.words("without"),
        limits: BTreeMap::new(),
        isolation: None,
    };
    let (project, user) = (asker.project()?.name.clone(), asker.user()?);
    let app = state.0.clone();
    let (_, made) = api::builds::submit(state, asker, Key::none(), Taken(asked)).await?;
    app.store().free_room(user, [room.text()]).await?;
    match &made.0.builds[..] {
        [one] => to(&format!("/builds/{}", one.id)),
        _ => to(&format!("/projects/{project}/builds")),
    }
}

/// How many bytes a form may bring: as many as its browser announces, and the service takes.
fn room_of(settings: &ServiceSettings, headers: &HeaderMap) -> u64 {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
    settings.upload_cap.min(announced)
}

/// What the files are: a spec with its sources, or source packages.
fn given(files: BTreeMap<String, String>) -> Answer<Vec<Given>> {
    let specs: Vec<&String> = files.keys().filter(|name| name.ends_with(".spec")).collect();
    match &specs[..] {
        [spec] => {
            let spec = (*spec).clone();
            Ok(vec![Given { title: spec.clone(), spec: Some(spec), files, ..Given::default() }])
        }
        [] if files.is_empty() => Err(Refused::wrong("no file was sent")),
        [] => {
            let one = |(name, digest): (String, String)| Given {
                title: name.clone(),
                spec: None,
                files: BTreeMap::from([(name, digest)]),
                ..Given::default()
            };
            Ok(files.into_iter().map(one).collect())
        }
        _ => Err(Refused::wrong("there is more than one spec among the files")),
    }
}

fn broken(error: axum::extract::multipart::MultipartError) -> Refused {
    Refused::caller(error.status(), error.body_text())
}

async fn text(field: &mut Field<'_>) -> Answer<String> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(broken)? {
        if bytes.len() + piece.len() > FIELD {
            return Err(Refused::wrong("a field of the form is too long"));
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).map_err(|_| Refused::wrong("a field of the form is not text"))
}

/// Takes a file of at most `cap` bytes into the store.
async fn store(cas: &Cas, field: &mut Field<'_>, cap: u64) -> Answer<(Digest, u64)> {
    let (sender, mut receiver) = mpsc::channel::<Option<Bytes>>(PIECES);
    let cas = cas.clone();
    let write = move || -> Result<Option<(Digest, u64)>, CasError> {
        let mut inserter = cas.insert()?;
        // Only a file that came to its end is kept.
        while let Some(piece) = receiver.blocking_recv() {
            match piece {
                Some(piece) => inserter.write_all(&piece).map_err(|source| CasError::Io {
                    doing: "storing an upload in",
                    path: "the store".into(),
                    source,
                })?,
                None => return inserter.finish().map(Some),
            }
        }
        Ok(None)
    };
    let written = tokio::task::spawn_blocking(write);
    let mut left = cap;
    while let Some(piece) = field.chunk().await.map_err(broken)? {
        left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
            let error = "this is more than the service takes at once";
            Refused::caller(StatusCode::PAYLOAD_TOO_LARGE, error)
        })?;
        if sender.send(Some(piece)).await.is_err() {
            break;
        }
    }
    // Whoever doesn't take this has failed, and says so below.
    let _ = sender.send(None).await;
    drop(sender);
    let stored = written.await.map_err(Refused::lost)??;
    stored.ok_or_else(|| Refused::wrong("the upload was cut off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_a_spec_with_sources_or_source_packages() {
        let files = |names: &[&str]| -> BTreeMap<String, String> {
            names.iter().map(|name| ((*name).to_owned(), String::new())).collect()
        };
        let one = given(files(&["x.spec", "x.tar.gz"])).expect("a spec");
        assert_eq!((one.len(), one[0].spec.as_deref()), (1, Some("x.spec")));
        let two = given(files(&["a.src.rpm", "b.src.rpm"])).expect("two packages");
        assert_eq!((two.len(), &two[1].title[..]), (2, "b.src.rpm"));
        assert!(given(files(&[])).is_err());
        assert!(given(files(&["a.spec", "b.spec"])).is_err());
    }
}
