use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use futures_util::StreamExt as _;
use kiln_api::{Upload, UploadAsked};
use kiln_cas::{Cas, CasError};
use kiln_model::Digest;
use serde::Deserialize;
use std::io::Write as _;
use tokio::sync::mpsc;
use utoipa::IntoParams;

use crate::bodies::Taken;
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// Where an upload goes on, and how long it will be in all.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct At {
    /// From which byte on.
    offset: u64,
    /// How many there will be in all.
    size: u64,
}

pub(crate) async fn begin(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<UploadAsked>,
) -> Answer<Json<Upload>> {
    let digest: Digest = asked.digest.parse().map_err(Refused::wrong)?;
    within(&app, asked.size)?;
    keep_room(&app, &asker, &digest.to_string(), asked.size).await?;
    let cas = app.flow.cas().clone();
    let size = asked.size;
    let look = move || -> Result<Upload, CasError> {
        Ok(match cas.download(&digest, size)? {
            Some(partial) => Upload { have: partial.have(), is_whole: false },
            None => Upload { have: size, is_whole: true },
        })
    };
    Ok(Json(tokio::task::spawn_blocking(look).await.map_err(Refused::wrong)??))
}

pub(crate) async fn go_on(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path(digest): Path<String>,
    Query(at): Query<At>,
    body: Body,
) -> Answer<Json<Upload>> {
    let digest: Digest = digest.parse().map_err(Refused::wrong)?;
    within(&app, at.size)?;
    keep_room(&app, &asker, &digest.to_string(), at.size).await?;
    Ok(Json(receive(app.flow.cas(), digest, at.size, at.offset, body).await?))
}

fn within(app: &App, size: u64) -> Answer<()> {
    let cap = app.settings.upload_cap;
    if size <= cap {
        return Ok(());
    }
    let error = format!("{size} bytes are more than this service takes, which is {cap}");
    Err(Refused::caller(StatusCode::PAYLOAD_TOO_LARGE, error))
}

/// Counts what is sent as its sender's, until a build names it or it is swept. What is here already
/// counts as well: by asking for it one keeps it here.
pub(crate) async fn keep_room(app: &App, asker: &Asker, name: &str, size: u64) -> Answer<()> {
    let (owner, caps) = (asker.user()?, app.settings.upload_caps);
    Ok(app.store().keep_room(owner, (name, size), caps, app.now()).await?)
}

/// Takes bytes of a blob from `offset` on. What arrived stays when the connection breaks, and the
/// next try goes on there; when the last byte is there, all of them are checked.
pub(crate) async fn receive(
    cas: &Cas,
    digest: Digest,
    size: u64,
    offset: u64,
    body: Body,
) -> Answer<Upload> {
    const PIECES: usize = 16;
    let (sender, mut receiver) = mpsc::channel::<axum::body::Bytes>(PIECES);
    let cas = cas.clone();
    let write = move || -> Answer<Upload> {
        let Some(mut partial) = cas.download(&digest, size)? else {
            return Ok(Upload { have: size, is_whole: true });
        };
        if size == 0 {
            partial.finish()?;
            return Ok(Upload { have: 0, is_whole: true });
        }
        // Nothing sent is a question: how much is there?
        let Some(first) = receiver.blocking_recv() else {
            return Ok(Upload { have: partial.have(), is_whole: false });
        };
        if partial.have() != offset {
            let error = format!("{} bytes are there, not {offset}", partial.have());
            return Err(Refused::caller(StatusCode::CONFLICT, error));
        }
        let mut next = Some(first);
        while let Some(piece) = next {
            if partial.have() + piece.len() as u64 > size {
                partial.restart()?;
                return Err(Refused::wrong("more bytes than were announced"));
            }
            partial.write_all(&piece).map_err(|error| {
                Refused::caller(StatusCode::INSUFFICIENT_STORAGE, error.to_string())
            })?;
            next = receiver.blocking_recv();
        }
        let have = partial.have();
        if have < size {
            return Ok(Upload { have, is_whole: false });
        }
        partial.finish()?;
        Ok(Upload { have, is_whole: true })
    };
    let written = tokio::task::spawn_blocking(write);
    let mut pieces = body.into_data_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        if sender.send(piece).await.is_err() {
            break;
        }
    }
    drop(sender);
    written.await.map_err(Refused::wrong)?
}
