//! Row 5: from requirements to a lock among all packages of a large distribution, beside dnf.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use kiln_cas::Cas;
use kiln_model::{Digest, Faulty, Knobs, ProfileSpec, Target};
use kiln_parse::compression::Compression;
use kiln_repo::{MetadataBlob, Snapshot};
use kiln_resolve::{Ask, FileLists, RepoUse, Resolver, SolverLink, SolverSpawn, Trust};
use tokio::runtime::Runtime;

use crate::bare::Bare;
use crate::metadata;
use crate::meter::{self, Figures, Took};
use crate::table::Table;

/// What is asked, one after the other: what packages ask for, small and large.
const ASKED: [&str; 10] = [
    "gcc",
    "libssl-dev",
    "cmake",
    "python3-dev",
    "libgtk-3-dev",
    "default-jdk",
    "texlive-latex-extra",
    "qtbase5-dev",
    "libboost-all-dev",
    "ocaml",
];

/// What every answer holds besides.
const BASE: [&str; 3] = ["bash", "coreutils", "make"];

/// The name of dnf's folder: all its runs share one, since its cache is what makes it warm.
const DNF: usize = 5;

/// Times it over metadata made of this host's package index.
pub(crate) fn resolve(
    kiln: &Path,
    scratch: &Path,
    bare: &Bare,
    repeats: usize,
    table: &mut Table,
) -> Result<()> {
    let repo = scratch.join("big");
    let count = match metadata::make(&repo) {
        Ok(count) => count,
        Err(error) => {
            table.note(format!("row 5: skipped, because {error:#}"));
            return Ok(());
        }
    };
    let xml = fs::read(repo.join("repodata/primary.xml.gz"))?;
    let bench = Bench::open(kiln, &scratch.join("resolver"), &xml)?;
    let mut runs = Runs::default();
    for round in 0..repeats {
        bench.round(round, &mut runs)?;
    }
    let warm = Figures::of(&runs.warm);
    let met = warm.wall_ms <= 60.0;
    table.own(
        5,
        format!("resolve, {count} packages, warm, {} questions", ASKED.len()),
        warm,
        "60 ms",
        met,
    );
    if !runs.first.is_empty() {
        table.beside(
            5,
            "the first question of a new process, metadata known",
            Figures::of(&runs.first),
        );
    }
    table.beside(5, "a question that was asked before", Figures::of(&runs.known));
    table.note(format!("row 5: metadata read for the first time in {:.1} s", runs.read));
    match dnf_all(&repo, bare) {
        Ok(took) => table.beside(5, "dnf --assumeno install of the same, warm", Figures::of(&took)),
        Err(error) => table.note(format!("row 5: no dnf, because {error:#}")),
    }
    Ok(())
}

#[derive(Default)]
struct Runs {
    read: f64,
    first: Vec<Took>,
    warm: Vec<Took>,
    known: Vec<Took>,
}

struct Bench {
    kiln: PathBuf,
    folder: PathBuf,
    cas: Cas,
    snapshot: Snapshot,
    target: Target,
    runtime: Runtime,
}

impl Bench {
    fn open(kiln: &Path, folder: &Path, xml: &[u8]) -> Result<Self> {
        let cas = Cas::open(&folder.join("blobs.v1"))?;
        let snapshot = snapshot(&cas, xml)?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let (kiln, folder) = (kiln.to_owned(), folder.to_owned());
        Ok(Self { kiln, folder, cas, snapshot, target: target()?, runtime })
    }

    /// One resolver from its start to its end. Answers are kept by question, so each round asks
    /// for something besides that makes its questions new ones.
    fn round(&self, round: usize, runs: &mut Runs) -> Result<()> {
        let spawn = Arc::new(Spawn(self.kiln.clone()));
        let resolver = Resolver::open(&self.folder, self.cas.clone(), spawn)?;
        let besides = ["zlib1g-dev", "libpng-dev", "libxml2-dev", "m4", "bison", "flex", "gawk"];
        let besides = besides[round % besides.len()];
        let ask = |requires: &[&str]| self.time(&resolver, requires);
        let first = ask(&[besides])?;
        match round {
            // This one has also compiled the metadata.
            0 => runs.read = first.wall.as_secs_f64(),
            _ => runs.first.push(first),
        }
        for asked in ASKED {
            runs.warm.push(ask(&[asked, besides])?);
        }
        runs.known.push(ask(&[ASKED[0], besides])?);
        Ok(())
    }

