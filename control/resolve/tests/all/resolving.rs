//! From what is asked to locks: what is kept, what is asked again, and what goes wrong.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::Ordering;

use crate::bench::kit::P;
use crate::bench::{Bench, Lists, distribution};
use kiln_model::{Fault, Faulty, Lock, Reason, Requirement};
use kiln_resolve::{Ask, RepoUse, ResolveError, Resolver, Trust};

fn names(lock: &Lock) -> Vec<&str> {
    lock.packages.iter().map(|package| package.nevra.name()).collect()
}

#[tokio::test]
async fn a_profile_and_requirements_become_a_base_lock_and_a_full_lock() {
    let bench = Bench::new();
    let asked = ["pkgconfig(zlib) >= 1.2", "gcc", "rpmlib(FileDigests) <= 4.6.0-1", "gcc"];
    let done = bench.resolve(&distribution(), &asked).await.expect("resolved");
    assert!(!done.cached);
    assert_eq!(names(&done.base), ["bash", "gcc", "glibc", "glibc-devel"]);
    assert_eq!(names(&done.lock), ["bash", "gcc", "glibc", "glibc-devel", "zlib", "zlib-devel"]);
    for lock in [&done.base, &done.lock] {
        assert_eq!(lock.contradiction(), None);
        assert_eq!((lock.profile.as_str(), lock.arch.as_str()), ("distribution/2", "x86_64"));
        assert!(lock.solver.starts_with("libsolv "));
        assert_eq!(lock.macros.len(), 2);
        let toolbox: Vec<&str> = lock.toolbox.iter().map(|one| one.nevra.name()).collect();
        assert_eq!(toolbox, ["glibc", "rpm"]);
        assert_eq!(lock.toolbox[1].why, Reason::Toolbox("rpm".parse().expect("a requirement")));
    }
    assert!(done.base.requires.is_empty());
    let requires: Vec<&str> = done.lock.requires.iter().map(Requirement::as_str).collect();
    assert_eq!(requires, ["gcc", "pkgconfig(zlib) >= 1.2"]);
}

#[tokio::test]
async fn the_same_question_is_answered_without_a_solver_also_after_a_restart() {
    let bench = Bench::new();
    let packages = distribution();
    let first = bench.resolve(&packages, &["zlib-devel"]).await.expect("resolved");
    let started = bench.started();
    let second = bench.resolve(&packages, &["zlib-devel"]).await.expect("resolved");
    let bench = bench.again();
    let third = bench.resolve(&packages, &["zlib-devel"]).await.expect("resolved");
    let base = bench.resolve(&packages, &[]).await.expect("resolved");
    assert_eq!(bench.started(), started);
    for again in [&second, &third] {
        assert!(again.cached);
        assert_eq!((&again.base, &again.lock), (&first.base, &first.lock));
    }
    assert!(base.cached);
    assert_eq!(base.lock, first.base);
    // Another question is another answer.
    assert!(!bench.resolve(&packages, &["zlib"]).await.expect("resolved").cached);
    let newer = [packages, vec![P::new("zlib-9-1")]].concat();
    assert!(!bench.resolve(&newer, &["zlib-devel"]).await.expect("resolved").cached);
}

#[tokio::test]
async fn a_warm_solver_is_asked_again_and_metadata_are_read_once() {
    let bench = Bench::new();
    let packages = distribution();
    bench.resolve(&packages, &["zlib"]).await.expect("resolved");
    // One that reads the metadata, one that solves.
    assert_eq!(bench.started(), 2);
    bench.resolve(&packages, &["zlib-devel"]).await.expect("resolved");
    assert_eq!(bench.started(), 2);
    let bench = bench.again();
    bench.resolve(&packages, &["fonts"]).await.expect("resolved");
    assert_eq!(bench.started(), 3);
}

