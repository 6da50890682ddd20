//! What the store keeps, lets go of and copies: on each kind of database.

use std::collections::BTreeSet;

use kiln_model::{Digest, Isolation, JobId, JobState};
use kiln_store::{
    Ability, Accepted, Artifact, AttestationKind, Caps, NewAttestation, NewSnapshot, Once,
    Published, Store, StoreError, Turns,
};

use crate::kit::{build, project, stores};

fn once(owner: kiln_model::UserId, request: &str) -> Once {
    Once { owner, key: "k".to_owned(), request: Digest::of(request.as_bytes()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_that_is_made_again_makes_nothing_more() {
    for kept in stores().await {
        let store = &kept.store;
        let owner = project(store, "p").await;
        let asked = once(owner.1, "two builds");
        let builds = [build(owner), build(owner)];
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (store, asked, builds) = (store.clone(), asked.clone(), builds.clone());
            tasks.spawn(async move {
                store.submit_all(&builds, &Turns::chain(builds.len()), Some(&asked), 5).await
            });
        }
        let made: Vec<_> =
            tasks.join_all().await.into_iter().map(|one| one.expect("stored")).collect();
        assert!(made.iter().all(|one| *one == made[0]), "{}: {made:?}", kept.name);
        assert_eq!(store.queue_figures().await.expect("counted").ready, 1, "{}", kept.name);
        assert_eq!(store.queue_figures().await.expect("counted").held, 1, "a chain");

        let other = store
            .submit_all(&builds, &Turns::any(builds.len()), Some(&once(owner.1, "others")), 6)
            .await;
        assert!(matches!(other, Err(StoreError::OtherRequest(_))), "{}: {other:?}", kept.name);
        assert_eq!(store.sweep_answers(5).await.expect("swept"), 0);
        assert_eq!(store.sweep_answers(6).await.expect("swept"), 1);
        let anew = store
            .submit_all(&builds, &Turns::any(builds.len()), Some(&asked), 7)
            .await
            .expect("stored");
        assert_ne!(anew, made[0], "{}: a key is forgotten after a while", kept.name);
    }
}

#[tokio::test]
async fn the_queue_and_what_ended_can_be_shown() {
    for kept in stores().await {
        let store = &kept.store;
        let owner = project(store, "p").await;
        let jobs: Vec<JobId> = built(store, owner, 2).await;
        store.submit(&build(owner), 3).await.expect("stored");
        let hidden = store.in_queue(None, false, 10).await.expect("listed");
        assert_eq!((hidden.len(), hidden[0].title.clone()), (1, None), "{}", kept.name);
        let seen = store.in_queue(Some(owner.1), false, 10).await.expect("listed");
        assert_eq!(seen[0].project.as_deref(), Some("p"), "{}", kept.name);
        let ended = store.ended(0, 10).await.expect("listed");
        assert_eq!(ended.len(), jobs.len(), "{}", kept.name);
        assert!(ended.iter().all(|one| one.state == JobState::Built && one.ended_at == 9));
        assert!(store.ended(10, 10).await.expect("listed").is_empty());
    }
}

/// What is said of how a job was built.
fn said(job: JobId) -> NewAttestation {
    let envelope = Digest::of(format!("how {job} was built").as_bytes());
    NewAttestation { job, kind: AttestationKind::Provenance, envelope }
}

/// Jobs that were built, each with a package of its own.
async fn built(
    store: &Store,
    owner: (kiln_model::ProjectId, kiln_model::UserId),
    count: usize,
) -> Vec<JobId> {
    let ability = Ability { arch: "x86_64".to_owned(), isolation: Isolation::Namespaces };
    let mut jobs = Vec::new();
    for at in 0..count {
        store.submit(&build(owner), 1).await.expect("stored");
        let key = store.lease_next("w", &ability, Caps::default(), 2, 100).await;
        let key = key.expect("asked").expect("a job");
        let lock = Digest::of(format!("lock {at}").as_bytes());
        store.note_lock(key, lock).await.expect("noted");
        let artifact = Artifact {
            name: format!("x{at}-1-1.x86_64.rpm"),
            nevra: format!("x{at}-1-1.x86_64").parse().expect("a NEVRA"),
            digest: Digest::of(format!("built {at}").as_bytes()),
            size: 3,
        };
        let accepted = Accepted { key, lock, artifacts: vec![artifact] };
        store.accept(&accepted, 9).await.expect("accepted");
        jobs.push(key.job);
    }
    jobs
}

/// Publishes a job's package as the only one of a snapshot.
async fn publish(
    store: &Store,
    project: kiln_model::ProjectId,
    job: JobId,
    from: i64,
) -> Result<i64, StoreError> {
    let made = store.artifacts(job).await.expect("read").remove(0);
    let list = Digest::of(format!("list {from}").as_bytes());
    let package = Published {
        name: made.name,
        digest: made.digest,
        signed: Digest::of(format!("signed {job} {from}").as_bytes()),
        size: 4,
        job,
    };
    let new = NewSnapshot {
        project,
        target: "t".to_owned(),
        from,
        cause: format!("job {job}"),
        repomd: list,
        files: list,
        packages: list,
        count: 1,
        fresh: vec![package],
        jobs: vec![job],
        attestations: vec![said(job)],
    };
    store.publish(&new, 10 + from).await
}

#[tokio::test]
async fn old_snapshots_are_forgotten_and_the_newest_never_is() {
    for kept in stores().await {
        let store = &kept.store;
        let owner = project(store, "p").await;
        store.set_target(owner.0, &"t".parse().expect("a name"), true, 0).await.expect("set");
        let jobs = built(store, owner, 4).await;
        for (from, job) in (0..).zip(&jobs) {
            publish(store, owner.0, *job, from).await.expect("published");
        }
        let repo = store.retained().await.expect("listed").remove(0);
        assert_eq!((repo.newest, repo.settings.keep_snapshots), (4, 20), "{}", kept.name);
        assert_eq!(store.count_snapshots(&repo, 3, 11).await.expect("counted"), 1, "by its age");
        assert_eq!(store.drop_snapshots(&repo, 9, 99).await.expect("forgotten"), 3);
        assert_eq!(store.newest(owner.0, "t").await.expect("read").map(|it| it.number), Some(4));
        assert_eq!(store.package_lists().await.expect("listed").len(), 1, "{}", kept.name);

        let signed = BTreeSet::from([Digest::of(format!("signed {} 3", jobs[3]).as_bytes())]);
        let behind = store.jobs_behind(&signed).await.expect("asked");
        assert_eq!(behind, BTreeSet::from([jobs[3]]), "{}", kept.name);
        assert_eq!(store.leavings().await.expect("listed").len(), 4);
        store.fade(&jobs[..3], 50).await.expect("let go of");
        assert_eq!(store.leavings().await.expect("listed").len(), 1);
        assert_eq!(store.unfaded().await.expect("listed"), BTreeSet::from([jobs[3]]));
        assert!(store.artifacts(jobs[0]).await.expect("read").is_empty(), "{}", kept.name);
        let kept_still = store.kept().await.expect("listed");
        assert_eq!(kept_still.locks, [Digest::of(b"lock 3")], "{}", kept.name);
        assert!(kept_still.blobs.contains(&Digest::of(b"built 3")), "{}", kept.name);
        assert!(!kept_still.blobs.contains(&Digest::of(b"built 0")), "{}", kept.name);
    }
}

#[tokio::test]
async fn a_package_can_be_published_again_with_its_content_and_with_no_other() {
    for kept in stores().await {
        let store = &kept.store;
        let owner = project(store, "p").await;
        store.set_target(owner.0, &"t".parse().expect("a name"), true, 0).await.expect("set");
        let job = built(store, owner, 1).await[0];
        publish(store, owner.0, job, 0).await.expect("published");
        publish(store, owner.0, job, 1).await.expect("published again, signed anew");
        let found = store.published(owner.0, "t", "x0-1-1.x86_64.rpm").await.expect("read");
        let signed = Digest::of(format!("signed {job} 1").as_bytes());
        assert_eq!(found.map(|one| one.signed), Some(signed), "{}", kept.name);
        let list = Digest::of(b"other");
        let other = Published {
            name: "x0-1-1.x86_64.rpm".to_owned(),
            digest: list,
            signed: list,
            size: 1,
            job,
        };
        let new = NewSnapshot {
            project: owner.0,
            target: "t".to_owned(),
            from: 2,
            cause: String::new(),
            repomd: list,
            files: list,
            packages: list,
            count: 1,
            fresh: vec![other],
            jobs: vec![job],
            attestations: vec![said(job)],
        };
        let refused = store.publish(&new, 1).await;
        assert!(matches!(refused, Err(StoreError::Taken { .. })), "{}: {refused:?}", kept.name);
        let newest = store.newest(owner.0, "t").await.expect("read");
        assert_eq!(newest.map(|it| it.number), Some(2), "{}: nothing was published", kept.name);
        let log = store.log_entries(0, 10).await.expect("read");
        assert_eq!(
            log,
            [said(job).envelope],
            "{}: said once, and not of what was refused",
            kept.name
        );
    }
}

#[tokio::test]
async fn a_copy_goes_into_each_kind_of_database_and_only_into_an_empty_one() {
    let mut texts = Vec::new();
    for kept in stores().await {
        let store = &kept.store;
        let owner = project(store, "p").await;
        store.set_target(owner.0, &"t".parse().expect("a name"), true, 0).await.expect("set");
        let jobs = built(store, owner, 3).await;
        publish(store, owner.0, jobs[0], 0).await.expect("published");
        let mut text = Vec::new();
        let rows = store.dump(&mut text).await.expect("copied");
        assert!(rows > 10, "{}: {rows}", kept.name);
        let refused = store.load(&mut &*text).await;
        assert!(matches!(refused, Err(StoreError::NotEmpty)), "{}: {refused:?}", kept.name);
        texts.push((kept.name, rows, text));
    }
    for (from, rows, text) in &texts {
        for to in stores().await {
            let what = format!("{from} to {}", to.name);
            let cut = &text[..text.len() / 2];
            let refused = to.store.load(&mut &*cut).await;
            assert!(matches!(refused, Err(StoreError::Dump { .. })), "{what}: {refused:?}");
            assert_eq!(to.store.load(&mut &**text).await.expect("filled"), *rows, "{what}");
            let mut again = Vec::new();
            to.store.dump(&mut again).await.expect("copied");
            assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(text), "{what}");
            let owner = project(&to.store, "another").await;
            let made = to.store.submit(&build(owner), 1).await.expect("ids go on where they were");
            assert_eq!(made.jobs, [JobId(4)], "{what}");
        }
    }
}

#[tokio::test]
async fn what_one_process_says_the_others_hear() {
    for kept in stores().await {
        let Some(postgres) = &kept.postgres else {
            assert!(!kept.store.is_shared());
            kept.store.notify("to nobody").await.expect("said");
            continue;
        };
        let other = Store::connect(&postgres.url).await.expect("connected");
        let mut notices = other.notices().await.expect("listening");
        kept.store.notify("one\ntwo").await.expect("said");
        assert_eq!(notices.next().await.expect("heard"), "one\ntwo");
        postgres.kill().expect("killed");
        assert!(notices.next().await.is_err(), "who may have missed something is told so");
        postgres.up().expect("up again");
        let mut notices = other.notices().await.expect("listening again");
        kept.store.notify("three").await.expect("said");
        assert_eq!(notices.next().await.expect("heard"), "three");
    }
}
