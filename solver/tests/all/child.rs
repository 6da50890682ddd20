//! The child: each barrier holds, and a test that leaves it out notices; what is too much for a
//! child ends it and nothing else.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what is skipped says why")]

use std::fs;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};

use crate::kit::{P, R, Solver, file_of, pigeons, primary};
use kiln_solver::{Barrier, start};
use kiln_wire::solver::{
    Answer, Asked, Asker, Compile, Failure, Goal, Load, Request, Solve, VERSION,
};

const SIGABRT: i32 = 6;
const SIGXCPU: i32 = 24;

fn child(arguments: &[&str]) -> (Solver, Child) {
    let (socket, child) = started(arguments);
    (Solver::over(socket), child)
}

fn started(arguments: &[&str]) -> (UnixStream, Child) {
    start(Path::new(env!("CARGO_BIN_EXE_kiln-solver-child")), arguments).expect("started")
}

/// How a child ends whose parent has hung up, or that ended by itself.
fn end(solver: Solver, mut child: Child) -> ExitStatus {
    drop(solver);
    child.wait().expect("waited for")
}

#[test]
fn a_child_says_what_it_is_confined_by_and_works() {
    let (socket, process) = started(&[]);
    let solver = Solver { socket };
    let Some(Answer::Ready(ready)) = solver.receive() else { panic!("not ready") };
    assert_eq!(ready.version, VERSION);
    assert!(ready.solver.starts_with("libsolv 0.7."), "{}", ready.solver);
    for barrier in [Barrier::Memory, Barrier::Calls] {
        assert!(ready.barriers.contains(&barrier.word().to_owned()), "{:?}", ready.barriers);
    }
    if !ready.barriers.contains(&Barrier::Names.word().to_owned()) {
        println!("landlock: skipped, because this kernel does not have it");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("a status");
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "Threads:\t1"] {
        assert!(status.contains(line), "{line} in {status}");
    }
    let repos = [R::new(
        "base",
        vec![P::new("a-1-1").requires("/usr/share/b"), P::new("b-1-1").file("/usr/share/b")],
    )
    .lists()];
    solver.load(&repos);
    assert!(matches!(solver.ask(Asker::Build, &["a"]), Answer::Unlisted(_)));
    let path = kiln_wire::solver::Wanted::Path("/usr/share/b".to_owned());
    assert!(matches!(solver.search(&repos, vec![path]), Answer::Found(_)));
    assert_eq!(solver.packages(&["a"]).len(), 2);
    assert_eq!(solver.problems(&["zlib"]).len(), 1);
    assert!(end(solver, process).success());
}

#[test]
fn nothing_of_the_parent_is_left_open_in_a_child() {
    let (solver, process) = child(&[]);
    let listed = fs::read_dir(format!("/proc/{}/fd", process.id()));
    if listed.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied) {
        eprintln!("skipped, because only root may look into a process that nobody may trace");
        end(solver, process);
        return;
    }
    let mut open: Vec<String> = listed
        .expect("listed")
        .map(|entry| entry.expect("listed").path())
        .map(|path| fs::read_link(path).expect("a link").display().to_string())
        .map(|target| target.split(':').next().unwrap_or_default().to_owned())
        .collect();
    open.sort();
    assert_eq!(open, ["/dev/null", "/dev/null", "socket", "socket"]);
    let environment = fs::read(format!("/proc/{}/environ", process.id())).unwrap_or_default();
    assert!(environment.is_empty());
    end(solver, process);
}

#[test]
fn a_barrier_that_is_missing_is_noticed_and_the_child_reads_nothing() {
    for barrier in Barrier::ALL {
        let (socket, process) = started(&["--without", barrier.word()]);
        let solver = Solver { socket };
        match solver.receive() {
            Some(Answer::Failed(Failure::System(why))) => {
                assert!(why.contains(barrier.word()), "{why}");
            }
            other => panic!("{}: {other:?}", barrier.word()),
        }
        assert_eq!(end(solver, process).code(), Some(70));
    }
}