#[tokio::test]
async fn file_lists_are_fetched_when_an_answer_hangs_on_them_and_only_once() {
    let bench = Bench::new();
    let packages = distribution();
    bench.resolve(&packages, &["zlib"]).await.expect("resolved");
    assert_eq!(bench.fetched.load(Ordering::SeqCst), 0);
    let done = bench.resolve(&packages, &["needs-font"]).await.expect("resolved");
    assert!(names(&done.lock).contains(&"fonts"));
    assert_eq!(bench.fetched.load(Ordering::SeqCst), 1);
    let bench = bench.again();
    bench.resolve(&packages, &["needs-font", "zlib"]).await.expect("resolved");
    bench.resolve(&packages, &["/usr/share/fonts/a.ttf"]).await.expect("resolved");
    assert_eq!(bench.fetched.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_path_that_nobody_has_is_told_as_any_other_requirement() {
    let bench = Bench::new();
    let error = bench.resolve(&distribution(), &["/usr/share/nowhere"]).await.expect_err("nobody");
    assert_eq!(error.to_string(), "nothing provides '/usr/share/nowhere' needed by hello-2.12");
}

#[tokio::test]
async fn what_nothing_provides_is_the_packages_fault_with_a_hint() {
    let bench = Bench::new();
    let error = bench.resolve(&distribution(), &["zlib-dvel", "gcc"]).await.expect_err("missing");
    assert_eq!(error.to_string(), "nothing provides 'zlib-dvel' needed by hello-2.12");
    assert_eq!(error.fault(), Fault::Package);
    assert_eq!(error.hint().as_deref(), Some("did you mean 'zlib-devel'?"));
    // The solver is as good as before.
    bench.resolve(&distribution(), &["zlib-devel"]).await.expect("resolved");
}

#[tokio::test]
async fn what_a_profile_lacks_is_the_targets_fault() {
    let bench = Bench::new();
    let packages = distribution();
    let snapshot = bench.snapshot("base", &packages);
    let repos = [(snapshot, Trust::Upstream, &packages[..])];
    let error = bench.resolve_with("broken", &repos, &[]).await.expect_err("no busybox");
    assert_eq!(error.to_string(), "nothing provides 'busybox' needed by the profile broken/2");
    assert_eq!(error.fault(), Fault::Caller);
    let error = bench.resolve_with("nonesuch", &repos, &[]).await.expect_err("no such profile");
    assert!(matches!(error, ResolveError::NoProfile { .. }));
}

#[tokio::test]
async fn a_tenants_attempt_to_stand_in_is_told_and_in_vain() {
    let bench = Bench::new();
    let (upstream, own) = (distribution(), vec![P::new("glibc-99-1"), P::new("own-1-1")]);
    let repos = [
        (bench.snapshot("base", &upstream), Trust::Upstream, &upstream[..]),
        (bench.snapshot("project", &own), Trust::Tenant { may_replace: Vec::new() }, &own[..]),
    ];
    for cached in [false, true] {
        let done = bench.resolve_with("distribution", &repos, &["own"]).await.expect("resolved");
        assert_eq!(done.cached, cached);
        assert_eq!(done.refused.len(), 1);
        assert_eq!(done.refused[0].package.to_string(), "glibc-99-1.x86_64");
        let glibc = done.lock.packages.iter().find(|one| one.nevra.name() == "glibc");
        assert_eq!(glibc.expect("glibc").repo, "base");
        assert_eq!(done.lock.snapshots.len(), 2);
    }
}

#[tokio::test]
async fn a_solver_that_hangs_up_harms_nothing() {
    let bench = Bench::new();
    bench.threads.hang_up.store(usize::MAX, Ordering::SeqCst);
    let error = bench.resolve(&distribution(), &["zlib"]).await.expect_err("nobody answers");
    assert!(matches!(error, ResolveError::Crashed(_)), "{error}");
    assert_eq!(error.fault(), Fault::Kiln);
    bench.threads.hang_up.store(0, Ordering::SeqCst);
    bench.resolve(&distribution(), &["zlib"]).await.expect("resolved");
}

#[tokio::test]
async fn a_broken_cache_is_made_anew() {
    let bench = Bench::new();
    let packages = distribution();
    bench.resolve(&packages, &["zlib"]).await.expect("resolved");
    let bench = bench.again();
    let [cache] = &bench.files(".solv")[..] else { panic!("one cache") };
    let whole = fs::read(cache).expect("read");
    for broken in [&b"nonsense"[..], &whole[..whole.len() / 2], b""] {
        fs::write(cache, broken).expect("written");
        let bench_again =
            Resolver::open(bench.folder.path(), bench.cas.clone(), bench.threads.clone());
        let snapshot = bench.snapshot("base", &packages);
        let uses = [RepoUse { snapshot: &snapshot, trust: Trust::Upstream }];
        let requires: Vec<Requirement> =
            vec![format!("zlib >= 0.{}", broken.len()).parse().expect("a requirement")];
        let ask = Ask {
            target: &bench.target,
            profile: "distribution",
            repos: &uses,
            requires: &requires,
            macros: &BTreeMap::new(),
            asker: "hello-2.12",
        };
        let repos = [(snapshot.clone(), Trust::Upstream, &packages[..])];
        let lists = Lists { bench: &bench, repos: &repos };
        bench_again.expect("a resolver").resolve(&ask, &lists).await.expect("resolved");
        assert_eq!(fs::read(cache).expect("read").len(), whole.len());
    }
}

#[tokio::test]
async fn metadata_that_the_disk_changed_are_a_breach() {
    let bench = Bench::new();
    let packages = distribution();
    let snapshot = bench.snapshot("base", &packages);
    let path = bench.cas.path(&snapshot.primary.digest);
    let changed = fs::read_to_string(&path).expect("read").replace("zlib", "ZLIB");
    fs::remove_file(&path).expect("removed");
    fs::write(&path, changed).expect("written");
    let repos = [(snapshot, Trust::Upstream, &packages[..])];
    let error = bench.resolve_with("distribution", &repos, &[]).await.expect_err("changed");
    assert_eq!(error.fault(), Fault::Breach, "{error}");
    assert!(bench.files("").is_empty());
}

#[tokio::test]
async fn a_requirement_that_explodes_is_too_complex() {
    let bench = Bench::new();
    let wide: Vec<String> = (0..30).map(|i| format!("(a{i} and b{i})")).collect();
    let wide = format!("({})", wide.join(" or "));
    let error = bench.resolve(&distribution(), &[&wide]).await.expect_err("a bomb");
    assert!(matches!(error, ResolveError::TooComplex(_)), "{error}");
    assert_eq!(error.fault(), Fault::Package);
    bench.resolve(&distribution(), &["zlib"]).await.expect("resolved");
}

#[tokio::test]
async fn what_nobody_used_is_swept() {
    let bench = Bench::new();
    let packages = distribution();
    bench.resolve(&packages, &["zlib"]).await.expect("resolved");
    let day = std::time::Duration::from_secs(86_400);
    let now = std::time::SystemTime::now();
    assert_eq!(bench.resolver.sweep(now - day).expect("swept"), 0);
    assert!(bench.resolver.sweep(now + day).expect("swept") > 0);
    assert!(!bench.resolve(&packages, &["zlib"]).await.expect("resolved").cached);
}
