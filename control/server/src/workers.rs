//! What workers ask and say. Who speaks comes from the credential; each request about a lease is
//! refused unless that worker holds it.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use kiln_access::{Principal, Secret};
use kiln_flow::{Event, FlowError};
use kiln_model::{Digest, Epoch, JobId, LeaseKey, WorkerName};
use kiln_store::{
    Ability, NewWorker, StoreError, TicketKind, WorkerRecord, WorkerSays, WorkerState,
};
use kiln_wire::worker::{
    Enrol, Enrolled, Fetched, Finish, LeaseAnswer, LeaseRequest, Pinned, Provide, Provided, Renew,
    Renewed, ResolveRequest, Resolved, StageNote, VERSION,
};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use crate::api::uploads::receive;
use crate::bodies::{self, Taken};
use crate::guard::Asker;
use crate::live::name_of;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// How long a worker waits for something to do before it asks again.
const PATIENCE: Duration = Duration::from_secs(30);

/// For so many milliseconds a worker that was heard of counts as just heard of.
const SEEN: i64 = 5_000;

/// The most bytes of one piece of a log.
const PIECE: usize = 1 << 20;

/// Where in a log a piece begins.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct At {
    offset: u64,
}

pub(crate) async fn enrol(
    State(app): State<App>,
    Taken(asked): Taken<Enrol>,
) -> Answer<Json<Enrolled>> {
    let name = app.access.use_ticket(TicketKind::Worker, &asked.ticket, app.now()).await?;
    let name: WorkerName = name.parse().map_err(Refused::wrong)?;
    let credential = Secret::new("worker");
    let worker = NewWorker {
        name: name.clone(),
        hash: credential.hash(),
        arch: kiln_model::Foreign::capped(&asked.arch, 32).as_str().to_owned(),
        slots: i64::from(asked.slots.min(10_000)),
        version: kiln_model::Foreign::capped(&asked.version, 64).as_str().to_owned(),
    };
    app.store().enrol(&worker, app.now()).await?;
    app.note(name.as_str(), "worker enrolled", name.as_str(), &worker.arch).await;
    Ok(Json(Enrolled { name: name.to_string(), credential: credential.text().to_owned() }))
}

pub(crate) async fn lease(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<LeaseRequest>,
) -> Answer<Json<LeaseAnswer>> {
    if asked.protocol != VERSION {
        let error = format!("this service speaks version {VERSION}, not {}", asked.protocol);
        return Err(Refused::wrong(error).with_hint("run the service's version of kiln"));
    }
    // Before the first look, so that nothing is missed between it and the waiting.
    let mut events = app.flow.events().listen();
    let until = Instant::now() + PATIENCE;
    let mut is_woken = false;
    loop {
        let Some(worker) = still(&app, &asker).await? else {
            return Ok(Json(LeaseAnswer { lease: None, is_draining: true }));
        };
        saw(&app, &worker, &asked).await?;
        let ability = Ability { arch: worker.arch, isolation: asked.isolation };
        let turn = if is_woken { app.leasing.acquire().await.ok() } else { None };
        let leased = app.flow.lease_next(&worker.name, &ability, app.settings.caps).await?;
        drop(turn);
        if leased.is_some() {
            return Ok(Json(LeaseAnswer { lease: leased, is_draining: false }));
        }
        is_woken = true;
        loop {
            match timeout_at(until, events.recv()).await {
                Ok(Ok(Event::Queued) | Err(RecvError::Lagged(_))) => break,
                Ok(Ok(_)) => {}
                Ok(Err(RecvError::Closed)) | Err(_) => {
                    return Ok(Json(LeaseAnswer { lease: None, is_draining: false }));
                }
            }
        }
    }
}

/// The worker as it stands now, if it may be given something to do.
async fn still(app: &App, asker: &Asker) -> Answer<Option<WorkerRecord>> {
    let name = worker_of(asker)?;
    let worker = app.store().worker(name).await?;
    Ok(worker.filter(|one| one.state == WorkerState::Active))
}