#[test]
fn metadata_are_not_taken_with_other_bytes_than_promised() {
    let (solver, process) = child(&[]);
    let xml = primary(&[P::new("a-1-1")]);
    let (from, to) = (file_of(&xml), tempfile::tempfile().expect("a file"));
    let digest = kiln_model::Digest::of(b"other");
    let ask = Request::Compile(Compile { digest, open_size: 1 << 20, prefix: String::new() });
    assert!(matches!(solver.call(&ask, &[&from, &to]), Answer::Failed(Failure::Digest(_))));
    end(solver, process);
}

#[test]
fn bad_metadata_a_broken_cache_and_nonsense_are_told_apart() {
    let (solver, process) = child(&[]);
    let text = "<metadata><package type='rpm'><name>a</name>";
    let ask = Compile {
        digest: kiln_model::Digest::of(text.as_bytes()),
        open_size: 1 << 20,
        prefix: String::new(),
    };
    let to = tempfile::tempfile().expect("a file");
    let answer = solver.call(&Request::Compile(ask.clone()), &[&file_of(text), &to]);
    assert!(matches!(answer, Answer::Failed(Failure::Metadata(_))), "{answer:?}");
    let repo = R::new("base", Vec::new()).repo;
    let load = Load { arch: "x86_64".to_owned(), repos: vec![repo], known: Vec::new() };
    let answer = solver.call(&Request::Load(load), &[&file_of("not a cache")]);
    assert!(matches!(answer, Answer::Failed(Failure::Stale(_))), "{answer:?}");
    let solve = Request::Solve(Solve { goals: Vec::new() });
    let answer = solver.call(&solve, &[]);
    assert!(matches!(answer, Answer::Failed(Failure::Protocol(_))), "{answer:?}");
    let answer = solver.call(&Request::Compile(ask), &[]);
    assert!(matches!(answer, Answer::Failed(Failure::Protocol(_))), "{answer:?}");
    assert!(end(solver, process).success());
}

#[test]
fn a_rich_dependency_that_explodes_is_too_complex_before_it_is_solved() {
    let (solver, process) = child(&[]);
    solver.load(&[R::new("base", vec![P::new("a-1-1")])]);
    let wide: Vec<String> = (0..40).map(|i| format!("(a{i} and b{i})")).collect();
    let answer = solver.ask(Asker::Build, &[&format!("({})", wide.join(" or "))]);
    assert!(matches!(answer, Answer::Failed(Failure::TooComplex(_))), "{answer:?}");
    // The child goes on.
    assert_eq!(solver.packages(&["a"]), ["a-1-1.x86_64"]);
    assert!(end(solver, process).success());
}

#[test]
fn a_question_that_takes_too_long_ends_the_child_and_nothing_else() {
    let (solver, process) = child(&["--cpu", "1"]);
    solver.load(&[R::new("base", pigeons(14))]);
    let asked: Vec<Asked> = (0..14)
        .map(|pigeon| Asked {
            requirement: format!("pigeon{pigeon}").parse().expect("a requirement"),
            by: Asker::Build,
        })
        .collect();
    let solve = Solve { goals: vec![Goal { asked, like: None, prefer: Vec::new() }] };
    assert_eq!(solver.try_call(&Request::Solve(solve), &[]), None);
    assert_eq!(end(solver, process).signal(), Some(SIGXCPU));
    let (solver, process) = child(&[]);
    solver.load(&[R::new("base", vec![P::new("a-1-1")])]);
    assert_eq!(solver.packages(&["a"]), ["a-1-1.x86_64"]);
    end(solver, process);
}

#[test]
fn a_question_that_takes_too_much_memory_ends_the_child() {
    let (solver, process) = child(&["--memory", "30000000"]);
    let packages: Vec<P> = (0..60_000)
        .map(|i| {
            P::new(&format!("package-with-a-long-name-{i}-1-1")).provides(&format!("thing({i})"))
        })
        .collect();
    let xml = primary(&packages);
    let ask = Compile {
        digest: kiln_model::Digest::of(xml.as_bytes()),
        open_size: xml.len() as u64,
        prefix: String::new(),
    };
    let to = tempfile::tempfile().expect("a file");
    assert_eq!(solver.try_call(&Request::Compile(ask), &[&file_of(&xml), &to]), None);
    assert_eq!(end(solver, process).signal(), Some(SIGABRT));
}
