//! What a service shows of how something was built: signed for real, and checked with nothing but
//! what it shows.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::StatusCode;
use kiln_attest::{Envelope, Proof, PublicKey, Shape, TreeHead, Verified};
use kiln_flow::{Order, Sources, Sweep};
use kiln_model::{BuildId, Digest, JobId, Verdict};
use kiln_store::AttestationKind;
use kiln_wire::worker::{Source, SourceFile};
use serde_json::Value;

use crate::kit::{LATER, Scene, TARGET, Who};

const URL: &str = "https://kiln.example.org";

async fn get(scene: &Scene, path: &str) -> String {
    let answer = scene.page(path, Who::Reader).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    answer.text
}

async fn json(scene: &Scene, path: &str) -> Value {
    serde_json::from_str(&get(scene, path).await).expect("JSON")
}

async fn key(scene: &Scene) -> PublicKey {
    PublicKey::read(&get(scene, "/api/v1/log/key").await).expect("a key")
}

async fn head(scene: &Scene, key: &PublicKey) -> TreeHead {
    let text = get(scene, "/api/v1/log/head").await;
    TreeHead::open(&Envelope::read(text.as_bytes()).expect("an envelope"), key).expect("signed")
}

/// What is said of how a job was built, as whoever fetches it gets it.
async fn provenance(scene: &Scene, job: JobId) -> Verified {
    let key = key(scene).await;
    let said = json(scene, &format!("/api/v1/jobs/{job}/attestations")).await;
    assert_eq!(said[0]["kind"], "provenance", "{said}");
    let digest = said[0]["digest"].as_str().expect("a digest");
    let path = format!("/api/v1/jobs/{job}/attestations/{digest}");
    let envelope = get(scene, &path).await;
    let verified = Verified::read(envelope.as_bytes(), &key).expect("verified");
    let proof = get(scene, &format!("{path}/proof")).await;
    let proof = Proof::read(proof.as_bytes()).expect("a proof");
    let logged = proof.check(&verified.envelope, &key).expect("it is in the log");
    assert_eq!(said[0]["position"], logged.position);
    verified
}

