//! How long the solver takes, on metadata that are given, beside dnf on the same.
//!
//! `cargo run --release -p kiln-solver --example bench REPO [REQUIREMENT]...`, where REPO is a
//! folder with `repodata/` in it.

#![allow(clippy::print_stdout, reason = "it prints a table")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kiln_cas::Cas;
use kiln_model::{Digest, Faulty, Knobs, ProfileSpec, Target};
use kiln_parse::compression::Compression;
use kiln_repo::{MetadataBlob, Snapshot};
use kiln_resolve::{Ask, FileLists, RepoUse, Resolver, SolverLink, SolverSpawn, Trust};
use kiln_solver::{ROLE, child_main, start};
use kiln_wire::rights;
use kiln_wire::solver::{
    ANSWER_CAP, Answer, Asked, Asker, Compile, Goal, Load, Outcome, Repo, Request, Solve,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == ROLE) {
        return child_main();
    }
    match bench(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &[String]) -> Result<()> {
    let (repo, asked) = arguments.split_first().ok_or("which repository?")?;
    let repo = fs::canonicalize(repo)?;
    let asked: Vec<&str> = match asked {
        [] => vec!["gcc", "make", "libssl-dev", "cmake", "python3", "texlive-full"],
        asked => asked.iter().map(String::as_str).collect(),
    };
    let primary = primary_of(&repo)?;
    let bytes = fs::read(&primary)?;
    println!("{:<28} {:>10} {:>10}", "", "wall ms", "CPU ms");

    let cache = tempfile::tempfile()?;
    let (wall, cpu, compiled) = one_child(|socket| {
        let ask = Compile { digest: Digest::of(&bytes), open_size: 1 << 33, prefix: String::new() };
        let files = [File::open(&primary)?, cache.try_clone()?];
        let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        call(socket, &Request::Compile(ask), &files)
    })?;
    let Answer::Compiled(compiled) = compiled else { return Err(format!("{compiled:?}").into()) };
    row(&format!("read {} packages", compiled.packages), wall, Some(cpu));
    println!("{:<28} {:>10} KiB", "cache", cache.metadata()?.len() >> 10);

    let (mut socket, mut child) = child()?;
    let mut load = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let answer = load_into(&mut socket, &cache)?;
        load = load.min(begun.elapsed());
        let Answer::Loaded(_) = answer else { return Err(format!("{answer:?}").into()) };
    }
    row("load", load, None);
    println!("{:<28} {:>10} KiB", "child's memory", resident(child.id())?);
    for requirement in &asked {
        let mut times = Vec::new();
        let mut packages = 0;
        for _ in 0..7 {
            let begun = Instant::now();
            packages = solve(&socket, requirement)?;
            times.push(begun.elapsed());
        }
        times.sort();
        row(&format!("solve {requirement} ({packages})"), times[times.len() / 2], None);
    }
    drop(socket);
    child.wait()?;
    resolver(&bytes, &asked)?;
    beside_dnf(&repo, &asked)
}

/// The same through the resolver, from requirements to locks: on a new disk, with a warm child,
/// and asked again.
fn resolver(primary: &[u8], asked: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cas = Cas::open(&folder.path().join("blobs.v1"))?;
    let snapshot = snapshot(&cas, primary)?;
    let target = target()?;
    let resolver = Resolver::open(folder.path(), cas, Arc::new(Spawn))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let resolve = |requirement: &str| -> Result<Duration> {
        let begun = Instant::now();
        let ask = Ask {
            target: &target,
            profile: "bench",
            repos: &[RepoUse { snapshot: &snapshot, trust: Trust::Upstream }],
            requires: &[requirement.parse()?],
            macros: &BTreeMap::new(),
            asker: "bench-1",
        };
        runtime.block_on(resolver.resolve(&ask, &Spawn))?;
        Ok(begun.elapsed())
    };
    let (first, rest) = asked.split_first().ok_or("nothing to ask")?;
    row("resolve, cold", resolve(first)?, None);
    for requirement in rest {
        row(&format!("resolve, warm: {requirement}"), resolve(requirement)?, None);
    }
    row("resolve, known", resolve(first)?, None);
    Ok(())
}

struct Spawn;

impl SolverSpawn for Spawn {
    fn spawn(&self) -> std::io::Result<SolverLink> {
        let (socket, child) = start(&std::env::current_exe()?, &[ROLE])?;
        Ok(SolverLink { socket, process: Some(child) })
    }
}

impl FileLists for Spawn {
    async fn fetch(
        &self,
        _snapshot: &Snapshot,
    ) -> std::result::Result<Option<MetadataBlob>, Box<dyn Faulty + Send + Sync>> {
        Ok(None)
    }
}

fn target() -> Result<Target> {
    Ok(Target {
        schema: 1,
        name: "bench".parse()?,
        summary: String::new(),
        arch: "x86_64".to_owned(),
        vars: BTreeMap::new(),
        macros: BTreeMap::new(),
        rpm: Knobs { toolbox: vec!["rpm".parse()?] },
        limits: BTreeMap::new(),
        profile: BTreeMap::from([(
            "bench".to_owned(),
            ProfileSpec { version: 1, packages: vec!["bash".parse()?, "coreutils".parse()?] },
        )]),
        key: BTreeMap::new(),
        repos: Vec::new(),
    })
}

