//! Who is next: on each kind of database.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test tells is printed")]

use kiln_model::{Fault, Isolation, JobId, JobState, ProjectId, Report, UserId};
use kiln_store::{
    Ability, Caps, NewSnapshot, NewWorker, Store, StoreError, WorkerSays, WorkerState,
};

use crate::kit::{build, project, stores};

fn x86() -> Ability {
    Ability { arch: "x86_64".to_owned(), isolation: Isolation::Namespaces }
}

async fn next(store: &Store) -> Option<JobId> {
    let leased = store.lease_next("w", &x86(), Caps::default(), 1, 100).await;
    leased.expect("asked").map(|key| key.job)
}

#[tokio::test]
async fn nobody_waits_behind_one_persons_mass_rebuild() {
    for kept in stores().await {
        let store = &kept.store;
        let (many, one) = (project(store, "many").await, project(store, "one").await);
        for _ in 0..1000 {
            store.submit(&build(many), 0).await.expect("stored");
        }
        for _ in 0..3 {
            next(store).await.expect("a job");
        }
        let lonely = store.submit(&build(one), 0).await.expect("stored").jobs[0];
        let mut before = 0;
        while next(store).await.expect("a job") != lonely {
            before += 1;
        }
        println!("{}: {before} of 1000 went first; first come, first served: 997", kept.name);
        assert!(before <= 1, "{}: {before} went before it", kept.name);
    }
}

