//! The resolver over real children: what ends a child, and what doesn't change.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::kit::{P, pigeons, primary};
use kiln_cas::Cas;
use kiln_model::{Digest, Fault, Faulty, Knobs, ProfileSpec, Requirement, Target};
use kiln_parse::compression::Compression;
use kiln_parse::lock;
use kiln_repo::{MetadataBlob, Snapshot};
use kiln_resolve::{
    Ask, FileLists, RepoUse, Resolution, ResolveError, Resolver, SolverLink, SolverSpawn, Trust,
};

/// Starts real children, and remembers their numbers.
struct Children {
    arguments: Vec<&'static str>,
    pids: Mutex<Vec<u32>>,
}

impl SolverSpawn for Children {
    fn spawn(&self) -> io::Result<SolverLink> {
        let program = Path::new(env!("CARGO_BIN_EXE_kiln-solver-child"));
        let (socket, child) = kiln_solver::start(program, &self.arguments)?;
        self.pids.lock().expect("nobody panicked").push(child.id());
        Ok(SolverLink { socket, process: Some(child) })
    }
}

struct NoLists;

impl FileLists for NoLists {
    async fn fetch(
        &self,
        _snapshot: &Snapshot,
    ) -> Result<Option<MetadataBlob>, Box<dyn Faulty + Send + Sync>> {
        Ok(None)
    }
}

struct Bench {
    folder: tempfile::TempDir,
    cas: Cas,
    children: Arc<Children>,
    resolver: Resolver,
}

impl Bench {
    fn new(arguments: &[&'static str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let cas = Cas::open(&folder.path().join("blobs.v1")).expect("a store");
        let children = Arc::new(Children { arguments: arguments.to_vec(), pids: Mutex::default() });
        let resolver =
            Resolver::open(folder.path(), cas.clone(), children.clone()).expect("a resolver");
        Self { folder, cas, children, resolver }
    }

    async fn resolve(
        &self,
        packages: &[P],
        requires: &[String],
    ) -> Result<Resolution, ResolveError> {
        let xml = primary(packages);
        let digest = self.cas.insert_bytes(xml.as_bytes()).expect("stored");
        let snapshot = Snapshot {
            repo: "base".to_owned(),
            repomd: digest,
            revision: String::new(),
            made: 1,
            packages: 0,
            primary: MetadataBlob {
                digest,
                size: xml.len() as u64,
                compression: Compression::None,
                open_size: xml.len() as u64,
            },
            filelists: None,
            modules: None,
            places: Vec::new(),
            package_places: Vec::new(),
            package_prefix: String::new(),
            priority: 99,
            exclude: Vec::new(),
        };
        let requires: Vec<Requirement> =
            requires.iter().map(|text| text.parse().expect("a requirement")).collect();
        let ask = Ask {
            target: &target(),
            profile: "strict",
            repos: &[RepoUse { snapshot: &snapshot, trust: Trust::Upstream }],
            requires: &requires,
            macros: &BTreeMap::new(),
            asker: "hello-2.12",
        };
        self.resolver.resolve(&ask, &NoLists).await
    }
}

fn target() -> Target {
    let packages = vec!["bash".parse().expect("a requirement")];
    Target {
        schema: 1,
        name: "trial-13-x86_64".parse().expect("a name"),
        summary: String::new(),
        arch: "x86_64".to_owned(),
        vars: BTreeMap::new(),
        macros: BTreeMap::new(),
        rpm: Knobs { toolbox: Vec::new() },
        limits: BTreeMap::new(),
        profile: BTreeMap::from([("strict".to_owned(), ProfileSpec { version: 1, packages })]),
        key: BTreeMap::new(),
        repos: Vec::new(),
    }
}

fn distribution() -> Vec<P> {
    let mut packages = vec![P::new("bash-5.2-1"), P::new("zlib-1.3-1")];
    for i in 0..200 {
        let package = P::new(&format!("p{i}-1-1")).requires("zlib").provides("virtual");
        packages.push(package.requires(&format!("p{}", i / 2)));
    }
    packages
}

#[tokio::test]
async fn a_bomb_is_too_complex_and_the_next_question_is_answered() {
    let bench = Bench::new(&["--cpu", "1"]);
    let mut packages = distribution();
    packages.extend(pigeons(14));
    let asked: Vec<String> = (0..14).map(|pigeon| format!("pigeon{pigeon}")).collect();
    let error = bench.resolve(&packages, &asked).await.expect_err("a bomb");
    assert!(matches!(error, ResolveError::TooComplex(_)), "{error}");
    assert_eq!(error.fault(), Fault::Package);
    assert!(error.to_string().contains("CPU time"), "{error}");
    bench.resolve(&packages, &["p7".to_owned()]).await.expect("resolved");
}

#[tokio::test]
async fn a_child_that_is_killed_between_two_questions_is_not_missed() {
    let bench = Bench::new(&[]);
    let packages = distribution();
    bench.resolve(&packages, &["p7".to_owned()]).await.expect("resolved");
    let pids = bench.children.pids.lock().expect("nobody panicked").clone();
    // The first holds the pool; the second read the metadata and has ended.
    let warm = pids[0];
    let killed = std::process::Command::new("kill").args(["-9", &warm.to_string()]).status();
    assert!(killed.expect("started").success());
    bench.resolve(&packages, &["p8".to_owned()]).await.expect("resolved");
    assert_eq!(bench.children.pids.lock().expect("nobody panicked").len(), pids.len() + 1);
}

#[tokio::test]
async fn a_child_that_is_not_confined_is_not_asked() {
    let bench = Bench::new(&["--without", "calls"]);
    let error = bench.resolve(&distribution(), &[]).await.expect_err("not confined");
    assert!(matches!(error, ResolveError::Unconfined(_)), "{error}");
    assert_eq!(error.fault(), Fault::Kiln);
}

#[tokio::test]
async fn no_child_outlives_its_resolver() {
    let bench = Bench::new(&[]);
    bench.resolve(&distribution(), &["p7".to_owned()]).await.expect("resolved");
    let pids = bench.children.pids.lock().expect("nobody panicked").clone();
    assert_eq!(pids.len(), 2);
    drop(bench.resolver);
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid} is still there");
    }
    assert!(bench.folder.path().exists());
}

#[tokio::test]
async fn the_same_question_in_two_places_has_the_same_bytes() {
    let packages = distribution();
    let asked = ["p199".to_owned(), "virtual".to_owned(), "p50".to_owned()];
    let mut digests = Vec::new();
    for _ in 0..3 {
        let bench = Bench::new(&[]);
        let done = bench.resolve(&packages, &asked).await.expect("resolved");
        digests.push(Digest::of(&lock::to_bytes(&done.lock)));
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
}
