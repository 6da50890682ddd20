//! A resolver with made-up repositories, in a folder that goes away.

#![allow(dead_code, reason = "each test file uses a part of it")]

#[path = "../../../../../solver/tests/all/kit/mod.rs"]
pub(crate) mod kit;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kiln_cas::Cas;
use kiln_model::{Digest, Faulty, Requirement, Target};
use kiln_parse::checksum::Checksum;
use kiln_parse::compression::Compression;
use kiln_repo::{MetadataBlob, MetadataRef, Snapshot};
use kiln_resolve::{
    Ask, FileLists, RepoUse, Resolution, ResolveError, Resolver, SolverLink, SolverSpawn, Trust,
};
use kit::{P, filelists, primary};

/// Starts solvers in threads, counts them, and lets the first few hang up at once.
#[derive(Default)]
pub(crate) struct Threads {
    pub(crate) started: AtomicUsize,
    pub(crate) hang_up: AtomicUsize,
}

impl SolverSpawn for Threads {
    fn spawn(&self) -> io::Result<SolverLink> {
        self.started.fetch_add(1, Ordering::SeqCst);
        let (ours, theirs) = UnixStream::pair()?;
        let gone = self
            .hang_up
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if gone.is_err() {
            thread::spawn(move || kiln_solver::serve(&theirs, Vec::new(), ()));
        }
        Ok(SolverLink { socket: ours, process: None })
    }
}

/// Everything that a resolve needs, in a folder that goes away.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) cas: Cas,
    pub(crate) threads: Arc<Threads>,
    pub(crate) resolver: Resolver,
    pub(crate) target: Target,
    pub(crate) fetched: AtomicUsize,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let cas = Cas::open(&folder.path().join("blobs.v1")).expect("a store");
        let threads = Arc::new(Threads::default());
        let resolver =
            Resolver::open(folder.path(), cas.clone(), threads.clone()).expect("a resolver");
        let requirement = |text: &str| text.parse().expect("a requirement");
        let profile = |packages: &[&str]| kiln_model::ProfileSpec {
            version: 2,
            packages: packages.iter().map(|text| requirement(text)).collect(),
        };
        let target = Target {
            schema: 1,
            name: "trial-13-x86_64".parse().expect("a name"),
            summary: String::new(),
            arch: "x86_64".to_owned(),
            vars: BTreeMap::new(),
            macros: BTreeMap::from([("dist".to_owned(), ".t".to_owned())]),
            rpm: kiln_model::Knobs { toolbox: vec![requirement("rpm")] },
            limits: BTreeMap::new(),
            profile: BTreeMap::from([
                ("distribution".to_owned(), profile(&["bash", "gcc"])),
                ("broken".to_owned(), profile(&["bash", "busybox"])),
            ]),
            key: BTreeMap::new(),
            repos: Vec::new(),
        };
        Self { folder, cas, threads, resolver, target, fetched: AtomicUsize::new(0) }
    }

    /// The same folder, after a restart.
    pub(crate) fn again(self) -> Self {
        let resolver = Resolver::open(self.folder.path(), self.cas.clone(), self.threads.clone());
        Self { resolver: resolver.expect("a resolver"), ..self }
    }

    pub(crate) fn snapshot(&self, repo: &str, packages: &[P]) -> Snapshot {
        let xml = primary(packages);
        let digest = self.cas.insert_bytes(xml.as_bytes()).expect("stored");
        let lists = filelists(packages);
        Snapshot {
            repo: repo.to_owned(),
            repomd: Digest::of(format!("{repo} {digest}").as_bytes()),
            revision: "1".to_owned(),
            made: 1,
            packages: packages.len() as u64,
            primary: MetadataBlob {
                digest,
                size: xml.len() as u64,
                compression: Compression::None,
                open_size: xml.len() as u64,
            },
            filelists: Some(MetadataRef {
                location: "repodata/filelists.xml".to_owned(),
                checksum: Checksum::Sha256(Digest::of(lists.as_bytes())),
                size: None,
                open_size: 1 << 20,
            }),
            modules: None,
            places: Vec::new(),
            package_places: Vec::new(),
            package_prefix: String::new(),
            priority: 99,
            exclude: Vec::new(),
        }
    }

    pub(crate) async fn resolve_with(
        &self,
        profile: &str,
        repos: &[(Snapshot, Trust, &[P])],
        requires: &[&str],
    ) -> Result<Resolution, ResolveError> {
        let uses: Vec<RepoUse<'_>> = repos
            .iter()
            .map(|(snapshot, trust, _)| RepoUse { snapshot, trust: trust.clone() })
            .collect();
        let requires: Vec<Requirement> =
            requires.iter().map(|text| text.parse().expect("a requirement")).collect();
        let ask = Ask {
            target: &self.target,
            profile,
            repos: &uses,
            requires: &requires,
            macros: &BTreeMap::from([("vendor".to_owned(), "ACME".to_owned())]),
            asker: "hello-2.12",
        };
        let lists = Lists { bench: self, repos };
        self.resolver.resolve(&ask, &lists).await
    }

    pub(crate) async fn resolve(
        &self,
        packages: &[P],
        requires: &[&str],
    ) -> Result<Resolution, ResolveError> {
        let snapshot = self.snapshot("base", packages);
        self.resolve_with("distribution", &[(snapshot, Trust::Upstream, packages)], requires).await
    }

    pub(crate) fn started(&self) -> usize {
        self.threads.started.load(Ordering::SeqCst)
    }

    pub(crate) fn files(&self, end: &str) -> Vec<PathBuf> {
        let folder = self.folder.path().join("resolver.v1/pools");
        let files =
            fs::read_dir(folder).expect("listed").map(|entry| entry.expect("listed").path());
        files.filter(|path| path.to_string_lossy().ends_with(end)).collect()
    }
}

pub(crate) struct Lists<'a> {
    pub(crate) bench: &'a Bench,
    pub(crate) repos: &'a [(Snapshot, Trust, &'a [P])],
}

impl FileLists for Lists<'_> {
    async fn fetch(
        &self,
        snapshot: &Snapshot,
    ) -> Result<Option<MetadataBlob>, Box<dyn Faulty + Send + Sync>> {
        self.bench.fetched.fetch_add(1, Ordering::SeqCst);
        let repo = self.repos.iter().find(|(known, ..)| known.repo == snapshot.repo);
        let text = filelists(repo.expect("one that was asked").2);
        let digest = self.bench.cas.insert_bytes(text.as_bytes()).expect("stored");
        let size = text.len() as u64;
        Ok(Some(MetadataBlob { digest, size, compression: Compression::None, open_size: size }))
    }
}

pub(crate) fn distribution() -> Vec<P> {
    vec![
        P::new("bash-5.2-1").file("/usr/bin/bash"),
        P::new("gcc-14.1-1").requires("glibc-devel"),
        P::new("glibc-devel-2.39-1").requires("glibc"),
        P::new("glibc-2.39-1"),
        P::new("rpm-4.20-1").requires("glibc"),
        P::new("zlib-devel-1.3-1").requires("zlib").provides("pkgconfig(zlib) = 1.3"),
        P::new("zlib-1.3-1").requires("glibc"),
        P::new("fonts-1-1").file("/usr/share/fonts/a.ttf"),
        P::new("needs-font-1-1").requires("/usr/share/fonts/a.ttf"),
    ]
}
