//! Readers of evidence: what whoever has a file can hand in.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kiln_attest::{Envelope, Proof, Provenance, PublicKey, Statement, TreeHead, Verdict, Verified};
use kiln_bundle::Bundle;
use kiln_cas::Cas;
use kiln_model::{Limits, Lock};
use kiln_wire::record::{self, Record};
use kiln_wire::worker::{ClaimedArtifact, Settings, Source, SourceFile};

use crate::targets::Target;

/// A store for what bundles hold; it goes with the process.
static STORE: LazyLock<(tempfile::TempDir, Cas)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let cas = Cas::open(&folder.path().join("blobs.v1")).expect("a store");
    (folder, cas)
});

static KEY: LazyLock<PublicKey> = LazyLock::new(|| {
    // That of RFC 8032, section 7.1, test 1.
    let hex = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let digest = kiln_model::Digest::from_hex(hex).expect("32 bytes");
    PublicKey::of(digest.as_bytes()).expect("a key")
});

pub(crate) fn all() -> Vec<Target> {
    vec![
        Target {
            name: "envelopes",
            seeds: |_| {
                let payload = record_of(&STORE.1).title;
                let of = |kind| Envelope::new(kind, payload.as_bytes(), &KEY, &[7; 64]).to_bytes();
                vec![of(kiln_attest::PAYLOAD_STATEMENT), of(kiln_attest::PAYLOAD_TREE_HEAD)]
            },
            parse: |bytes| {
                let _ = Verified::read(bytes, &KEY);
                let _ = Statement::<Verdict>::open(bytes, &KEY);
                let Ok(envelope) = Envelope::read(bytes) else { return };
                let _ = (envelope.unverified(), TreeHead::open(&envelope, &KEY));
            },
        },
        Target {
            name: "statements",
            seeds: |_| vec![statement()],
            parse: |bytes| drop(Statement::<Provenance>::read(bytes)),
        },
        Target {
            name: "proofs",
            seeds: |_| {
                let head = Envelope::new(kiln_attest::PAYLOAD_TREE_HEAD, b"{}", &KEY, &[7; 64]);
                let path = vec![kiln_model::Digest::of(b"a"), kiln_model::Digest::of(b"b")];
                vec![Proof::new(2, path, head).to_bytes()]
            },
            parse: |bytes| {
                if let Ok(proof) = Proof::read(bytes) {
                    let _ = proof.check(&kiln_model::Digest::of(b"x"), &KEY);
                }
                let _ = PublicKey::read(&String::from_utf8_lossy(bytes));
            },
        },
        Target {
            name: "bundles",
            seeds: |_| vec![bundle()],
            parse: |bytes| drop(kiln_bundle::read_bundle(&mut &*bytes, &STORE.1)),
        },
    ]
}

fn lock() -> Lock {
    let text = "{\"version\":1,\"target\":\"trial-13-x86_64\",\"profile\":\"distribution/1\",\
                \"arch\":\"x86_64\",\"solver\":\"libsolv 0.7\",\"macros\":{},\"requires\":[],\
                \"snapshots\":[],\"packages\":[],\"toolbox\":[]}";
    kiln_parse::lock::read(text.as_bytes()).expect("a lock")
}

fn record_of(cas: &Cas) -> Record {
    let put = |bytes: &[u8]| cas.insert_bytes(bytes).expect("stored");
    let lock = lock();
    Record {
        version: record::VERSION,
        kiln: "0.1.0".to_owned(),
        title: "pot.src.rpm".to_owned(),
        source: Source::Srpm(SourceFile {
            name: "source.src.rpm".to_owned(),
            digest: put(b"clay"),
            size: 4,
        }),
        settings: Settings { jobs: 2, ..Settings::plain(lock.target.clone(), "x86_64") },
        limits: Limits::default(),
        lock: put(&kiln_parse::lock::to_bytes(&lock)),
        base: None,
        artifacts: vec![ClaimedArtifact {
            name: "pot-1-1.noarch.rpm".to_owned(),
            digest: put(b"a pot"),
            size: 5,
        }],
    }
}

fn bundle() -> Vec<u8> {
    let mut bytes = Vec::new();
    let bundle = Bundle::of(record_of(&STORE.1), None, &STORE.1).expect("all is there");
    bundle.write(&mut bytes).expect("written");
    bytes
}

fn statement() -> Vec<u8> {
    kiln_attest::Built {
        service: "https://kiln.example.org",
        project: "clay",
        job: 12,
        attempt: 1,
        worker: None,
        record: &record_of(&STORE.1),
        lock: &lock(),
        base: None,
        origin: None,
        signed: &BTreeMap::new(),
        began_at: None,
        ended_at: None,
        logs: Vec::new(),
    }
    .statement()
    .to_bytes()
}
