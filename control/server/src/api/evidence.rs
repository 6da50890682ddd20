//! What is said of jobs, what they were made of, and all of it in one file.

use std::io::Write;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use kiln_api::Attestation;
use kiln_bundle::Bundle;
use kiln_cas::Cas;
use kiln_model::{Digest, JobId};
use kiln_sbom::Format;
use kiln_store::AttestationKind;
use kiln_wire::record::Record;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::bodies::{self, harmless};
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// The type of an envelope (github.com/secure-systems-lab/dsse, envelope.md).
pub(crate) const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// The type of our own documents. Bills have types of their own, one for each form; to HTTP they are
/// one resource with one type.
pub(crate) const JSON: &str = "application/json";

/// How much of a bundle is made ready before somebody has read what came before.
const AHEAD: usize = 4;

pub(crate) async fn list(
    State(app): State<App>,
    Path(job): Path<i64>,
) -> Answer<Json<Vec<Attestation>>> {
    Ok(Json(of(&app, JobId(job)).await?))
}

/// What is said of a job, how it was built first.
pub(crate) async fn of(app: &App, job: JobId) -> Answer<Vec<Attestation>> {
    let mut all = Vec::new();
    for kind in [AttestationKind::Provenance, AttestationKind::Verdict] {
        let found = app.store().attestations(job, kind).await?;
        all.extend(found.into_iter().map(|one| Attestation {
            kind: kind.word().to_owned(),
            digest: one.envelope.to_string(),
            position: one.position,
            made_at: one.at,
        }));
    }
    Ok(all)
}

/// The digest of an envelope, if it says something of that job.
async fn said_of(app: &App, job: i64, digest: &str) -> Answer<Digest> {
    let all = of(app, JobId(job)).await?;
    let none = || Refused::none("attestation of this job", digest);
    let found = all.into_iter().find(|one| one.digest == digest).ok_or_else(none)?;
    found.digest.parse().map_err(|_| none())
}

pub(crate) async fn envelope(
    State(app): State<App>,
    Path((job, digest)): Path<(i64, String)>,
    request: Request,
) -> Answer<Response> {
    let digest = said_of(&app, job, &digest).await?;
    let path = app.flow.cas().path(&digest);
    bodies::blob(&path, &digest, ENVELOPE, request).await
}

pub(crate) async fn proof(
    State(app): State<App>,
    Path((job, digest)): Path<(i64, String)>,
) -> Answer<Response> {
    let digest = said_of(&app, job, &digest).await?;
    proof_of(&app, &digest).await
}

/// That the log holds an envelope.
pub(crate) async fn proof_of(app: &App, digest: &Digest) -> Answer<Response> {
    let proof = app.publisher.proof(digest).await?;
    let proof = proof.ok_or_else(|| Refused::none("entry of the log", &digest.to_string()))?;
    Ok(document(proof.to_bytes(), JSON))
}

/// A document of our own making.
pub(crate) fn document(bytes: Vec<u8>, kind: &'static str) -> Response {
    let mut response = bytes.into_response();
    harmless(response.headers_mut(), kind);
    response
}

async fn record_of(app: &App, job: i64) -> Answer<Record> {
    let record = app.publisher.record(&app.store().job(JobId(job)).await?).await?;
    record.ok_or_else(|| {
        Refused::none("record of job", &job.to_string())
            .with_hint("there is one of a job that was built and is kept")
    })
}

pub(crate) async fn record(State(app): State<App>, Path(job): Path<i64>) -> Answer<Response> {
    let record = record_of(&app, job).await?;
    Ok(document(kiln_attest::canonical(&record), JSON))
}

fn format_of(word: &str) -> Answer<Format> {
    let none = || Refused::none("form of a bill of materials", word);
    Format::from_word(word).ok_or_else(|| none().with_hint("there are spdx and cyclonedx"))
}

pub(crate) async fn sbom(
    State(app): State<App>,
    Path((job, format)): Path<(i64, String)>,
) -> Answer<Response> {
    let format = format_of(&format)?;
    let job = app.store().job(JobId(job)).await?;
    let bill = app.publisher.bill_of_job(&job).await?;
    let none = || Refused::none("bill of materials of job", &job.id.to_string());
    Ok(document(bill.ok_or_else(none)?.to_bytes(format), JSON))
}

pub(crate) async fn sbom_of_repo(
    State(app): State<App>,
    axum::Extension(asker): axum::Extension<Asker>,
    Path((_, target, number, format)): Path<(String, String, String, String)>,
) -> Answer<Response> {
    let (project, format) = (asker.project()?, format_of(&format)?);
    let store = app.store();
    let record = match (number.as_str(), number.parse::<i64>()) {
        ("current", _) => store.newest(project.id, &target).await?,
        (_, Ok(number)) => store.snapshot(project.id, &target, number).await?,
        (_, Err(_)) => None,
    };
    let record = record.ok_or_else(|| Refused::none("snapshot", &number))?;
    let bill = app.publisher.bill_of_snapshot(project, &target, &record).await?;
    Ok(document(bill.to_bytes(format), JSON))
}

/// Everything that it takes to make a job's packages again, in one file.
pub(crate) async fn bundle(State(app): State<App>, Path(job): Path<i64>) -> Answer<Response> {
    let record = record_of(&app, job).await?;
    let said = app.store().attestations(JobId(job), AttestationKind::Provenance).await?;
    let evidence = match said.last() {
        Some(said) => app.publisher.evidence(&said.envelope).await?,
        None => None,
    };
    let cas = app.flow.cas().clone();
    let (pieces, receiver) = mpsc::channel(AHEAD);
    let (begun, begins) = tokio::sync::oneshot::channel();
    tokio::task::spawn_blocking(move || {
        send(&cas, record, evidence, begun, &Pieces(pieces));
    });
    let size = begins.await.map_err(|_| Refused::lost("a thread was lost"))??;
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(receiver)));
    harmless(response.headers_mut(), "application/x-tar");
    response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
    let disposition = format!("attachment; filename=\"job-{job}.kiln.tar\"");
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// Says whether there is a bundle, and how long it is; then what is in it.
fn send(
    cas: &Cas,
    record: Record,
    evidence: Option<kiln_bundle::Evidence>,
    begun: tokio::sync::oneshot::Sender<Answer<u64>>,
    pieces: &Pieces,
) {
    let bundle = match Bundle::of(record, evidence, cas) {
        Ok(bundle) => bundle,
        Err(error) => {
            let _ = begun.send(Err(error.into()));
            return;
        }
    };
    if begun.send(Ok(bundle.size())).is_err() {
        return;
    }
    let mut to = std::io::BufWriter::with_capacity(256 << 10, pieces);
    if let Err(error) = bundle.write(&mut to) {
        // What was promised does not come: the body ends as one that was cut off.
        let _ = pieces.0.blocking_send(Err(std::io::Error::other(error)));
    }
}

type Piece = Result<Bytes, std::io::Error>;

/// Hands what is written to whoever reads the answer, as fast as they do.
struct Pieces(mpsc::Sender<Piece>);

impl Write for &Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
