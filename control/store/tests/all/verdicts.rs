//! Rebuilds and what they come to: on each kind of database.

use kiln_model::{Digest, JobId, Verdict};
use kiln_store::{Ability, Caps, Spared, Store};

use crate::kit::{build, project, stores};

async fn next(store: &Store, worker: &str, now: i64) -> Option<JobId> {
    let ability =
        Ability { arch: "x86_64".to_owned(), isolation: kiln_model::Isolation::default() };
    let leased = store.lease_next(worker, &ability, Caps::default(), now, now + 100).await;
    leased.expect("asked").map(|key| key.job)
}

#[tokio::test]
async fn a_rebuild_is_another_workers_for_as_long_as_the_first_one_is_spared() {
    for kept in stores().await {
        let store = &kept.store;
        let owner = project(store, "tools").await;
        let first = store.submit(&build(owner), 0).await.expect("stored").jobs[0];
        assert_eq!(next(store, "one", 1).await, Some(first), "{}", kept.name);
        let spared = Spared { worker: "one".to_owned(), until: 1000 };
        let mut again = build(owner);
        again.jobs[0].is_background = true;
        let made = store.submit_rebuild(&again, first, Some(&spared), 5).await.expect("stored");
        assert_eq!(next(store, "one", 10).await, None, "{}: it is spared", kept.name);
        assert_eq!(next(store, "one", 1001).await, Some(made.jobs[0]), "{}", kept.name);
        let made = store.submit_rebuild(&again, first, Some(&spared), 5).await.expect("stored");
        assert_eq!(next(store, "two", 10).await, Some(made.jobs[0]), "{}", kept.name);
    }
}

#[tokio::test]
async fn a_rebuild_that_is_over_is_judged_once() {
    for kept in stores().await {
        let store = &kept.store;
        let owner = project(store, "tools").await;
        let first = store.submit(&build(owner), 0).await.expect("stored").jobs[0];
        let made = store.submit_rebuild(&build(owner), first, None, 5).await.expect("stored");
        let rebuild = made.jobs[0];
        assert!(store.unjudged().await.expect("listed").is_empty(), "it is not over");
        store.cancel(rebuild, 7).await.expect("cancelled");
        let [one] = &store.unjudged().await.expect("listed")[..] else { panic!("one") };
        assert_eq!((one.job, one.rebuild, one.asked_at, one.verdict), (first, rebuild, 5, None));
        let proof = Digest::of(b"proof");
        store.judge(rebuild, Verdict::Unbuilt, proof, 9).await.expect("judged");
        store.judge(rebuild, Verdict::Reproduced, proof, 10).await.expect("judged");
        assert!(store.unjudged().await.expect("listed").is_empty());
        let all = store.verdicts_of(first).await.expect("listed");
        assert_eq!(all[0].verdict, Some(Verdict::Unbuilt), "{}: the first counts", kept.name);
        assert_eq!((all[0].proof, all[0].ended_at), (Some(proof), Some(9)));
        assert_eq!(store.verdict_by(rebuild).await.expect("read"), Some(all[0].clone()));
        assert_eq!(store.verdict_by(first).await.expect("read"), None);
        assert!(store.kept().await.expect("listed").blobs.contains(&proof), "it is kept");
    }
}
