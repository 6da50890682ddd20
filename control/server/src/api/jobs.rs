use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::{Extension, Json};
use kiln_api::{Build, Job};
use kiln_model::JobId;

use super::views;
use crate::bodies;
use crate::guard::Asker;
use crate::once::Key;
use crate::problem::{Answer, Refused};
use crate::service::App;

pub(crate) async fn show(State(app): State<App>, Path(job): Path<i64>) -> Answer<Json<Job>> {
    let record = app.store().job(JobId(job)).await?;
    Ok(Json(views::job(&app, &record).await?))
}

pub(crate) async fn resubmit(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path(job): Path<i64>,
    key: Key,
) -> Answer<(StatusCode, Json<Build>)> {
    let once = key.once(&asker, &())?;
    let made = app.flow.resubmit(JobId(job), asker.user()?, once).await?;
    app.note(&asker.label(), "job resubmit", &job.to_string(), "").await;
    let record = app.store().build(made.build).await?;
    Ok((StatusCode::CREATED, Json(views::build(&app, &record).await?)))
}

pub(crate) async fn lock(
    State(app): State<App>,
    Path(job): Path<i64>,
    request: Request,
) -> Answer<Response> {
    let record = app.store().job(JobId(job)).await?;
    let none = || Refused::none("lock of job", &job.to_string());
    let digest = record.lock.ok_or_else(none)?;
    let path = app.flow.cas().path(&digest);
    bodies::blob(&path, &digest, "application/json", request).await
}

/// What a job made, as it was built: what is published has a signature besides.
pub(crate) async fn artifact(
    State(app): State<App>,
    Path((job, name)): Path<(i64, String)>,
    request: Request,
) -> Answer<Response> {
    let made = app.store().artifacts(JobId(job)).await?;
    let found = made.into_iter().find(|one| one.name == name);
    let found = found.ok_or_else(|| Refused::none("artifact", &name))?;
    let path = app.flow.cas().path(&found.digest);
    let mut response = bodies::blob(&path, &found.digest, "application/x-rpm", request).await?;
    // Its characters are those of a NEVRA: nothing that could end the header.
    let disposition = format!("attachment; filename=\"{}\"", found.name);
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}
