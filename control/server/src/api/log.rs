//! The log of everything that was attested: for anybody, since its entries are digests alone.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use kiln_api::{LogEntries, LogPath};
use kiln_model::Digest;
use serde::Deserialize;
use utoipa::IntoParams;

use super::evidence::{ENVELOPE, document, proof_of};
use crate::problem::{Answer, Refused};
use crate::service::App;

/// The most entries that are told of at once.
const ENTRIES: i64 = 1000;

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EntriesAsked {
    /// From this position on.
    #[param(minimum = 0)]
    from: i64,
    /// At most so many.
    count: Option<i64>,
}

/// Which head.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HeadAsked {
    /// That of the log when it had so many entries; the newest where nothing is said.
    #[param(minimum = 0)]
    size: Option<i64>,
}

/// Between which sizes of the log.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PathAsked {
    /// How many entries the log had.
    #[param(minimum = 0)]
    from: i64,
    /// How many it has; as many as it has now where nothing is said.
    #[param(minimum = 0)]
    to: Option<i64>,
}

/// A number of entries: none is less than nothing.
fn count(asked: i64) -> Answer<u64> {
    u64::try_from(asked).map_err(|_| Refused::wrong("a log has no less than no entries"))
}

pub(crate) async fn key(State(app): State<App>) -> Answer<Response> {
    let key = app.publisher.evidence_key().await?;
    Ok(document(key.pem().into_bytes(), "application/x-pem-file"))
}

pub(crate) async fn head(
    State(app): State<App>,
    Query(asked): Query<HeadAsked>,
) -> Answer<Response> {
    let head = match asked.size {
        Some(size) => app.store().head_of(count(size)?).await?,
        None => app.publisher.newest_head().await?,
    };
    let named = asked.size.map_or_else(String::new, |size| size.to_string());
    let hint = "nothing was attested yet, or not every size was signed";
    let none = || Refused::none("head of the log", &named).with_hint(hint);
    Ok(document(head.ok_or_else(none)?.head.into_bytes(), ENVELOPE))
}

pub(crate) async fn entries(
    State(app): State<App>,
    Query(asked): Query<EntriesAsked>,
) -> Answer<Json<LogEntries>> {
    let from = count(asked.from)?;
    let size = app.store().log_size().await?;
    let most = asked.count.unwrap_or(ENTRIES).clamp(1, ENTRIES);
    let entries = app.store().log_entries(from, most).await?;
    let entries = entries.iter().map(Digest::to_string).collect();
    Ok(Json(LogEntries { size, from, entries }))
}

pub(crate) async fn consistency(
    State(app): State<App>,
    Query(asked): Query<PathAsked>,
) -> Answer<Json<LogPath>> {
    let from = count(asked.from)?;
    let to = match asked.to {
        Some(to) => count(to)?,
        None => app.store().log_size().await?,
    };
    let path = app.flow.log_consistency(from, to).await?;
    let none = || Refused::wrong(format!("the log was never of {to} entries, or not after {from}"));
    let path = path.ok_or_else(none)?.iter().map(Digest::to_string).collect();
    Ok(Json(LogPath { from, to, path }))
}

pub(crate) async fn proof(State(app): State<App>, Path(digest): Path<String>) -> Answer<Response> {
    let digest: Digest = digest.parse().map_err(Refused::wrong)?;
    proof_of(&app, &digest).await
}