fn snapshot(cas: &Cas, primary: &[u8]) -> Result<Snapshot> {
    let digest = cas.insert_bytes(primary)?;
    Ok(Snapshot {
        repo: "bench".to_owned(),
        repomd: digest,
        revision: String::new(),
        made: 1,
        packages: 0,
        primary: MetadataBlob {
            digest,
            size: primary.len() as u64,
            compression: Compression::of_magic(primary),
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

fn row(what: &str, wall: Duration, cpu: Option<Duration>) {
    let milliseconds = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    println!(
        "{what:<28} {:>10} {:>10}",
        milliseconds(wall),
        cpu.map(milliseconds).unwrap_or_default()
    );
}

fn child() -> Result<(UnixStream, std::process::Child)> {
    let (socket, child) = start(&std::env::current_exe()?, &[ROLE])?;
    let (answer, _) = rights::receive::<Answer>(&socket, ANSWER_CAP)?.ok_or("no child")?;
    match answer {
        Answer::Ready(_) => Ok((socket, child)),
        other => Err(format!("{other:?}").into()),
    }
}

/// One question to a new child, with the wall and CPU time of the whole.
fn one_child(ask: impl Fn(&UnixStream) -> Result<Answer>) -> Result<(Duration, Duration, Answer)> {
    let begun = Instant::now();
    let (socket, mut child) = child()?;
    let answer = ask(&socket)?;
    let cpu = cpu_of(child.id())?;
    drop(socket);
    child.wait()?;
    Ok((begun.elapsed(), cpu, answer))
}

/// proc_pid_stat(5), fields 14 and 15, in ticks of 10 ms.
fn cpu_of(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = text.rsplit_once(')').ok_or("no stat")?.1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

fn resident(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = text.split_whitespace().nth(1).ok_or("no statm")?.parse()?;
    Ok(pages * 4)
}

fn call(socket: &UnixStream, request: &Request, files: &[BorrowedFd<'_>]) -> Result<Answer> {
    rights::send(socket, request, files)?;
    Ok(rights::receive::<Answer>(socket, ANSWER_CAP)?.ok_or("the child ended")?.0)
}

fn load_into(socket: &mut UnixStream, cache: &File) -> Result<Answer> {
    use std::io::Seek;
    let mut cache = cache.try_clone()?;
    cache.rewind()?;
    let repo = Repo {
        id: "bench".to_owned(),
        priority: 99,
        exclude: Vec::new(),
        tenant: None,
        lists: true,
    };
    let load = Load { arch: "x86_64".to_owned(), repos: vec![repo], known: Vec::new() };
    call(socket, &Request::Load(load), &[cache.as_fd()])
}

fn solve(socket: &UnixStream, requirement: &str) -> Result<usize> {
    let asked = vec![Asked { requirement: requirement.parse()?, by: Asker::Build }];
    let goals = vec![Goal { asked, like: None, prefer: Vec::new() }];
    match call(socket, &Request::Solve(Solve { goals }), &[])? {
        Answer::Solved(outcomes) => match &outcomes[..] {
            [Outcome::Packages(packages)] => Ok(packages.len()),
            other => Err(format!("{requirement}: {other:?}").into()),
        },
        other => Err(format!("{requirement}: {other:?}").into()),
    }
}

fn primary_of(repo: &Path) -> Result<PathBuf> {
    let names = fs::read_dir(repo.join("repodata"))?.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        names.filter(|path| path.to_string_lossy().contains("primary.xml")).collect();
    // The packed one, where both are there.
    found.sort_by_key(|path| path.extension().is_some_and(|end| end == "xml"));
    found.into_iter().next().ok_or_else(|| "no primary.xml in its repodata".into())
}

fn beside_dnf(repo: &Path, asked: &[&str]) -> Result<()> {
    let root = tempfile::tempdir()?;
    let dnf = |requirement: &str| {
        let mut command = Command::new("dnf");
        command.args(["--assumeno", "--setopt=install_weak_deps=0", "--disableplugin=*"]);
        command.arg(format!("--installroot={}", root.path().join("root").display()));
        command.arg(format!("--setopt=cachedir={}", root.path().join("cache").display()));
        command.arg(format!("--setopt=reposdir={}", root.path().display()));
        command.arg(format!("--repofrompath=bench,file://{}", repo.display()));
        command.args(["--forcearch=x86_64", "--nogpgcheck", "--repo=bench", "install"]);
        command.arg(requirement).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    for requirement in asked {
        if dnf(requirement).is_err() {
            println!("dnf: skipped, because dnf is not installed");
            return Ok(());
        }
        let mut best = Duration::MAX;
        for _ in 0..2 {
            let begun = Instant::now();
            dnf(requirement)?;
            best = best.min(begun.elapsed());
        }
        row(&format!("dnf install {requirement}"), best, None);
    }
    Ok(())
}
