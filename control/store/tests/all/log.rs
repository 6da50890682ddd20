//! The log of attestations: on each kind of database.

use kiln_attest::{
    check_consistency, check_inclusion, consistency, empty_root, inclusion, leaf_hash,
};
use kiln_model::{Digest, JobId};
use kiln_store::{AttestationKind, NewAttestation, Store};

use crate::kit::{build, project, stores};

async fn root(store: &Store, size: u64) -> Digest {
    store.log_hashes(std::slice::from_ref(&(0..size))).await.expect("hashed")[0]
}

fn said(job: JobId, number: u64) -> NewAttestation {
    let envelope = Digest::of(format!("envelope {number}").as_bytes());
    NewAttestation { job, kind: AttestationKind::Verdict, envelope }
}

#[tokio::test]
async fn every_entry_of_the_log_can_be_proved_and_every_size_continues_the_smaller_ones() {
    const COUNT: u64 = 13;
    for kept in stores().await {
        let store = &kept.store;
        let job = store.submit(&build(project(store, "p").await), 1).await.expect("stored").jobs[0];
        let mut roots = vec![root(store, 0).await];
        assert_eq!((roots[0], store.log_size().await.expect("measured")), (empty_root(), 0));
        for number in 0..COUNT {
            let position = store.attest(&said(job, number), 5).await.expect("stored");
            assert_eq!(position, number, "{}", kept.name);
            roots.push(root(store, number + 1).await);
        }
        let again = store.attest(&said(job, 4), 6).await.expect("there");
        assert_eq!(again, 4, "{}: said twice, it is there once", kept.name);
        assert_eq!(store.log_size().await.expect("measured"), COUNT, "{}", kept.name);
        for position in 0..COUNT {
            let entry = said(job, position).envelope;
            assert_eq!(store.log_position(&entry).await.expect("looked"), Some(position));
            for size in position + 1..=COUNT {
                let ranges = inclusion(position, size).expect("a leaf");
                let path = store.log_hashes(&ranges).await.expect("hashed");
                let root = &roots[size as usize];
                assert!(check_inclusion(&leaf_hash(&entry), position, size, &path, root));
                let ranges = consistency(position, size).expect("no fewer");
                let path = store.log_hashes(&ranges).await.expect("hashed");
                let old = (position, &roots[position as usize]);
                assert!(check_consistency(old, (size, root), &path), "{}", kept.name);
            }
        }
        assert!(store.log_hashes(std::slice::from_ref(&(0..COUNT + 1))).await.is_err());
        let all = store.attestations(job, AttestationKind::Verdict).await.expect("read");
        assert_eq!(all.len() as u64, COUNT);
        let none = store.attestations(job, AttestationKind::Provenance).await.expect("read");
        assert!(none.is_empty(), "{}", kept.name);
    }
}

#[tokio::test]
async fn what_is_said_goes_with_its_job_and_the_log_keeps_its_entry() {
    for kept in stores().await {
        let store = &kept.store;
        let job = store.submit(&build(project(store, "p").await), 1).await.expect("stored").jobs[0];
        let said = said(job, 7);
        store.attest(&said, 5).await.expect("stored");
        assert!(store.kept().await.expect("listed").blobs.contains(&said.envelope));
        store.fade(&[job], 9).await.expect("faded");
        assert!(!store.kept().await.expect("listed").blobs.contains(&said.envelope));
        assert_eq!(store.log_entries(0, 9).await.expect("read"), [said.envelope], "{}", kept.name);
    }
}

#[tokio::test]
async fn a_head_that_was_signed_stays_as_it_is() {
    for kept in stores().await {
        let store = &kept.store;
        assert_eq!(store.newest_head().await.expect("read"), None);
        for (size, head) in [(3, "a"), (5, "b"), (5, "other"), (4, "c")] {
            store.keep_head(size, head).await.expect("kept");
        }
        let newest = store.newest_head().await.expect("read").expect("a head");
        assert_eq!((newest.size, &*newest.head), (5, "b"), "{}", kept.name);
        assert_eq!(store.head_of(4).await.expect("read").map(|it| it.head), Some("c".to_owned()));
        assert_eq!(store.head_of(2).await.expect("read"), None);
    }
}
