//! What people have sent that no build names yet, on each kind of database.

use kiln_store::{Store, StoreError, UploadCaps};

use crate::kit::{project, stores};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_no_build_names_is_bounded_for_each_account_however_many_send_at_once() {
    const CAPS: UploadCaps = UploadCaps { bytes: 100, files: 4 };
    for kept in stores().await {
        let store = &kept.store;
        let ((_, ann), (_, bob)) = (project(store, "ann").await, project(store, "bob").await);
        let keep = async |who, name: &str, size, now| {
            store.keep_room(who, (name, size), CAPS, now).await.is_ok()
        };
        // Each is half of what there is.
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..8 {
            let store: Store = store.clone();
            tasks.spawn(async move {
                store.keep_room(ann, (&format!("sha256:{number}"), 50), CAPS, 5).await
            });
        }
        let kept_rooms: Vec<_> = tasks.join_all().await;
        let fine = kept_rooms.iter().filter(|one| one.is_ok()).count();
        assert_eq!(fine, 2, "{}: {kept_rooms:?}", kept.name);
        let refused = kept_rooms.into_iter().find_map(Result::err).expect("one");
        assert!(matches!(refused, StoreError::NoRoom { bytes: 150, files: 3, .. }), "{refused:?}");

        assert!(keep(bob, "a", 100, 6).await, "{}: another's is another's", kept.name);
        assert!(keep(bob, "a", 100, 7).await, "{}: it is gone on with", kept.name);
        assert!(!keep(bob, "b", 1, 7).await);
        store.free_room(bob, ["a", "unknown"]).await.expect("freed");
        for name in ["a", "b", "c", "d"] {
            assert!(keep(bob, name, 1, 8).await, "{}: {name}", kept.name);
        }
        assert!(!keep(bob, "e", 0, 8).await, "{}: five files", kept.name);
        assert!(!keep(bob, "a", u64::MAX, 8).await);
        assert_eq!(store.sweep_room(8).await.expect("swept"), 2, "{}: ann's", kept.name);
        assert!(keep(ann, "sha256:9", 100, 9).await, "{}: they are gone", kept.name);
    }
}
