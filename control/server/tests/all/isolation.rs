//! What stands between a build and its host where nobody says: by whose packages take part in it and
//! what workers have.

use std::sync::atomic::Ordering;

use kiln_flow::{Order, Sources};
use kiln_model::{Isolation, IsolationBy, JobId, RepoSpec};
use kiln_store::{Ability, Caps, WorkerSays};

use crate::kit::{LATER, Scene, TARGET, now};

const STRONG: (Isolation, IsolationBy) = (Isolation::Microvm, IsolationBy::Packages);
const WEAK: (Isolation, IsolationBy) = (Isolation::Namespaces, IsolationBy::Lacking);
const USUAL: (Isolation, IsolationBy) = (Isolation::Namespaces, IsolationBy::Operator);

async fn of(scene: &Scene, job: JobId) -> (Isolation, IsolationBy) {
    let settings = scene.store().job(job).await.expect("read").settings;
    (settings.isolation, settings.isolation_by)
}

/// What a build of that project would get now.
async fn ordered(scene: &Scene, project: &str) -> (JobId, (Isolation, IsolationBy)) {
    let job = scene.order(project, "pot-1.0-1.src.rpm").await;
    (job, of(scene, job).await)
}

/// What a worker with or without machines is given.
async fn given_to(scene: &Scene, isolation: Isolation) -> Option<JobId> {
    let ability = Ability { arch: "x86_64".to_owned(), isolation };
    let leased = scene.app.flow.lease_next("oven-1", &ability, Caps::default()).await;
    leased.expect("asked").map(|lease| lease.key.job)
}

async fn says(scene: &Scene, has_kvm: bool) {
    let says = WorkerSays { slots: 4, version: "0.1.0", has_kvm };
    scene.store().saw_worker("oven-1", says, now()).await.expect("seen");
}

/// Lets a project read a repository besides those of its target, as an operator can.
async fn read_another(scene: &Scene, project: &str) {
    let mut record = scene.store().project(project).await.expect("read").expect("there");
    let repo = "id = \"kiln-glaze\"\nbaseurl = [\"http://127.0.0.1:1/repos/glaze/\"]\n";
    let repo: RepoSpec = toml::from_str(repo).expect("a repository");
    record.settings.repos.insert(TARGET.to_owned(), vec![repo]);
    scene.store().set_project(&record).await.expect("changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_another_projects_repository_gets_a_machine_while_a_worker_has_one() {
    let scene = Scene::peopled("http://localhost").await;
    says(&scene, true).await;
    assert_eq!(ordered(&scene, "clay").await.1, USUAL, "all of it is its own");
    assert!(given_to(&scene, Isolation::Namespaces).await.is_some());

    read_another(&scene, "clay").await;
    let (job, got) = ordered(&scene, "clay").await;
    assert_eq!(got, STRONG);
    assert_eq!(given_to(&scene, Isolation::Namespaces).await, None, "it waits for a machine");
    scene.app.flow.let_loose().await.expect("looked");
    assert_eq!(of(&scene, job).await, STRONG, "a worker has one");
    assert_eq!(given_to(&scene, Isolation::Microvm).await, Some(job));
    assert_eq!(ordered(&scene, "glaze").await.1, USUAL, "that is for who reads it alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_machine_that_no_worker_has_but_what_was_asked_to() {
    let scene = Scene::peopled("http://localhost").await;
    says(&scene, false).await;
    read_another(&scene, "clay").await;
    let (first, got) = ordered(&scene, "clay").await;
    assert_eq!(got, WEAK);
    assert_eq!(given_to(&scene, Isolation::Namespaces).await, Some(first));

    says(&scene, true).await;
    let (second, got) = ordered(&scene, "clay").await;
    assert_eq!(got, STRONG);
    let project = scene.store().project("clay").await.expect("read").expect("there");
    let file = scene.store().job(second).await.expect("read").source;
    let what = Sources { title: "asked".to_owned(), source: file };
    let order = Order {
        isolation: Some(Isolation::Microvm),
        ..Order::plain(project, scene.users["pat"], what)
    };
    let asked = scene.app.flow.order(&order).await.expect("taken")[0].jobs[0];
    // The worker that had machines comes back without, and what it had is over.
    says(&scene, false).await;
    scene.app.flow.let_loose().await.expect("looked");
    assert_eq!(of(&scene, second).await, WEAK);
    assert_eq!(of(&scene, asked).await, (Isolation::Microvm, IsolationBy::Build));
    assert_eq!(given_to(&scene, Isolation::Namespaces).await, Some(second));
    assert_eq!(given_to(&scene, Isolation::Namespaces).await, None, "as it was asked to");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_not_heard_of_any_more_has_no_machines() {
    let scene = Scene::peopled("http://localhost").await;
    says(&scene, true).await;
    read_another(&scene, "clay").await;
    let (job, got) = ordered(&scene, "clay").await;
    assert_eq!(got, STRONG);
    LATER.fetch_add(11 * 60 * 1000, Ordering::Relaxed);
    scene.app.flow.let_loose().await.expect("looked");
    assert_eq!(of(&scene, job).await, WEAK);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promoted_to_a_project_is_anothers_and_what_is_built_again_is_looked_at_again() {
    let scene = Scene::peopled("http://localhost").await;
    says(&scene, true).await;
    let published = scene.publish("glaze", "ash", "1").await;
    let (before, got) = ordered(&scene, "clay").await;
    assert_eq!(got, USUAL);
    let clay = scene.store().project("clay").await.expect("read").expect("there");
    let build = scene.store().job(published).await.expect("read").build;
    let by = scene.users["pat"];
    scene.app.flow.promote(build, &clay, by).await.expect("promoted");
    assert_eq!(ordered(&scene, "clay").await.1, STRONG);
    let again = scene.app.flow.resubmit(before, by, None).await.expect("queued");
    assert_eq!(of(&scene, again.jobs[0]).await, STRONG);
    says(&scene, false).await;
    let again = scene.app.flow.resubmit(again.jobs[0], by, None).await.expect("queued");
    assert_eq!(of(&scene, again.jobs[0]).await, WEAK);
}
