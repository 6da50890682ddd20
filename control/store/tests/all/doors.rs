//! What is told to others, what is fetched, and what goes from one project to another: on each
//! kind of database.

use kiln_model::{Digest, Fault, JobState, LeaseKey, Report};
use kiln_store::{Accepted, Artifact, Message, Owner, Store, StoreError, What};
use kiln_wire::worker::{Remote, Source, SourceFile};

use crate::kit::{build, project, stores};

const DAY: i64 = 24 * 3600 * 1000;

async fn take(store: &Store, now: i64) -> Vec<Message> {
    store.take_messages(10, now, now + 60_000).await.expect("taken")
}

fn words(messages: &[Message]) -> Vec<What> {
    messages.iter().map(|message| message.what).collect()
}

#[tokio::test]
async fn whoever_listens_is_told_what_was_changed_at_least_once() {
    for kept in stores().await {
        let store = &kept.store;
        let (owner, other) = (project(store, "told").await, project(store, "untold").await);
        let listener = store.make_listener(owner.0, "https://x/", "s", 0).await.expect("made");
        let job = store.submit(&build(owner), 5).await.expect("stored").jobs[0];
        store.submit(&build(other), 5).await.expect("stored");
        let key = store.lease(job, "w", 6, 100).await.expect("leased");
        let report =
            Report { fault: Fault::Package, error: "x".into(), causes: Vec::new(), hint: None };
        store.fail(key, &report, 7).await.expect("failed");
        let messages = take(store, 10).await;
        assert_eq!(words(&messages), [What::Queued, What::Began, What::Failed], "{}", kept.name);
        assert!(messages.iter().all(|it| it.listener == Some(listener) && it.job == job));
        assert!(take(store, 11).await.is_empty(), "they are under way");
        // Whoever took them was killed: they are told once more.
        let again = take(store, 60_011).await;
        assert_eq!((again.len(), again[0].tries), (3, 2));
        store.drop_message(&again[0], true).await.expect("dropped");
        let disabled = store.failed_message(&again[1], Some(70_000), 60_012, 5 * DAY).await;
        assert!(!disabled.expect("noted"));
        assert_eq!(take(store, 70_000).await.len(), 1);
        // After days of nothing it is told nothing more, whatever there still is.
        let late = 60_012 + 6 * DAY;
        let disabled = store.failed_message(&again[2], Some(late), late, 5 * DAY).await;
        assert!(disabled.expect("noted"), "{}", kept.name);
        assert!(take(store, late + DAY).await.is_empty());
        store.submit(&build(owner), late).await.expect("stored");
        assert!(take(store, late + DAY).await.is_empty());
    }
}

#[tokio::test]
async fn the_first_that_fetches_a_source_says_what_it_is() {
    for kept in stores().await {
        let store = &kept.store;
        let owner = project(store, "far").await;
        let remote = Remote::Srpm { url: "https://x/y.src.rpm".to_owned(), digest: None };
        let mut new = build(owner);
        new.source = Source::Remote(remote.clone());
        new.jobs = vec![new.jobs[0].clone(), new.jobs[0].clone()];
        let made = store.submit(&new, 0).await.expect("stored");
        let mut keys = Vec::new();
        for job in &made.jobs {
            keys.push(store.lease(*job, "w", 1, 100).await.expect("leased"));
        }
        let file = |text: &str| {
            let digest = Digest::of(text.as_bytes());
            Source::Srpm(SourceFile { name: "source.src.rpm".to_owned(), digest, size: 1 })
        };
        let first = store.pin(keys[0], &file("a"), None).await.expect("pinned");
        let second = store.pin(keys[1], &file("b"), None).await.expect("pinned before");
        assert_eq!((&first, &second), (&file("a"), &file("a")), "{}", kept.name);
        assert_eq!(store.job(made.jobs[1]).await.expect("read").source, file("a"));
        let origin = store.build(made.build).await.expect("read").origin.expect("an origin");
        assert_eq!(origin.remote, remote);
        store.cancel(made.jobs[0], 2).await.expect("cancelled");
        let stale = store.pin(keys[0], &file("c"), None).await;
        assert!(matches!(stale, Err(StoreError::Stale(_))), "{}", kept.name);
    }
}

