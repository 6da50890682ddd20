//! What becomes of a job, from queued to its end: on each kind of database.

use kiln_model::{Digest, Epoch, Fault, JobId, JobState, LeaseKey, Report, Stage};
use kiln_store::{Accepted, Artifact, StageRecord, Store, StoreError};

use crate::kit::{Kept, build, project, stores};

async fn submitted(store: &Store, project_name: &str) -> JobId {
    let owner = project(store, project_name).await;
    store.submit(&build(owner), 1).await.expect("submitted").jobs[0]
}

fn accepted(key: LeaseKey) -> Accepted {
    let artifact = Artifact {
        name: "x-1-1.x86_64.rpm".to_owned(),
        nevra: "x-1-1.x86_64".parse().expect("a NEVRA"),
        digest: Digest::of(b"rpm"),
        size: 3,
    };
    Accepted { key, lock: Digest::of(b"lock"), artifacts: vec![artifact] }
}

#[tokio::test]
async fn a_job_goes_from_queued_to_one_of_its_ends() {
    for Kept { store, name, .. } in &stores().await {
        goes_from_queued_to_built(store, name).await;
        is_not_leased_twice(store, name).await;
        has_no_setback_by_a_worker_that_is_stopped(store, name).await;
        keeps_a_failure_with_its_hint(store, name).await;
    }
}

async fn goes_from_queued_to_built(store: &Store, kind: &str) {
    let job = submitted(store, "built").await;
    assert_eq!(store.job(job).await.expect("read").state, JobState::Queued, "{kind}");
    let key = store.lease(job, "here", 0, 100).await.expect("leased");
    let stage = StageRecord { stage: Stage::Run, wall_ms: 5, cpu_ms: 4, note: "x".to_owned() };
    for _ in 0..2 {
        store.note_stage(key, 0, &stage).await.expect("noted");
    }
    store.note_lock(key, Digest::of(b"lock")).await.expect("noted");
    store.accept(&accepted(key), 9).await.expect("accepted");
    let record = store.job(job).await.expect("read");
    assert_eq!((record.state, record.ended_at), (JobState::Built, Some(9)), "{kind}");
    assert_eq!(store.stages(job).await.expect("read"), [stage], "{kind}");
    assert_eq!(store.artifacts(job).await.expect("read"), accepted(key).artifacts, "{kind}");
    let kept = store.kept().await.expect("listed");
    assert_eq!(kept.locks, [Digest::of(b"lock")], "{kind}");
    assert_eq!(kept.blobs, [Digest::of(b"rpm"), Digest::of(b"x")], "{kind}");
}

#[tokio::test]
async fn a_stale_lease_changes_nothing() {
    for Kept { store, name, .. } in &stores().await {
        let job = submitted(store, "stale").await;
        let key = store.lease(job, "here", 0, 100).await.expect("leased");
        let stale = LeaseKey { epoch: Epoch(key.epoch.0 + 1), ..key };
        let late = store.accept(&accepted(stale), 2).await;
        assert!(matches!(late, Err(StoreError::Stale(_))), "{name}: {late:?}");
        store.cancel(job, 3).await.expect("cancelled");
        let late = store.accept(&accepted(key), 4).await;
        assert!(matches!(late, Err(StoreError::Stale(_))), "{name}: {late:?}");
        assert_eq!(store.job(job).await.expect("read").state, JobState::Cancelled, "{name}");
        assert!(store.artifacts(job).await.expect("read").is_empty(), "{name}");
    }
}

async fn is_not_leased_twice(store: &Store, kind: &str) {
    let job = submitted(store, "twice").await;
    store.lease(job, "here", 0, 100).await.expect("leased");
    let again = store.lease(job, "there", 0, 100).await;
    assert!(matches!(again, Err(StoreError::Illegal { .. })), "{kind}: {again:?}");
}

async fn has_no_setback_by_a_worker_that_is_stopped(store: &Store, kind: &str) {
    let job = submitted(store, "stopped").await;
    let key = store.lease(job, "here", 0, 100).await.expect("leased");
    store.release(key).await.expect("put back");
    let again = store.release(key).await;
    assert!(matches!(again, Err(StoreError::Stale(_))), "{kind}: {again:?}");
    let record = store.job(job).await.expect("read");
    assert_eq!((record.state, record.setbacks), (JobState::Queued, 0), "{kind}");
    let next = store.lease(job, "there", 0, 100).await.expect("leased");
    assert_eq!(next.epoch, Epoch(2), "{kind}");
}

async fn keeps_a_failure_with_its_hint(store: &Store, kind: &str) {
    let job = submitted(store, "failed").await;
    let key = store.lease(job, "here", 0, 100).await.expect("leased");
    let report = Report {
        fault: Fault::Package,
        error: "it broke".to_owned(),
        causes: vec!["zlib.h is missing".to_owned()],
        hint: Some("add 'BuildRequires: zlib-devel'".to_owned()),
    };
    store.fail(key, &report, 5).await.expect("stored");
    assert_eq!(store.job(job).await.expect("read").report, Some(report), "{kind}");
}

#[tokio::test]
async fn what_nobodys_build_made_is_forgotten_by_its_age() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("kiln.db")).await.expect("opened");
    let owner = project(&store, "local").await;
    let nobodys = kiln_store::NewBuild { owner: None, ..build(owner) };
    let job = store.submit(&nobodys, 1).await.expect("submitted").jobs[0];
    let key = store.lease(job, "here", 0, 100).await.expect("leased");
    store.accept(&accepted(key), 9).await.expect("accepted");
    assert_eq!(store.forget(9).await.expect("asked"), 0, "it ended at 9");
    assert_eq!(store.forget(10).await.expect("forgotten"), 1);
    assert!(store.kept().await.expect("listed").blobs.is_empty());
}

#[tokio::test]
async fn two_processes_write_one_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kiln.db");
    let store = Store::open(&file).await.expect("opened");
    let owner = project(&store, "both").await;
    let other = Store::open(&file).await.expect("opened again");
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..20 {
        let store = if index % 2 == 0 { store.clone() } else { other.clone() };
        tasks.spawn(async move { store.submit(&build(owner), index).await });
    }
    let results = tasks.join_all().await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}