    /// The CPU time is that of this process and of the solver that it has started.
    fn time(&self, resolver: &Resolver, requires: &[&str]) -> Result<Took> {
        let requires: Vec<_> =
            requires.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        let ask = Ask {
            target: &self.target,
            profile: "bench",
            repos: &[RepoUse { snapshot: &self.snapshot, trust: Trust::Upstream }],
            requires: &requires,
            macros: &BTreeMap::new(),
            asker: "bench-1",
        };
        let cpu = meter::cpu_of_all()? + meter::cpu_of_living()?;
        let began = Instant::now();
        self.runtime.block_on(resolver.resolve(&ask, &NoLists))?;
        let wall = began.elapsed();
        let after = meter::cpu_of_all()? + meter::cpu_of_living()?;
        Ok(Took { wall, cpu: after.saturating_sub(cpu) })
    }
}

/// Starts the solver: kiln in that role.
struct Spawn(PathBuf);

impl SolverSpawn for Spawn {
    fn spawn(&self) -> std::io::Result<SolverLink> {
        let (socket, child) = kiln_solver::start(&self.0, &[kiln_solver::ROLE])?;
        Ok(SolverLink { socket, process: Some(child) })
    }
}

struct NoLists;

impl FileLists for NoLists {
    async fn fetch(
        &self,
        _snapshot: &Snapshot,
    ) -> std::result::Result<Option<MetadataBlob>, Box<dyn Faulty + Send + Sync>> {
        Ok(None)
    }
}

fn target() -> Result<Target> {
    let packages = BASE.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    Ok(Target {
        schema: 1,
        name: "bench".parse()?,
        summary: String::new(),
        arch: "x86_64".to_owned(),
        vars: BTreeMap::new(),
        macros: BTreeMap::new(),
        rpm: Knobs { toolbox: vec!["rpm".parse()?] },
        limits: BTreeMap::new(),
        profile: BTreeMap::from([("bench".to_owned(), ProfileSpec { version: 1, packages })]),
        key: BTreeMap::new(),
        repos: Vec::new(),
    })
}

fn snapshot(cas: &Cas, xml: &[u8]) -> Result<Snapshot> {
    let digest = cas.insert_bytes(xml)?;
    Ok(Snapshot {
        repo: "bench".to_owned(),
        repomd: Digest::of(b"bench"),
        revision: String::new(),
        made: 1,
        packages: 0,
        primary: MetadataBlob {
            digest,
            size: xml.len() as u64,
            compression: Compression::of_magic(xml),
            open_size: 1 << 33,
        },
        filelists: None,
        modules: None,
        places: Vec::new(),
        package_places: Vec::new(),
        package_prefix: String::new(),
        priority: 99,
        exclude: Vec::new(),
    })
}

/// dnf reads only the primary metadata here, since there are no others: it is at its fastest. It
/// wants to be root, so it is root of a user namespace.
fn dnf_all(repo: &Path, bare: &Bare) -> Result<Vec<Took>> {
    let install = |asked: &str| -> Result<Took> {
        // Where it is told to say no to itself, dnf ends with 1, as it does with any error.
        let script = format!(
            "HOME=$CACHE dnf --assumeno --setopt=install_weak_deps=0 --disableplugin='*' \
             --setopt=reposdir=/nonexistent --releasever=1 --installroot=\"$TREE\" \
             --setopt=cachedir=\"$CACHE\" --setopt=logdir=\"$CACHE\" \
             --repofrompath=bench,'file://{}' --forcearch=x86_64 --nogpgcheck --repo=bench \
             install {} rpm {asked} > said 2>&1 || grep -q 'Operation aborted' said || {{\n\
             cat said; exit 1; }}",
            repo.display(),
            BASE.join(" "),
        );
        bare.install(DNF, &script)
    };
    install(ASKED[0])?;
    ASKED.into_iter().map(install).collect()
}