#[tokio::test]
async fn weight_priority_background_and_caps_count() {
    for kept in stores().await {
        let store = &kept.store;
        let (light, heavy) = (project(store, "light").await, project(store, "heavy").await);
        let mut record = store.project("heavy").await.expect("read").expect("there");
        record.weight = 300;
        store.set_project(&record).await.expect("changed");
        for _ in 0..40 {
            store.submit(&build(light), 0).await.expect("stored");
            store.submit(&build(heavy), 0).await.expect("stored");
        }
        let mut served = 0;
        for _ in 0..40 {
            let job = store.job(next(store).await.expect("a job")).await.expect("read");
            served += u32::from(job.project == Some(heavy.0));
        }
        assert!((29..=31).contains(&served), "{}: {served} of 40", kept.name);

        let mut urgent = build(light);
        urgent.jobs[0].priority = 5;
        let urgent = store.submit(&urgent, 0).await.expect("stored").jobs[0];
        let mut background = build(heavy);
        background.jobs[0].is_background = true;
        let background = store.submit(&background, 0).await.expect("stored").jobs[0];
        let mut order = Vec::new();
        while let Some(job) = next(store).await {
            order.push(job);
        }
        let of_light = |job: &&JobId| **job == urgent;
        assert!(order.iter().position(|job| of_light(&job)).expect("leased") < 8);
        assert_eq!(order.last(), Some(&background), "{}", kept.name);

        store.submit(&build(light), 0).await.expect("stored");
        let caps = Caps { project: Some(40), ..Caps::default() };
        let capped = store.lease_next("w", &x86(), caps, 1, 100).await.expect("asked");
        assert_eq!(capped, None, "{}: 41 of its are being built", kept.name);
        let other = Ability { arch: "aarch64".to_owned(), isolation: Isolation::Namespaces };
        let other = store.lease_next("w", &other, Caps::default(), 1, 100).await;
        assert_eq!(other.expect("asked"), None, "{}", kept.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_never_get_one_job() {
    for kept in stores().await {
        let owner = project(&kept.store, "p").await;
        for _ in 0..60 {
            kept.store.submit(&build(owner), 0).await.expect("stored");
        }
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let store = kept.store.clone();
            tasks.spawn(async move {
                let mut got = Vec::new();
                while let Some(job) = next(&store).await {
                    got.push(job);
                }
                got
            });
        }
        let mut all: Vec<JobId> = tasks.join_all().await.into_iter().flatten().collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!((count, all.len()), (60, 60), "{}", kept.name);
    }
}

#[tokio::test]
async fn what_waits_begins_when_it_is_published_and_ends_when_that_fails() {
    for kept in stores().await {
        let store = &kept.store;
        let owner = project(store, "p").await;
        let first = store.submit(&build(owner), 0).await.expect("stored").jobs[0];
        let mut second = build(owner);
        second.jobs[0].waits_for = vec![first];
        let second = store.submit(&second, 0).await.expect("stored").jobs[0];
        let key = store.lease_next("w", &x86(), Caps::default(), 1, 100).await;
        let key = key.expect("asked").expect("the first");
        assert_eq!((key.job, next(store).await), (first, None), "{}", kept.name);

        store.set_target(owner.0, &"t".parse().expect("a name"), true, 0).await.expect("set");
        let digest = kiln_model::Digest::of(b"list");
        let snapshot = |from| NewSnapshot {
            project: owner.0,
            target: "t".to_owned(),
            from,
            cause: String::new(),
            repomd: digest,
            files: digest,
            packages: digest,
            count: 0,
            fresh: Vec::new(),
            jobs: vec![first],
            attestations: Vec::new(),
        };
        assert_eq!(store.publish(&snapshot(0), 1).await.expect("published"), 1);
        let overtaken = store.publish(&snapshot(0), 1).await;
        assert!(matches!(overtaken, Err(StoreError::Overtaken { .. })), "{}", kept.name);
        assert_eq!(next(store).await, Some(second), "{}", kept.name);

        let third = store.submit(&build(owner), 0).await.expect("stored").jobs[0];
        let mut fourth = build(owner);
        fourth.jobs[0].waits_for = vec![third];
        let fourth = store.submit(&fourth, 0).await.expect("stored").jobs[0];
        let key = store.lease_next("w", &x86(), Caps::default(), 1, 100).await;
        let key = key.expect("asked").expect("the third");
        let report = Report {
            fault: Fault::Package,
            error: "no".to_owned(),
            causes: Vec::new(),
            hint: None,
        };
        store.fail(key, &report, 2).await.expect("failed");
        let ended = store.job(fourth).await.expect("read");
        assert_eq!(ended.state, JobState::Failed, "{}", kept.name);
        let mut fifth = build(owner);
        fifth.jobs[0].waits_for = vec![third];
        let never = store.submit(&fifth, 3).await;
        assert!(matches!(never, Err(StoreError::Never(_))), "{}", kept.name);
    }
}

#[tokio::test]
async fn leases_live_as_long_as_they_are_renewed() {
    for kept in stores().await {
        let store = &kept.store;
        let owner = project(store, "p").await;
        store.submit(&build(owner), 0).await.expect("stored");
        let key = store.lease_next("w", &x86(), Caps::default(), 1, 100).await;
        let key = key.expect("asked").expect("a job");
        assert!(store.renew("w", &[key], 200).await.expect("asked").is_empty());
        assert_eq!(store.renew("other", &[key], 900).await.expect("asked"), [key]);
        assert!(store.expire(150).await.expect("asked").is_empty());
        assert_eq!(store.expire(201).await.expect("asked"), [(key.job, 1)], "{}", kept.name);
        assert_eq!(store.renew("w", &[key], 300).await.expect("asked"), [key]);
        assert!(!store.is_held_by("w", key).await.expect("asked"));
        let again = store.lease_next("w", &x86(), Caps::default(), 1, 100).await;
        assert_eq!(again.expect("asked").map(|key| key.epoch.0), Some(2), "{}", kept.name);
    }
}

/// A job of a project that asks for a machine.
async fn careful(store: &Store, project: (ProjectId, UserId)) -> JobId {
    let mut careful = build(project);
    careful.jobs[0].settings.isolation = Isolation::Microvm;
    store.submit(&careful, 0).await.expect("stored").jobs[0]
}

#[tokio::test]
async fn a_job_that_asks_for_a_machine_waits_for_a_worker_that_has_one() {
    for kept in stores().await {
        let store = &kept.store;
        let project = project(store, "careful").await;
        let job = careful(store, project).await;
        assert_eq!(next(store).await, None, "{}: without a machine", kept.name);
        let strong = Ability { isolation: Isolation::Microvm, ..x86() };
        let plain = store.submit(&build(project), 0).await.expect("stored").jobs[0];
        for expected in [job, plain] {
            let leased = store.lease_next("w", &strong, Caps::default(), 1, 100).await;
            assert_eq!(leased.expect("asked").map(|key| key.job), Some(expected), "{}", kept.name);
        }
    }
}

#[tokio::test]
async fn a_worker_with_machines_counts_while_it_asks_or_has_enough_to_do() {
    for kept in stores().await {
        let store = &kept.store;
        let project = project(store, "careful").await;
        let has = async |since| store.has_kvm("x86_64", since).await.expect("asked");
        let worker = NewWorker {
            name: "w".parse().expect("a name"),
            hash: "x".to_owned(),
            arch: "x86_64".to_owned(),
            slots: 1,
            version: "1".to_owned(),
        };
        store.enrol(&worker, 0).await.expect("enrolled");
        let says = WorkerSays { slots: 1, version: "1", has_kvm: false };
        store.saw_worker("w", says, 10).await.expect("seen");
        assert!(!has(0).await, "{}: it has none", kept.name);
        store.saw_worker("w", WorkerSays { has_kvm: true, ..says }, 10).await.expect("seen");
        assert!(has(10).await && !has(11).await, "{}: it asked at 10", kept.name);
        assert!(!store.has_kvm("aarch64", 0).await.expect("asked"), "{}", kept.name);
        store.submit(&build(project), 0).await.expect("stored");
        next(store).await.expect("a job");
        assert!(has(11).await, "{}: it is busy", kept.name);
        store.set_worker("w", WorkerState::Draining, "").await.expect("set");
        assert!(!has(11).await && !has(10).await, "{}: it takes nothing more", kept.name);
    }
}

#[tokio::test]
async fn a_job_that_waits_for_a_machine_can_be_let_go_without_and_one_that_is_built_cannot() {
    for kept in stores().await {
        let store = &kept.store;
        let project = project(store, "careful").await;
        let job = careful(store, project).await;
        store.submit(&build(project), 0).await.expect("stored");
        let waiting = store.waiting_for_machines().await.expect("listed");
        let [(found, settings)] = &waiting[..] else { panic!("{}: {waiting:?}", kept.name) };
        assert_eq!((*found, settings.isolation), (job, Isolation::Microvm));
        let mut loose = settings.clone();
        loose.isolation = Isolation::Namespaces;
        store.set_isolation(job, &loose).await.expect("changed");
        assert_eq!(next(store).await, Some(job), "{}", kept.name);
        // It is being built: nothing changes any more.
        store.set_isolation(job, settings).await.expect("asked");
        assert_eq!(store.job(job).await.expect("read").settings, loose, "{}", kept.name);
    }
}