#[tokio::test]
async fn what_is_promoted_stands_as_built_and_waits_to_be_published() {
    for kept in stores().await {
        let store = &kept.store;
        let (from, to) = (project(store, "forge").await, project(store, "stable").await);
        let made = store.submit(&build(from), 0).await.expect("stored");
        let key = store.lease(made.jobs[0], "w", 1, 100).await.expect("leased");
        let lock = Digest::of(b"lock");
        let base = Digest::of(b"base");
        for one in [base, lock] {
            store.note_lock(key, one).await.expect("noted");
        }
        let artifact = |nevra: &str| Artifact {
            name: format!("{nevra}.rpm"),
            nevra: nevra.parse().expect("a NEVRA"),
            digest: Digest::of(nevra.as_bytes()),
            size: 3,
        };
        let artifacts = vec![artifact("x-1-1.noarch"), artifact("x-1-1.src")];
        let accepted = Accepted { key, lock, artifacts: artifacts.clone() };
        store.accept(&accepted, 2).await.expect("accepted");
        let record = store.build(made.build).await.expect("read");
        let jobs = store.jobs_of(made.build).await.expect("read");
        let owner = Owner { project: to.0, submitter: to.1, is_scratch: false, hook: None };
        let taken = store.promote(&record, &jobs, &owner, 3).await.expect("promoted");
        let job = store.job(taken.jobs[0]).await.expect("read");
        assert_eq!((job.state, job.lock, job.snapshot), (JobState::Built, Some(lock), None));
        assert_eq!(store.artifacts(job.id).await.expect("read"), artifacts);
        assert_eq!(store.build(taken.build).await.expect("read").promoted, Some(made.build));
        let key = LeaseKey { job: job.id, epoch: job.epoch };
        let mut locks = store.locks_of(key).await.expect("read");
        locks.sort();
        let mut both = [base, lock];
        both.sort();
        assert_eq!(locks, both, "{}: what it was made on is kept for it too", kept.name);
        let waiting = store.unpublished().await.expect("listed");
        assert_eq!(
            waiting.iter().map(|job| job.id).collect::<Vec<_>>(),
            [made.jobs[0], taken.jobs[0]],
            "{}",
            kept.name
        );
        for (project, has) in [(from, false), (to, true)] {
            let has_promoted = store.has_promoted(project.0, "trial-13-x86_64").await;
            assert_eq!(has_promoted.expect("asked"), has, "{}", kept.name);
        }
        assert!(!store.has_promoted(to.0, "trial-14-x86_64").await.expect("asked"));
        // Only what is published counts as made.
        assert!(store.made(to.0, "trial-13-x86_64").await.expect("listed").is_empty());
    }
}

#[tokio::test]
async fn what_a_hook_was_told_is_known() {
    for kept in stores().await {
        let store = &kept.store;
        let (project, maker) = project(store, "hooked").await;
        let hook = kiln_store::NewHook {
            name: "n".to_owned(),
            project,
            maker,
            forge: kiln_store::ForgeKind::Gitlab,
            secret: "s".to_owned(),
            url: "https://x/y.git".to_owned(),
            folder: None,
            branches: "*".to_owned(),
            tags: String::new(),
            token: Some("t".to_owned()),
        };
        let id = store.make_hook(&hook, 0).await.expect("made");
        assert!(store.hears(id, "d", 1).await.expect("noted"));
        assert!(!store.hears(id, "d", 2).await.expect("noted"), "{}", kept.name);
        store.unhears(id, "d").await.expect("noted");
        assert!(store.hears(id, "d", 3).await.expect("noted"));
        let mut new = build((project, maker));
        new.owner = new.owner.map(|owner| Owner { hook: Some(id), ..owner });
        let job = store.submit(&new, 4).await.expect("stored").jobs[0];
        let told = take(store, 5).await;
        assert_eq!((told.len(), told[0].hook, told[0].job), (1, Some(id), job));
        store.remove_hook(project, id, 6).await.expect("removed");
        assert!(store.hook("n").await.expect("asked").is_none());
        store.submit(&new, 7).await.expect("stored");
        assert!(take(store, 8).await.is_empty(), "{}", kept.name);
    }
}
