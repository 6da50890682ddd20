//! Jobs that are built again, and what came of it.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use kiln_api::Verification;
use kiln_model::{JobId, Proof, Verdict};
use kiln_store::VerdictRecord;

use crate::bodies;
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// The largest proof that is read to be shown: what an examiner says of each file, for as many
/// files as a build may make.
const PROOF: u64 = 64 << 20;

pub(crate) async fn verify(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path(job): Path<i64>,
) -> Answer<(StatusCode, Json<Verification>)> {
    let made = app.flow.verify(JobId(job), asker.user()?).await?;
    app.note(&asker.label(), "job verify", &job.to_string(), "").await;
    let none = || Refused::none("rebuild of job", &job.to_string());
    let rebuild = *made.jobs.first().ok_or_else(none)?;
    let record = app.store().verdict_by(rebuild).await?.ok_or_else(none)?;
    Ok((StatusCode::CREATED, Json(view(&app, &record).await?)))
}

pub(crate) async fn list(
    State(app): State<App>,
    Path(job): Path<i64>,
) -> Answer<Json<Vec<Verification>>> {
    Ok(Json(of_job(&app, JobId(job)).await?))
}

/// The proof of a rebuild, as JSON.
pub(crate) async fn proof(
    State(app): State<App>,
    Path((job, rebuild)): Path<(i64, i64)>,
    request: Request,
) -> Answer<Response> {
    let none = || Refused::none("proof of rebuild", &rebuild.to_string());
    let record = app.store().verdict_by(JobId(rebuild)).await?;
    // Who may read the job that the path names may read what is about it, and nothing else.
    let record = record.filter(|record| record.job == JobId(job)).ok_or_else(none)?;
    let digest = record.proof.ok_or_else(none)?;
    bodies::blob(&app.flow.cas().path(&digest), &digest, "application/json", request).await
}

/// The rebuilds of a job, the newest first.
pub(crate) async fn of_job(app: &App, job: JobId) -> Answer<Vec<Verification>> {
    let mut all = Vec::new();
    for record in app.store().verdicts_of(job).await? {
        all.push(view(app, &record).await?);
    }
    Ok(all)
}

/// What the newest rebuild of a job that was judged came to.
pub(crate) async fn last_proof(app: &App, job: JobId) -> Answer<Option<(JobId, Proof)>> {
    let records = app.store().verdicts_of(job).await?;
    let judged = records.into_iter().find_map(|one| Some((one.rebuild, one.proof?)));
    let Some((rebuild, digest)) = judged else { return Ok(None) };
    let bytes = app.flow.cas().read_to_vec(&digest, PROOF)?;
    let proof = serde_json::from_slice(&bytes).map_err(Refused::lost)?;
    Ok(Some((rebuild, proof)))
}

async fn view(app: &App, record: &VerdictRecord) -> Answer<Verification> {
    let rebuild = app.store().job(record.rebuild).await?;
    Ok(Verification {
        job: record.job.0,
        rebuild: record.rebuild.0,
        build: rebuild.build.0,
        state: rebuild.state.word().to_owned(),
        worker: rebuild.worker,
        verdict: record.verdict.map(|verdict| verdict.word().to_owned()),
        meaning: record.verdict.map(Verdict::meaning).map(str::to_owned),
        asked_at: record.asked_at,
        ended_at: record.ended_at,
    })
}
