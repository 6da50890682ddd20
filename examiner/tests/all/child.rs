//! What the child gives up, and what strangers' files can do to it.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;

use kiln_wire::examiner::{ANSWER_CAP, Answer, Failure, Request, Surroundings};
use kiln_wire::rights;

fn start(arguments: &[&str]) -> (UnixStream, Child) {
    let program = Path::new(env!("CARGO_BIN_EXE_kiln-examiner-child"));
    kiln_examiner::start(program, arguments).expect("started")
}

fn receive(socket: &UnixStream) -> Option<Answer> {
    rights::receive::<Answer>(socket, ANSWER_CAP).ok()?.map(|(answer, _)| answer)
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    file
}

pub(crate) fn package(content: &[u8]) -> Vec<u8> {
    let mut builder = rpm::PackageBuilder::new("clay", "1.0", "MIT", "noarch", "Clay");
    let config = rpm::BuildConfig::v4().source_date(1_700_000_000_u32);
    builder.using_config(config.compression(rpm::CompressionType::Zstd)).build_host("build");
    let options = rpm::FileOptions::new("/usr/share/clay/text").mode(0o100_644);
    builder.with_file_contents(content, options).expect("a file");
    let mut bytes = Vec::new();
    builder.build().expect("built").write(&mut bytes).expect("written");
    bytes
}

fn ask(socket: &UnixStream, old: &[u8], new: &[u8]) -> Option<Answer> {
    let (old, new) = (file(old), file(new));
    let request = Request::Packages(Surroundings::default());
    rights::send(socket, &request, &[old.as_fd(), new.as_fd()]).ok()?;
    receive(socket)
}

#[test]
fn an_examiner_gives_everything_up_and_works() {
    let (socket, _child) = start(&[]);
    let Some(Answer::Ready(ready)) = receive(&socket) else { panic!("it is ready") };
    assert!(ready.barriers.contains(&"calls".to_owned()), "{ready:?}");
    for _ in 0..2 {
        let answer = ask(&socket, &package(b"one line\n"), &package(b"two lines\n"));
        let Some(Answer::Packages(found)) = answer else { panic!("{answer:?}") };
        assert!(found.files[0].content[0].diff.contains("+two lines"), "{found:#?}");
    }
    let (old, new) = (file(b"a\nb\n"), file(b"a\nc\n"));
    rights::send(&socket, &Request::Logs, &[old.as_fd(), new.as_fd()]).expect("sent");
    let Some(Answer::Logs(logs)) = receive(&socket) else { panic!("logs") };
    assert!(logs.diff.ends_with("-b\n+c"), "{}", logs.diff);
}

#[test]
fn an_examiner_that_is_not_confined_says_so_and_ends() {
    for barrier in ["calls", "memory"] {
        let (socket, mut child) = start(&["--without", barrier]);
        let answer = receive(&socket);
        assert!(
            matches!(answer, Some(Answer::Failed(Failure::System(_)))),
            "{barrier}: {answer:?}"
        );
        assert_eq!(child.wait().expect("ended").code(), Some(70));
    }
}

#[test]
fn a_payload_that_unpacks_without_end_ends_the_child_and_nothing_else() {
    let honest = package(b"one line\n");
    let bomb = bomb(&honest);
    let (socket, mut child) = start(&["--cpu", "1"]);
    assert!(matches!(receive(&socket), Some(Answer::Ready(_))));
    let answer = ask(&socket, &honest, &bomb);
    assert_eq!(answer, None, "it ends within its time");
    let status = child.wait().expect("ended");
    assert_eq!(status.signal(), Some(24), "by SIGXCPU: {status:?}");
}

/// A package with the head of another, and four gigabytes of zeros behind it.
pub(crate) fn bomb(honest: &[u8]) -> Vec<u8> {
    let head = {
        let mut from = honest;
        kiln_parse::rpmhead::Head::read(&mut from, kiln_parse::rpmfile::HeadCap::BINARY)
            .expect("a head")
            .main_range()
            .end as usize
    };
    let mut bomb = honest[..head].to_vec();
    let mut to = zstd::Encoder::new(&mut bomb, 1).expect("an encoder");
    let mut entry = format!("070701{:08x}{:08x}", 1, 0o100_644);
    entry.push_str(&format!("{:08x}{:08x}{:08x}{:08x}{:08x}", 0, 0, 1, 0, 0xffff_fff0_u32));
    entry.push_str(&format!("{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}", 0, 0, 0, 0, 8, 0));
    to.write_all(format!("{entry}./bomb\0\0").as_bytes()).expect("written");
    let zeros = vec![0_u8; 1 << 20];
    for _ in 0..4096 {
        to.write_all(&zeros).expect("written");
    }
    to.finish().expect("written");
    bomb
}

#[test]
fn memory_is_bounded() {
    // A text of so many lines that a list of them does not fit.
    let lines = |end: &str| package(format!("{}{end}", "\n".repeat(12 << 20)).as_bytes());
    let (socket, mut child) = start(&["--memory", "83886080"]);
    assert!(matches!(receive(&socket), Some(Answer::Ready(_))));
    assert_eq!(ask(&socket, &lines("a"), &lines("b")), None);
    assert!(!child.wait().expect("ended").success());
}