/// Notes that a worker was heard of: often enough to tell that it is there, and not a write for
/// each of its slots each time that something is queued.
async fn saw(app: &App, worker: &WorkerRecord, asked: &LeaseRequest) -> Answer<()> {
    let version = kiln_model::Foreign::capped(&asked.version, 64);
    let slots = i64::from(asked.slots.min(10_000));
    let says = WorkerSays { slots, version: version.as_str(), has_kvm: asked.has_kvm };
    let WorkerRecord { slots, version, has_kvm, .. } = worker;
    let is_known = says == WorkerSays { slots: *slots, version, has_kvm: *has_kvm };
    if is_known && worker.seen_at.is_some_and(|at| at + SEEN > app.now()) {
        return Ok(());
    }
    Ok(app.store().saw_worker(&worker.name, says, app.now()).await?)
}

pub(crate) async fn renew(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<Renew>,
) -> Answer<Json<Renewed>> {
    let worker = worker_of(&asker)?;
    let mut events = app.flow.events().listen();
    let until = Instant::now() + PATIENCE;
    loop {
        let lost = app.flow.renew(worker, &asked.keys).await?;
        if !lost.is_empty() {
            return Ok(Json(Renewed { lost }));
        }
        let is_its = |job: JobId| asked.keys.iter().any(|key| key.job == job);
        loop {
            match timeout_at(until, events.recv()).await {
                Ok(Ok(Event::Job(job))) if is_its(job) => break,
                Ok(Err(RecvError::Lagged(_))) => break,
                Ok(Ok(_)) => {}
                Ok(Err(RecvError::Closed)) | Err(_) => {
                    return Ok(Json(Renewed { lost: Vec::new() }));
                }
            }
        }
    }
}

pub(crate) async fn resolve(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<ResolveRequest>,
) -> Answer<Json<Resolved>> {
    held(&app, &asker, asked.key).await?;
    let resolved = app.flow.resolve(&asked).await?;
    app.forget_grants(asked.key);
    Ok(Json(resolved))
}

/// What a worker fetched is checked like what people upload, and becomes the build's source.
pub(crate) async fn source(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(fetched): Taken<Fetched>,
) -> Answer<Json<Pinned>> {
    held(&app, &asker, fetched.key).await?;
    let pinned = app.flow.pin(&fetched).await;
    set_aside(&app, &asker, fetched.key, pinned.as_ref().err()).await?;
    let source = pinned?;
    app.forget_grants(fetched.key);
    Ok(Json(Pinned { source }))
}

pub(crate) async fn provide(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<Provide>,
) -> Answer<Json<Provided>> {
    held(&app, &asker, asked.key).await?;
    let locks = app.store().locks_of(asked.key).await?;
    let lock = match locks.contains(&asked.lock) {
        true => app.flow.lock(&asked.lock)?,
        false => None,
    };
    let lock = lock.ok_or_else(|| Refused::none("lock of this lease", &asked.lock.to_string()))?;
    let packages: Vec<_> = lock.every_package().collect();
    let fetched = app.flow.provide(asked.key, &packages).await?;
    Ok(Json(Provided { fetched }))
}

