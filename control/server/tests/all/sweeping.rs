//! What nothing needs goes, and nothing else, while the service goes on.

use std::collections::BTreeSet;
use std::fs::{File, FileTimes};
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::StatusCode;
use kiln_flow::{Sweep, Swept};
use kiln_model::{Digest, Fault, JobId, Report};

use crate::kit::{LATER, Scene, TARGET, Who};

const DAY: u64 = 24 * 3600;

/// Lets days pass: for the clock, and for every blob.
fn later(scene: &Scene, days: u64) {
    LATER.fetch_add((days * DAY * 1000) as i64, Ordering::Relaxed);
    let cas = scene.app.flow.cas();
    for (digest, _) in cas.list().expect("listed") {
        let file = File::open(cas.path(&digest)).expect("opened");
        let used = file.metadata().and_then(|about| about.modified()).expect("a time");
        let times = FileTimes::new().set_modified(used - Duration::from_secs(days * DAY));
        file.set_times(times).expect("aged");
    }
}

/// A published package of a buildroot that no other had, which is in the store.
async fn published(scene: &Scene, package: &str) -> (JobId, Digest) {
    let job = scene.order("clay", &format!("{package}-1.0-1.src.rpm")).await;
    let key = scene.lease(job).await;
    scene.log(key, b"done\n");
    let build_requirement = format!("for-{package}-1-1.noarch");
    let bytes = scene.app.flow.cas().insert_bytes(build_requirement.as_bytes()).expect("kept");
    scene.built(key, package, "1", &[&build_requirement]).await;
    (job, bytes)
}

async fn status(scene: &Scene, path: &str) -> StatusCode {
    scene.page(path, Who::Reader).await.status
}

fn package(name: &str, snapshot: &str) -> String {
    format!("/repos/clay/{TARGET}/{snapshot}/Packages/{}/{name}-1.0-1.noarch.rpm", &name[..1])
}

