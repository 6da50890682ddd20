//! kiln's answers beside dnf's, on the same repositories, made by createrepo_c from real RPMs.
//!
//! Where dnf or createrepo_c is not installed this is skipped, and says so.

#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::kit::{P, R, Solver};
use kiln_model::Digest;
use kiln_parse::repomd::{Kind, Repomd};
use kiln_wire::rights;
use kiln_wire::solver::{
    Answer, Asked, Asker, Compile, Goal, Lists, Load, Outcome, Request, Search, Solve, Wanted,
};
use serde_json::{Value, json};

/// A Python that can import dnf.
fn python() -> Option<&'static str> {
    let imports = |python: &&str| {
        let mut command = Command::new(python);
        command.args(["-c", "import dnf"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    ["python3", "/usr/bin/python3", "/usr/libexec/platform-python"].into_iter().find(imports)
}

fn createrepo(folder: &Path) -> bool {
    let mut command = Command::new("createrepo_c");
    command.arg("--quiet").arg(folder);
    command.status().is_ok_and(|status| status.success())
}

fn write_rpm(package: &P, folder: &Path) {
    let P { name, version, release, arch, .. } = package;
    let mut builder = rpm::PackageBuilder::new(name, version, "MIT", arch, "made up");
    builder.epoch(package.epoch).release(release.as_str());
    for (kind, text) in &package.entries {
        let dependency = dependency(text);
        match *kind {
            "provides" => builder.provides(dependency),
            "requires" => builder.requires(dependency),
            "conflicts" => builder.conflicts(dependency),
            "obsoletes" => builder.obsoletes(dependency),
            "recommends" => builder.recommends(dependency),
            other => panic!("no such list: {other}"),
        };
    }
    for path in &package.files {
        builder.with_file_contents("x", rpm::FileOptions::new(path)).expect("a file");
    }
    let rpm = builder.build().expect("a package");
    // With the epoch, since two packages here differ in nothing else.
    let file = format!("{name}-{}-{version}-{release}.{arch}.rpm", package.epoch);
    rpm.write_file(folder.join(file)).expect("written");
}

fn dependency(text: &str) -> rpm::Dependency {
    let parts: Vec<&str> = text.split(' ').collect();
    match parts[..] {
        [name, sign, version] if !text.starts_with('(') => match sign {
            "<" => rpm::Dependency::less(name, version),
            "<=" => rpm::Dependency::less_eq(name, version),
            "=" => rpm::Dependency::eq(name, version),
            ">=" => rpm::Dependency::greater_eq(name, version),
            ">" => rpm::Dependency::greater(name, version),
            other => panic!("no such comparison: {other}"),
        },
        _ => rpm::Dependency::any(text),
    }
}

/// What to compare: who asks, and for what.
type Ask = (Asker, Vec<String>);

fn build(texts: &[&str]) -> Ask {
    (Asker::Build, texts.iter().map(|text| (*text).to_owned()).collect())
}

fn install(texts: &[&str]) -> Ask {
    (Asker::Profile, texts.iter().map(|text| (*text).to_owned()).collect())
}

fn dnf(python: &str, folder: &Path, repos: &[(R, PathBuf)], asks: &[Ask]) -> Vec<Value> {
    let repos: Vec<Value> = repos
        .iter()
        .map(|(repo, path)| {
            let repo = &repo.repo;
            json!({"id": repo.id, "path": path, "priority": repo.priority, "exclude": repo.exclude})
        })
        .collect();
    let asks: Vec<Value> = asks
        .iter()
        .map(|(by, texts)| {
            let by = if *by == Asker::Build { "build" } else { "install" };
            json!({"by": by, "texts": texts})
        })
        .collect();
    let question = json!({"folder": folder, "repos": repos, "asks": asks});
    let mut child = Command::new(python)
        .arg("-c")
        .arg(include_str!("kit/dnf.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(question.to_string().as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success(), "dnf failed");
    serde_json::from_slice(&output.stdout).expect("answers")
}

/// The file of a repository's metadata of that kind.
fn metadata(folder: &Path, kind: Kind) -> (PathBuf, u64) {
    let bytes = fs::read(folder.join("repodata/repomd.xml")).expect("a repomd.xml");
    let repomd = Repomd::parse(&bytes).expect("a repomd.xml");
    let record = repomd.find(kind).expect("that kind");
    (folder.join(&record.location), 1 << 30)
}

fn load(solver: &Solver, repos: &[(R, PathBuf)]) {
    let mut caches = Vec::new();
    for (_, path) in repos {
        let (primary, open_size) = metadata(path, Kind::Primary);
        let digest = Digest::of(&fs::read(&primary).expect("read"));
        let mut to = tempfile::tempfile().expect("a file");
        let ask = Request::Compile(Compile { digest, open_size, prefix: String::new() });
        let from = File::open(primary).expect("opened");
        match solver.call(&ask, &[&from, &to]) {
            Answer::Compiled(compiled) => assert_eq!(compiled.skipped, 0, "{compiled:?}"),
            other => panic!("{other:?}"),
        }
        std::io::Seek::rewind(&mut to).expect("rewound");
        caches.push(to);
    }
    let repos = repos.iter().map(|(repo, _)| repo.repo.clone()).collect();
    let load = Load { arch: "x86_64".to_owned(), repos, known: Vec::new() };
    let files: Vec<_> = caches.iter().map(AsFd::as_fd).collect();
    rights::send(&solver.socket, &Request::Load(load), &files).expect("sent");
    assert!(matches!(solver.receive(), Some(Answer::Loaded(_))));
}

fn kiln(solver: &Solver, repos: &[(R, PathBuf)], (by, texts): &Ask) -> Value {
    let asked: Vec<Asked> = texts
        .iter()
        .map(|text| Asked { requirement: text.parse().expect("a requirement"), by: *by })
        .collect();
    let solve =
        Request::Solve(Solve { goals: vec![Goal { asked, like: None, prefer: Vec::new() }] });
    loop {
        match solver.call(&solve, &[]) {
            Answer::Solved(mut outcomes) => match outcomes.remove(0) {
                Outcome::Problems(_) => return Value::Null,
                Outcome::Packages(packages) => {
                    let mut names: Vec<String> =
                        packages.iter().map(|one| one.package.nevra.to_string()).collect();
                    names.sort();
                    return json!(names);
                }
            },
            Answer::Unlisted(paths) => {
                let lists = repos
                    .iter()
                    .map(|(repo, path)| {
                        let (file, open_size) = metadata(path, Kind::Filelists);
                        let digest = Digest::of(&fs::read(file).expect("read"));
                        Lists { repo: repo.repo.id.clone(), digest, open_size }
                    })
                    .collect();
                let wanted = paths.into_iter().map(Wanted::Path).collect();
                let files: Vec<File> = repos
                    .iter()
                    .map(|(_, path)| File::open(metadata(path, Kind::Filelists).0).expect("opened"))
                    .collect();
                let files: Vec<&File> = files.iter().collect();
                let answer = solver.call(&Request::Search(Search { lists, wanted }), &files);
                assert!(matches!(answer, Answer::Found(_)), "{answer:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

fn compare(repos: Vec<R>, asks: &[Ask]) {
    let folder = tempfile::tempdir().expect("a folder");
    let repos: Vec<(R, PathBuf)> = repos
        .into_iter()
        .map(|repo| {
            let path = folder.path().join(&repo.repo.id);
            fs::create_dir(&path).expect("made");
            repo.packages.iter().for_each(|package| write_rpm(package, &path));
            (repo.lists(), path)
        })
        .collect();
    let Some(python) = python() else {
        println!("dnf: skipped, because dnf is not installed");
        return;
    };
    if !repos.iter().all(|(_, path)| createrepo(path)) {
        println!("dnf: skipped, because createrepo_c is not installed");
        return;
    }
    let theirs = dnf(python, folder.path(), &repos, asks);
    let solver = Solver::new();
    load(&solver, &repos);
    for (ask, theirs) in asks.iter().zip(theirs) {
        // dnf shows an epoch before the version, as kiln does.
        assert_eq!(kiln(&solver, &repos, ask), theirs, "{ask:?}");
    }
}

#[test]
fn plain_requirements_get_what_dnf_gives() {
    let packages = vec![
        P::new("a-1-1").requires("b").requires("c >= 2").recommends("weak"),
        P::new("weak-1-1"),
        P::new("b-1-1"),
        P::new("b-2-1"),
        P::new("b-2:1-1"),
        P::new("c-1-1"),
        P::new("c-2-1").requires("/usr/bin/d"),
        P::new("d-1-1").file("/usr/bin/d"),
        P::new("e-1-1").requires("/usr/share/f/data"),
        P::new("f1-1-1").file("/usr/share/f/data"),
        P::new("f2-1-1").file("/usr/share/f/data"),
        P::new("g-1-1").requires("nowhere"),
        P::new("g-0.9-1"),
        P::new("h-1-1").requires("virtual"),
        P::new("v1-1-1").provides("virtual"),
        P::new("v2-1-1").provides("virtual = 7"),
        P::new("i-1-1").requires("virtual < 8"),
        P::new("tilde-1.0~rc1-1"),
        P::new("tilde-1.0-1"),
        P::new("tilde-1.0^git1-1"),
        P::new("j-1-1").requires("tilde < 1.0"),
        P::new("k-1-1.i686").provides("k32"),
        P::new("k-1-1").provides("k64"),
        P::new("l-1-1.noarch"),
        P::new("l-1-1"),
    ];
    compare(
        vec![R::new("base", packages)],
        &[
            build(&["a"]),
            build(&["b"]),
            build(&["b < 2"]),
            build(&["b = 1"]),
            build(&["b <= 0:2"]),
            build(&["e"]),
            build(&["/usr/share/f/data"]),
            build(&["/usr/bin/d"]),
            build(&["g"]),
            build(&["h"]),
            build(&["h", "v2"]),
            build(&["i"]),
            build(&["virtual = 7"]),
            build(&["tilde"]),
            build(&["tilde > 1.0"]),
            build(&["j"]),
            build(&["k"]),
            build(&["k32"]),
            build(&["k32", "k64"]),
            build(&["l"]),
            build(&["nowhere"]),
            build(&["a", "e", "h", "l", "tilde"]),
            install(&["a"]),
            install(&["b"]),
            install(&["g"]),
            install(&["virtual"]),
            install(&["k", "l", "a"]),
        ],
    );
}

#[test]
fn rich_dependencies_get_what_dnf_gives() {
    let packages = vec![
        P::new("b-1-1"),
        P::new("c-1-1"),
        P::new("d-1-1"),
        P::new("v-1-1"),
        P::new("v-2-1"),
        P::new("v-3-1"),
        P::new("xy-1-1").provides("x").provides("y"),
        P::new("x-only-1-1").provides("x"),
        P::new("r1-1-1").requires("(b or c)"),
        P::new("r2-1-1").requires("(b and c)"),
        P::new("r3-1-1").requires("(b if c)"),
        P::new("r4-1-1").requires("(b if c else d)"),
        P::new("r5-1-1").requires("(v >= 1 with v < 3)"),
        P::new("r6-1-1").requires("(x without y)"),
        P::new("r7-1-1").requires("(b unless c)"),
        P::new("r8-1-1").requires("((b and d) or nowhere)"),
        P::new("r9-1-1").requires("((b or c) if (d and v))"),
        P::new("r10-1-1").conflicts("(b and c)"),
        P::new("r11-1-1").conflicts("(v >= 3 or d)"),
        P::new("r12-1-1").requires("(nowhere or elsewhere)"),
        P::new("r13-1-1").requires("(b unless c else d)"),
    ];
    let mut asks = Vec::new();
    for name in ["r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13"] {
        for with in [&[][..], &["c"], &["d"], &["c", "d", "v"]] {
            let mut texts = vec![name];
            texts.extend(with);
            asks.push(build(&texts));
        }
    }
    for text in ["(b or c)", "(b and c)", "(v >= 1 with v < 3)", "(x without y)", "(b if c)"] {
        asks.push(build(&[text]));
        asks.push(build(&[text, "c"]));
    }
    asks.push(build(&["r10", "b", "c"]));
    compare(vec![R::new("base", packages)], &asks);
}

#[test]
fn obsoletes_and_conflicts_get_what_dnf_gives() {
    let packages = vec![
        P::new("old-1-1"),
        P::new("new-2-1").obsoletes("old < 2").provides("old = 2"),
        P::new("gone-1-1"),
        P::new("heir-1-1").obsoletes("gone"),
        P::new("needs-gone-1-1").requires("gone"),
        P::new("needs-old-1-1").requires("old < 2"),
        P::new("split-1-1"),
        P::new("split-2-1").requires("split-libs"),
        P::new("split-libs-2-1").obsoletes("split < 2"),
        P::new("x-1-1").conflicts("y"),
        P::new("y-1-1"),
        P::new("z-1-1").requires("(x or y)").requires("y"),
        P::new("self-1-1").conflicts("me").provides("me"),
    ];
    compare(
        vec![R::new("base", packages)],
        &[
            install(&["old"]),
            install(&["gone"]),
            install(&["needs-gone"]),
            install(&["needs-old"]),
            install(&["split"]),
            install(&["split", "gone"]),
            install(&["new", "old"]),
            build(&["old"]),
            build(&["gone"]),
            build(&["old < 2"]),
            build(&["needs-old", "new"]),
            build(&["gone", "heir"]),
            build(&["x", "y"]),
            build(&["z"]),
            build(&["z", "x"]),
            build(&["self"]),
            build(&["split"]),
        ],
    );
}

#[test]
fn priorities_and_excludes_get_what_dnf_gives() {
    let repos = || {
        vec![
            R::new(
                "low",
                vec![P::new("a-3-1"), P::new("b-1-1"), P::new("only-low-1-1").requires("a >= 3")],
            )
            .priority(99),
            R::new(
                "high",
                vec![P::new("a-1-1"), P::new("b-2-1").provides("v"), P::new("c-1-1").requires("b")],
            )
            .priority(10),
            R::new("same", vec![P::new("b-9-1").provides("v"), P::new("d-1-1"), P::new("d-2-1")])
                .priority(10),
        ]
    };
    let asks = [
        build(&["a"]),
        build(&["a >= 3"]),
        build(&["only-low"]),
        build(&["b"]),
        build(&["c"]),
        build(&["v"]),
        build(&["d"]),
        install(&["a", "b", "d"]),
        install(&["only-low"]),
    ];
    compare(repos(), &asks);
    let mut excluding = repos();
    excluding[1] = excluding[1].clone().exclude("a").exclude("b*");
    excluding[2] = excluding[2].clone().exclude("d-2-1*");
    compare(excluding, &asks);
}

/// A whole distribution: every so many'th of its packages is asked for, alone and with others.
///
/// `KILN_ORACLE_REPO` names the folder of a repository, `KILN_ORACLE_EVERY` how many packages
/// are passed over for each that is asked for.
#[test]
fn a_distribution_gets_what_dnf_gives() {
    let Some(folder) = std::env::var_os("KILN_ORACLE_REPO").map(PathBuf::from) else {
        println!("distribution: skipped, because KILN_ORACLE_REPO names no repository");
        return;
    };
    let Some(python) = python() else {
        println!("distribution: skipped, because dnf is not installed");
        return;
    };
    let every = std::env::var("KILN_ORACLE_EVERY").ok().and_then(|text| text.parse().ok());
    let repos = vec![(R::new("distribution", Vec::new()).lists(), folder.clone())];
    let names = names_of(&metadata(&folder, Kind::Primary).0);
    let picked: Vec<&str> =
        names.iter().step_by(every.unwrap_or(200)).map(String::as_str).collect();
    let mut asks: Vec<Ask> = Vec::new();
    for (name, next) in picked.iter().zip(picked.iter().cycle().skip(1)) {
        asks.push(build(&[name]));
        asks.push(install(&[name]));
        asks.push(build(&[name, next]));
    }
    let scratch = tempfile::tempdir().expect("a folder");
    let theirs = dnf(python, scratch.path(), &repos, &asks);
    let solver = Solver::new();
    load(&solver, &repos);
    let mut solved = 0;
    for (ask, theirs) in asks.iter().zip(theirs) {
        solved += usize::from(!theirs.is_null());
        assert_eq!(kiln(&solver, &repos, ask), theirs, "{ask:?}");
    }
    println!("distribution: {} questions, {solved} with an answer", asks.len());
}

fn names_of(primary: &Path) -> Vec<String> {
    let file = File::open(primary).expect("opened");
    let (_, unpacked) = kiln_parse::compression::unpack(file, 1 << 32).expect("unpacked");
    let mut names = std::collections::BTreeSet::new();
    let caps = kiln_parse::primary::Caps::default();
    kiln_parse::primary::read(std::io::BufReader::new(unpacked), caps, "", |package| {
        names.insert(package.name().to_owned());
    })
    .expect("read");
    names.into_iter().collect()
}