pub(crate) async fn stage(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<StageNote>,
) -> Answer<StatusCode> {
    held(&app, &asker, asked.key).await?;
    app.flow.note_stage(asked.key, &asked.ended).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A worker's claim: what is false in it sets the worker aside.
pub(crate) async fn finish(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<Finish>,
) -> Answer<StatusCode> {
    held(&app, &asker, asked.key).await?;
    let finished = app.flow.finish(asked.key, asked.ending).await;
    app.flow.logs().close(asked.key);
    app.forget_grants(asked.key);
    set_aside(&app, &asker, asked.key, finished.as_ref().err()).await?;
    finished?;
    app.flow.events().tell(Event::Queued);
    Ok(StatusCode::NO_CONTENT)
}

/// Whose claim was found false gets nothing more to do.
async fn set_aside(
    app: &App,
    asker: &Asker,
    key: LeaseKey,
    error: Option<&FlowError>,
) -> Answer<()> {
    let Some(FlowError::Accept(false_claim)) = error else { return Ok(()) };
    let (name, why) = (worker_of(asker)?, false_claim.to_string());
    app.store().set_worker(name, WorkerState::Aside, &why).await?;
    app.note(&asker.label(), "breach", &key.job.to_string(), &why).await;
    Ok(())
}

/// A blob that the lease's locks or sources name, and no other.
pub(crate) async fn blob(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((job, epoch, digest)): Path<(i64, i64, String)>,
    request: Request,
) -> Answer<Response> {
    let key = LeaseKey { job: JobId(job), epoch: Epoch(epoch) };
    held(&app, &asker, key).await?;
    let digest: Digest = digest.parse().map_err(Refused::wrong)?;
    if !granted(&app, key).await?.contains(&digest) {
        return Err(kiln_access::Denied::Forbidden.into());
    }
    let path = app.flow.cas().path(&digest);
    bodies::blob(&path, &digest, "application/octet-stream", request).await
}

pub(crate) async fn artifact(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((job, epoch, digest, size)): Path<(i64, i64, String, u64)>,
    Query(at): Query<At>,
    body: Body,
) -> Answer<Json<kiln_api::Upload>> {
    let key = LeaseKey { job: JobId(job), epoch: Epoch(epoch) };
    held(&app, &asker, key).await?;
    let digest: Digest = digest.parse().map_err(Refused::wrong)?;
    if size > app.settings.limits.disk {
        return Err(Refused::wrong("more bytes than a build may write"));
    }
    Ok(Json(receive(app.flow.cas(), digest, size, at.offset, body).await?))
}

pub(crate) async fn log(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((job, epoch, name)): Path<(i64, i64, String)>,
    Query(at): Query<At>,
    body: Body,
) -> Answer<StatusCode> {
    let key = LeaseKey { job: JobId(job), epoch: Epoch(epoch) };
    held(&app, &asker, key).await?;
    let name = name_of(&name)?;
    let bytes = axum::body::to_bytes(body, PIECE).await.map_err(Refused::wrong)?;
    if at.offset.saturating_add(bytes.len() as u64) > app.settings.limits.log + PIECE as u64 {
        return Err(Refused::wrong("more bytes than a log may have"));
    }
    app.flow.logs().append_at(key, name, at.offset, &bytes).map_err(Refused::wrong)?;
    app.flow.events().tell(Event::Log(key));
    Ok(StatusCode::NO_CONTENT)
}

fn worker_of(asker: &Asker) -> Answer<&str> {
    match &asker.principal {
        Principal::Worker(worker) => Ok(&worker.name),
        Principal::Anonymous | Principal::User { .. } => Err(kiln_access::Denied::Forbidden.into()),
    }
}

/// That this worker holds the lease.
async fn held(app: &App, asker: &Asker, key: LeaseKey) -> Answer<()> {
    match app.store().is_held_by(worker_of(asker)?, key).await? {
        true => Ok(()),
        false => Err(StoreError::Stale(key).into()),
    }
}

/// What a lease's worker may fetch: what its locks name, and its sources.
async fn granted(app: &App, key: LeaseKey) -> Answer<Arc<BTreeSet<Digest>>> {
    let known = |app: &App| {
        let granted = app.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.get(&key).cloned()
    };
    if let Some(known) = known(app) {
        return Ok(known);
    }
    let mut digests = BTreeSet::new();
    for lock in app.store().locks_of(key).await? {
        if let Some(lock) = app.flow.lock(&lock)? {
            digests.extend(lock.every_package().map(|package| package.digest));
        }
    }
    let source = app.store().job(key.job).await?.source;
    digests.extend(source.files().iter().map(|file| file.digest));
    let digests = Arc::new(digests);
    let mut granted = app.granted.lock().unwrap_or_else(PoisonError::into_inner);
    granted.insert(key, Arc::clone(&digests));
    Ok(digests)
}