/// A build that is only tried.
async fn tried(scene: &Scene, package: &str) -> JobId {
    let project = scene.store().project("clay").await.expect("read").expect("there");
    let digest = scene.app.flow.cas().insert_bytes(package.as_bytes()).expect("stored");
    let size = package.len() as u64;
    let file = SourceFile { name: "source.src.rpm".to_owned(), digest, size };
    let sources = Sources { title: package.to_owned(), source: Source::Srpm(file) };
    let order = Order { is_scratch: true, ..Order::plain(project, scene.users["pat"], sources) };
    let job = scene.app.flow.order(&order).await.expect("taken")[0].jobs[0];
    let key = scene.lease(job).await;
    scene.built(key, package, "1", &["bash-5-1.x86_64"]).await;
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_attested_and_whoever_has_a_file_can_check_it() {
    let scene = Scene::peopled(URL).await;
    let job = scene.publish("clay", "pot", "1").await;
    let verified = provenance(&scene, job).await;
    let made = scene.store().artifacts(job).await.expect("read");
    let project = scene.store().project("clay").await.expect("read").expect("there");
    let published = scene.store().published(project.id, TARGET, &made[0].name).await;
    let published = published.expect("read").expect("published");
    assert_ne!(published.digest, published.signed);
    for (digest, shape) in [(published.digest, Shape::Built), (published.signed, Shape::Signed)] {
        assert_eq!(verified.check_file(&made[0].name, &digest), Ok(shape));
    }
    assert!(verified.check_file(&made[0].name, &Digest::of(b"other")).is_err());
    verified.check_builder(&format!("{URL}/builders/namespaces")).expect("by this service");
    let lock = get(&scene, &format!("/api/v1/jobs/{job}/lock")).await;
    verified.check_lock(lock.as_bytes()).expect("its lock");
    let record = get(&scene, &format!("/api/v1/jobs/{job}/record")).await;
    let record = kiln_attest::read_canonical(record.as_bytes(), "record", 1 << 20).expect("read");
    verified.check_record(&record).expect("its record");
    let predicate = &verified.statement.predicate;
    let external = &predicate.build_definition.external_parameters;
    assert_eq!((&*external.project, &*external.settings.target.to_string()), ("clay", TARGET));
    let metadata = &predicate.run_details.metadata;
    assert_eq!(metadata.invocation_id, format!("{URL}/jobs/{job}#attempt-1"));
    assert!(metadata.started_on.is_some() && metadata.finished_on.is_some());
    let byproducts = &predicate.run_details.byproducts;
    let log = get(&scene, &format!("/api/v1/jobs/{job}/logs/build")).await;
    let named = byproducts.iter().find(|one| one.name == "build.log").expect("its log");
    assert_eq!(named.sha256(), Some(Digest::of(log.as_bytes())));
    for path in [kiln_attest::BUILD_TYPE, kiln_attest::VERDICT_TYPE] {
        assert!(get(&scene, path).await.contains(path), "the type's address leads to its document");
    }
    let page = get(&scene, &format!("/jobs/{job}")).await;
    assert!(page.contains("<h2>Proof</h2>") && page.contains("entry 0"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_tried_and_what_is_promoted_is_attested_too() {
    let scene = Scene::peopled(URL).await;
    let tried = tried(&scene, "crock").await;
    let verified = provenance(&scene, tried).await;
    assert!(verified.statement.subject.iter().all(|one| one.annotated("kiln_signed").is_none()));

    let first = scene.publish("clay", "pot", "1").await;
    let build = scene.store().job(first).await.expect("read").build;
    let glaze = scene.store().project("glaze").await.expect("read").expect("there");
    let promoted = scene.app.flow.promote(BuildId(build.0), &glaze, scene.users["pat"]).await;
    let promoted = promoted.expect("promoted").jobs[0];
    scene.app.publisher.publish_ready().await.expect("published");
    let (by, to) = (provenance(&scene, first).await, provenance(&scene, promoted).await);
    let invocation =
        |one: &Verified| one.statement.predicate.run_details.metadata.invocation_id.clone();
    assert_eq!(invocation(&by), invocation(&to), "it was built once");
    let signed = |one: &Verified| one.statement.subject[0].annotated("kiln_signed");
    assert_ne!(signed(&by), signed(&to), "each project signs with its own key");
    assert_eq!(by.statement.subject[0].digest, to.statement.subject[0].digest);
    // Nothing is said twice, however often there is nothing to do.
    let size = scene.store().log_size().await.expect("measured");
    scene.app.publisher.publish_ready().await.expect("nothing to do");
    assert_eq!((size, scene.store().log_size().await.expect("measured")), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_head_of_the_log_continues_those_before_it() {
    let scene = Scene::peopled(URL).await;
    let key = key(&scene).await;
    let none = scene.page("/api/v1/log/head", Who::Anonymous).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    let mut seen: Vec<TreeHead> = Vec::new();
    for number in 1..=5 {
        scene.publish("clay", "pot", &number.to_string()).await;
        let head = head(&scene, &key).await;
        assert_eq!(head.size, number);
        for old in &seen {
            let path = format!("/api/v1/log/consistency?from={}&to={}", old.size, head.size);
            let answer = json(&scene, &path).await;
            let path = answer["path"].as_array().expect("a list").iter();
            let path: Vec<Digest> = path
                .map(|hash| hash.as_str().and_then(|it| it.parse().ok()).expect("one"))
                .collect();
            head.continues(old, &path).expect("it goes on");
            let forked = TreeHead::new(&key, old.size, Digest::of(b"another"), old.at);
            assert!(head.continues(&forked, &path).is_err(), "another log was shown");
        }
        seen.push(head);
    }
    let old = get(&scene, "/api/v1/log/head?size=3").await;
    let old = TreeHead::open(&Envelope::read(old.as_bytes()).expect("an envelope"), &key);
    assert_eq!(old.expect("signed"), seen[2]);
    let entries = json(&scene, "/api/v1/log/entries?from=1").await;
    assert_eq!(
        (entries["size"].as_u64(), entries["entries"].as_array().map(Vec::len)),
        (Some(5), Some(4))
    );
    let all = json(&scene, "/api/v1/log/entries").await;
    let entry = all["entries"][3].as_str().expect("a digest");
    let proof = get(&scene, &format!("/api/v1/log/proof/{entry}")).await;
    let proof = Proof::read(proof.as_bytes()).expect("a proof");
    let digest = entry.parse().expect("a digest");
    assert_eq!(proof.check(&digest, &key).expect("it is there").position, 3);
    for path in ["/api/v1/log/consistency?from=2&to=9", "/api/v1/log/consistency?from=4&to=2"] {
        assert_eq!(scene.page(path, Who::Reader).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilds_verdict_is_signed_logged_and_counted() {
    let scene = Scene::peopled(URL).await;
    let job = scene.publish("clay", "pot", "1").await;
    let verified = provenance(&scene, job).await;
    let asked = scene.app.flow.verify(job, scene.users["pat"]).await.expect("asked for");
    let rebuild = asked.jobs[0];
    let lease = scene.lease(rebuild).await;
    let buildroot = ["bash-5-1.x86_64", "gcc-14-1.x86_64", "make-4-1.x86_64"];
    scene.built(lease, "pot", "1", &buildroot).await;
    let report = scene.app.flow.cas().insert_bytes(b"a report").expect("stored");
    scene.store().judge(rebuild, Verdict::Reproduced, report, 1).await.expect("judged");
    let before = scene.store().log_size().await.expect("measured");
    for _ in 0..2 {
        scene.app.publisher.publish_ready().await.expect("said, and said once");
    }
    assert_eq!(scene.store().log_size().await.expect("measured"), before + 1);
    let said = scene.store().attestations(job, AttestationKind::Verdict).await.expect("read");
    let path = format!("/api/v1/jobs/{job}/attestations/{}", said[0].envelope);
    let envelope = get(&scene, &path).await.into_bytes();
    let key = key(&scene).await;
    let agree = kiln_attest::agreeing(&verified, &[envelope], std::slice::from_ref(&key));
    assert_eq!(agree.expect("counted").into_iter().collect::<Vec<_>>(), [key.id()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_is_made_of_is_told_and_what_is_missing_cannot_be_exported() {
    let scene = Scene::peopled(URL).await;
    let job = scene.order("clay", "pot-1.0-1.src.rpm").await;
    let lease = scene.lease(job).await;
    scene.built(lease, "pot", "1", &["bash-5-1.x86_64", "gcc-14-1.x86_64"]).await;
    let path = format!("/api/v1/jobs/{job}/bundle");
    let answer = scene.page(&path, Who::Packager).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "the packages are not in the store");
    assert!(answer.text.contains("the package"), "{}", answer.text);
    let sbom = json(&scene, &format!("/api/v1/jobs/{job}/sbom/spdx")).await;
    assert_eq!(sbom["spdxVersion"], "SPDX-2.3");
    let names: Vec<&str> = sbom["packages"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["name"].as_str())
        .collect();
    for name in ["pot", "bash", "gcc", "rpm", "source.src.rpm"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let path = format!("/api/v1/projects/clay/targets/{TARGET}/snapshots/1/sbom/cyclonedx");
    let sbom = json(&scene, &path).await;
    assert_eq!(
        (&sbom["bomFormat"], &sbom["components"][0]["name"]),
        (&"CycloneDX".into(), &"pot".into())
    );
    assert_eq!(sbom["components"][0]["licenses"][0]["expression"], "MIT");
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_what_is_kept_stays_and_the_rest_goes_but_for_the_log() {
    let scene = Scene::peopled(URL).await;
    let mut clay = scene.store().project("clay").await.expect("read").expect("there");
    clay.settings.keep_days = 1;
    scene.store().set_project(&clay).await.expect("changed");
    let kept = scene.publish("clay", "pot", "1").await;
    let gone = tried(&scene, "crock").await;
    let envelope = async |job| {
        let said = scene.store().attestations(job, AttestationKind::Provenance).await;
        said.expect("read").first().map(|one| one.envelope)
    };
    let (stays, goes) = (envelope(kept).await.expect("said"), envelope(gone).await.expect("said"));
    LATER.fetch_add(3 * 24 * 3600 * 1000, Ordering::Relaxed);
    let named = scene.app.flow.named().await.expect("named");
    assert!(named.contains(&stays) && named.contains(&goes));
    let sweep = Sweep { young: Duration::from_secs(3600), is_trial: false };
    assert_eq!(scene.app.publisher.sweep(sweep).await.expect("swept").jobs, 1);
    let named = scene.app.flow.named().await.expect("named");
    assert!(named.contains(&stays) && !named.contains(&goes));
    assert_eq!(envelope(gone).await, None);
    let entries = json(&scene, "/api/v1/log/entries").await["entries"].to_string();
    assert!(entries.contains(&stays.to_string()) && entries.contains(&goes.to_string()));
    provenance(&scene, kept).await;
}