async fn sweep(scene: &Scene, is_trial: bool) -> Swept {
    let young = Duration::from_secs(DAY);
    scene.app.publisher.sweep(Sweep { young, is_trial }).await.expect("swept")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_kept_snapshot_lock_or_build_names_goes_and_nothing_else() {
    let scene = Scene::peopled("http://localhost").await;
    let mut clay = scene.store().project("clay").await.expect("read").expect("there");
    clay.settings.keep_snapshots = 1;
    clay.settings.keep_days = 10;
    scene.store().set_project(&clay).await.expect("changed");

    let (ash, for_ash) = published(&scene, "ash").await;
    let (bone, for_bone) = published(&scene, "bone").await;
    scene.app.publisher.roll_back(&clay, TARGET, 1, "mia").await.expect("gone back");
    let failed = scene.order("clay", "broken-1.0-1.src.rpm").await;
    let key = scene.lease(failed).await;
    scene.log(key, b"error\n");
    let error = "it broke".to_owned();
    let report = Report { fault: Fault::Package, error, causes: Vec::new(), hint: None };
    scene.fail(key, &report).await;
    later(&scene, 11);
    let (_, for_clinker) = published(&scene, "clinker").await;
    let waiting = scene.order("clay", "waiting-1.0-1.src.rpm").await;
    let stray = scene.app.flow.cas().insert_bytes(b"nobody names it").expect("kept");
    let fresh = scene.app.flow.cas().insert_bytes(b"an upload under way").expect("kept");
    assert_eq!(scene.app.flow.cas().list().expect("listed").len(), there(&scene).len());
    later(&scene, 2);
    assert!(scene.app.flow.cas().has(&fresh), "somebody asked for it");

    let before = there(&scene);
    let trial = sweep(&scene, true).await;
    assert_eq!(there(&scene), before, "a trial removes nothing");
    let swept = sweep(&scene, false).await;
    // Of four snapshots the newest and one more stay; of the jobs 'ash', 'clinker' and the one
    // that waits, since the snapshots have the packages of the first two.
    assert_eq!((swept.snapshots, swept.jobs, swept.logs), (2, 2, 2), "{swept:?}");
    assert_eq!((trial.snapshots, trial.jobs), (2, 1), "what snapshots name is counted: {trial:?}");
    let after = there(&scene);
    assert_eq!(before.len() - after.len(), swept.blobs as usize);
    for (digest, stays) in
        [(for_ash, true), (for_clinker, true), (fresh, true), (for_bone, false), (stray, false)]
    {
        assert_eq!(after.contains(&digest), stays, "{digest}");
    }
    let source = |title: &str| Digest::of(title.as_bytes());
    assert!(after.contains(&source("waiting-1.0-1.src.rpm")), "{waiting} is to be built yet");
    assert!(
        after.contains(&source("ash-1.0-1.src.rpm"))
            && !after.contains(&source("broken-1.0-1.src.rpm"))
    );
    let named = scene.app.flow.named().await.expect("named");
    let ours = |digest: &&Digest| !after.contains(*digest);
    // Buildroots of the kit name packages that were never there: only those are missing.
    assert!(named.iter().filter(ours).all(|digest| !before.contains(digest)), "a named blob went");

    for (path, found) in [
        (package("ash", "4"), StatusCode::OK),
        (package("clinker", "current"), StatusCode::OK),
        (package("bone", "current"), StatusCode::NOT_FOUND),
        (format!("/repos/clay/{TARGET}/3/repodata/repomd.xml"), StatusCode::OK),
        (format!("/repos/clay/{TARGET}/2/repodata/repomd.xml"), StatusCode::NOT_FOUND),
        (format!("/api/v1/jobs/{ash}/logs/build"), StatusCode::OK),
        (format!("/jobs/{bone}"), StatusCode::OK),
        (format!("/jobs/{failed}"), StatusCode::OK),
    ] {
        assert_eq!(status(&scene, &path).await, found, "{path}");
    }
    let again = sweep(&scene, false).await;
    assert_eq!((again.snapshots, again.jobs, again.blobs), (0, 0, 0), "{again:?}");

    // What was let go of can be built again, with the same content under the same name.
    let anew = scene.publish("clay", "bone", "1").await;
    let record = scene.store().job(anew).await.expect("read");
    assert_eq!((record.state.word(), record.snapshot), ("built", Some(5)), "{:?}", record.report);
    assert_eq!(status(&scene, &package("bone", "current")).await, StatusCode::OK);
    let refused = scene.app.flow.resubmit(failed, scene.users["pat"], None).await;
    assert!(refused.is_err(), "its sources are gone");
}

fn there(scene: &Scene) -> BTreeSet<Digest> {
    let all = scene.app.flow.cas().list().expect("listed");
    all.into_iter().map(|(digest, _)| digest).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_of_a_snapshot_that_was_gone_back_behind_come_again() {
    let scene = Scene::peopled("http://localhost").await;
    let clay = scene.store().project("clay").await.expect("read").expect("there");
    scene.publish("clay", "ash", "1").await;
    scene.publish("clay", "bone", "1").await;
    scene.app.publisher.roll_back(&clay, TARGET, 1, "mia").await.expect("gone back");
    let count = async || {
        let newest = scene.store().newest(clay.id, TARGET).await.expect("read");
        newest.map(|it| (it.number, it.count))
    };
    assert_eq!(count().await, Some((3, 1)));
    scene.publish("clay", "bone", "1").await;
    assert_eq!(count().await, Some((4, 2)), "the same again, and it is there again");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_swept_while_a_backup_is_made() {
    let scene = Scene::peopled("http://localhost").await;
    let held = scene.app.flow.cas().hold().expect("held");
    assert!(scene.app.publisher.sweep(Sweep::default()).await.is_err());
    drop(held);
    scene.app.publisher.sweep(Sweep::default()).await.expect("swept");
}
