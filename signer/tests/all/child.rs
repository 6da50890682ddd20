//! The child that keeps keys: what it signs, what it refuses, what holds it, and what is left of
//! it when it is killed.

#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::kit::{HEADER, LATER, REPOMD, STATEMENT, Signer, key, verifies};
use kiln_model::Digest;
use kiln_signer::Barrier;
use kiln_wire::frame::{self, DATA};
use kiln_wire::signer::{Answer, Backend, Failure, Kind, Request, Sign, VERSION};

const KINDS: [(Kind, &[u8]); 3] =
    [(Kind::Header, HEADER), (Kind::Repomd, REPOMD), (Kind::Statement, STATEMENT)];

fn folder() -> tempfile::TempDir {
    let mode = fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(mode).tempdir().expect("a temporary folder")
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("listed")
        .map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn each_kind_is_signed_and_two_keys_of_one_signer_do_not_mix() {
    let folder = folder();
    let signer = Signer::start(folder.path(), &[]);
    let (clay, glaze) = (signer.certificate("clay"), signer.certificate("glaze"));
    assert_ne!(clay, glaze);
    for (kind, bytes) in KINDS {
        let signature = signer.sign("clay", kind, bytes);
        assert!(verifies(&clay, kind, &signature, bytes), "{kind:?}");
        assert!(!verifies(&glaze, kind, &signature, bytes), "{kind:?} with the other key");
        let mut changed = bytes.to_vec();
        *changed.last_mut().expect("a byte") ^= 1;
        assert!(!verifies(&clay, kind, &signature, &changed), "{kind:?} over other bytes");
        assert_eq!(signer.sign("clay", kind, bytes), signature, "{kind:?} once more");
        let other = signer.sign("glaze", kind, bytes);
        assert!(verifies(&glaze, kind, &other, bytes), "{kind:?} with the second key");
    }
    assert_eq!(signer.end(), Some(0));
    // The next signer has the same keys.
    let signer = Signer::start(folder.path(), &[]);
    assert_eq!(signer.certificate("clay"), clay);
    let long = [HEADER, &vec![7; 3 << 20]].concat();
    let signature = signer.sign("glaze", Kind::Header, &long);
    assert!(verifies(&glaze, Kind::Header, &signature, &long));
    assert_eq!(signer.end(), Some(0));
}

#[test]
fn bytes_that_do_not_begin_as_their_kind_are_not_signed() {
    let folder = folder();
    let signer = Signer::start(folder.path(), &[]);
    signer.certificate("clay");
    for (kind, _) in KINDS {
        for (_, bytes) in KINDS.iter().filter(|(other, _)| *other != kind) {
            assert_eq!(signer.try_sign("clay", kind, bytes), Err(Failure::Form(kind)));
        }
        assert_eq!(signer.try_sign("clay", kind, b""), Err(Failure::Form(kind)));
        let cut = &kind.begins()[..kind.begins().len() - 1];
        assert_eq!(signer.try_sign("clay", kind, cut), Err(Failure::Form(kind)));
        let late = [b" ", kind.begins()].concat();
        assert_eq!(signer.try_sign("clay", kind, &late), Err(Failure::Form(kind)));
    }
    assert_eq!(fs::read(folder.path().join("signed.log")).expect("a log"), b"");
    assert_eq!(signer.end(), Some(0));
}

#[test]
fn a_key_that_is_not_there_signs_nothing_and_is_not_made() {
    let folder = folder();
    let signer = Signer::start(folder.path(), &[]);
    for (kind, bytes) in KINDS {
        assert_eq!(signer.try_sign("clay", kind, bytes), Err(Failure::NoKey(key("clay"))));
    }
    assert!(names(&folder.path().join("keys.v1")).is_empty());
    assert_eq!(signer.end(), Some(0));
}

#[test]
fn what_was_signed_is_noted() {
    let folder = folder();
    for _ in 0..2 {
        let signer = Signer::start(folder.path(), &[]);
        signer.certificate("clay");
        signer.sign("clay", Kind::Repomd, REPOMD);
        assert_eq!(signer.end(), Some(0));
    }
    let log = fs::read_to_string(folder.path().join("signed.log")).expect("a log");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    for line in lines {
        let (time, rest) = line.split_once(' ').expect("a time");
        assert!(time.parse::<u64>().expect("seconds") > 1_700_000_000);
        assert_eq!(rest, format!("clay repomd {}", Digest::of(REPOMD).hex()));
    }
}

#[test]
fn only_its_user_may_read_what_it_keeps() {
    let folder = folder();
    let home = folder.path().join("signer");
    let signer = Signer::start(&home, &[]);
    signer.certificate("clay");
    for (path, mode) in [
        ("", 0o700),
        ("keys.v1", 0o700),
        ("keys.v1/clay", 0o700),
        ("keys.v1/clay/openpgp.key", 0o600),
        ("keys.v1/clay/statement.key", 0o600),
        ("signed.log", 0o600),
    ] {
        let found = fs::metadata(home.join(path)).expect(path).permissions().mode();
        assert_eq!(found & 0o7777, mode, "{path}");
    }
    assert_eq!(signer.end(), Some(0));
    // One that others may read is none.
    for path in ["keys.v1/clay/statement.key", "keys.v1"] {
        let path = home.join(path);
        let before = fs::metadata(&path).expect("there").permissions();
        let mut open = before.clone();
        open.set_mode(before.mode() | 0o040);
        fs::set_permissions(&path, open).expect("opened");
        let signer = Signer::raw(&home, &[]);
        match signer.receive() {
            Some(Answer::Ready(_)) => {
                let refused = signer.try_sign("clay", Kind::Repomd, REPOMD);
                assert!(matches!(&refused, Err(Failure::Key(why)) if why.contains("others")));
                signer.end();
            }
            Some(Answer::Failed(Failure::System(why))) => {
                assert!(why.contains("others"), "{why}");
                assert_eq!(signer.end(), Some(70));
            }
            other => panic!("{other:?}"),
        }
        fs::set_permissions(&path, before).expect("closed");
    }
}

#[test]
fn two_signers_at_once_make_one_key() {
    let folder = folder();
    let signers: Vec<Signer> = (0..3).map(|_| Signer::start(folder.path(), &[])).collect();
    for signer in &signers {
        signer.send(&Request::Certificate(key("clay")));
    }
    let answers: Vec<_> = signers.iter().map(Signer::receive).collect();
    assert!(matches!(answers[0], Some(Answer::Certificate(_))));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(names(&folder.path().join("keys.v1")), ["clay", "lock"]);
}

#[test]
fn a_signer_killed_while_it_makes_a_key_leaves_none_or_a_whole_one() {
    let folder = folder();
    let keys = folder.path().join("keys.v1");
    for round in 0..20 {
        let mut signer = Signer::start(folder.path(), &[]);
        let name = format!("clay{round}");
        signer.send(&Request::Certificate(key(&name)));
        thread::sleep(Duration::from_millis(25 * round));
        signer.process.kill().expect("killed");
        signer.process.wait().expect("waited for");
        if keys.join(&name).exists() {
            assert_eq!(names(&keys.join(&name)), ["openpgp.key", "statement.key"], "{name}");
        }
    }
    // What a killed one could leave at worst, and what comes of it.
    let half = keys.join(".new-1");
    fs::create_dir(&half).expect("made");
    fs::write(half.join("openpgp.key"), b"ha").expect("written");
    let signer = Signer::start(folder.path(), &[]);
    for round in 0..20 {
        let name = format!("clay{round}");
        let certificate = signer.certificate(&name);
        let signature = signer.sign(&name, Kind::Repomd, REPOMD);
        assert!(verifies(&certificate, Kind::Repomd, &signature, REPOMD), "{name}");
    }
    assert!(names(&keys).iter().all(|name| !name.starts_with('.')), "{:?}", names(&keys));
    assert_eq!(signer.end(), Some(0));
}

#[test]
fn a_key_whose_file_is_broken_is_said_to_be_and_not_made_anew() {
    let folder = folder();
    let signer = Signer::start(folder.path(), &[]);
    signer.certificate("clay");
    assert_eq!(signer.end(), Some(0));
    let file = folder.path().join("keys.v1/clay/openpgp.key");
    let whole = fs::read(&file).expect("read");
    fs::write(&file, &whole[..whole.len() / 2]).expect("cut");
    let signer = Signer::start(folder.path(), &[]);
    signer.send(&Request::Certificate(key("clay")));
    assert!(matches!(signer.receive(), Some(Answer::Failed(Failure::Key(_)))));
    assert!(matches!(signer.try_sign("clay", Kind::Header, HEADER), Err(Failure::Key(_))));
    assert_eq!(fs::read(&file).expect("read").len(), whole.len() / 2);
    assert_eq!(signer.end(), Some(0));
}

#[test]
fn a_signer_says_what_it_is_confined_by_and_has_nothing_else_open() {
    let folder = folder();
    let mut signer = Signer::raw(folder.path(), &["--rsa", "2048"]);
    let ready = signer.ready();
    assert_eq!((ready.version, ready.backend), (VERSION, Backend::Folder));
    for barrier in [Barrier::Memory, Barrier::Calls] {
        assert!(ready.barriers.contains(&barrier.word().to_owned()), "{:?}", ready.barriers);
    }
    if !ready.barriers.contains(&Barrier::Names.word().to_owned()) {
        println!("landlock: skipped, because this kernel does not have it");
    }
    let about = format!("/proc/{}", signer.process.id());
    let status = fs::read_to_string(format!("{about}/status")).expect("a status");
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "Threads:\t1", "Umask:\t0077"] {
        assert!(status.contains(line), "{line} in {status}");
    }
    // Not dumpable: only root may look.
    let environment = fs::read(format!("{about}/environ")).unwrap_or_default();
    assert!(environment.is_empty());
    if let Ok(open) = fs::read_dir(format!("{about}/fd")) {
        let open: Vec<String> = open
            .map(|entry| fs::read_link(entry.expect("listed").path()).expect("a link"))
            .map(|target| target.display().to_string())
            .collect();
        let home = folder.path().canonicalize().expect("a path").display().to_string();
        let mut ours: Vec<&str> = open
            .iter()
            .map(|target| target.strip_prefix(&home).unwrap_or(target))
            .map(|target| target.split(':').next().unwrap_or_default())
            .collect();
        ours.sort_unstable();
        let expected =
            ["", "/dev/null", "/dev/null", "/keys.v1", "/signed.log", "socket", "socket"];
        assert_eq!(ours, expected);
    }
    assert_eq!(signer.end(), Some(0));
}

#[test]
fn a_signer_with_a_barrier_missing_signs_nothing() {
    for barrier in Barrier::ALL {
        let folder = folder();
        let signer = Signer::raw(folder.path(), &["--without", barrier.word()]);
        match signer.receive() {
            Some(Answer::Failed(Failure::System(why))) => {
                assert!(why.contains(barrier.word()), "{why}");
            }
            other => panic!("{}: {other:?}", barrier.word()),
        }
        assert_eq!(signer.end(), Some(70));
    }
}

#[test]
fn a_request_that_makes_no_sense_ends_the_signer_and_nothing_is_signed() {
    let folder = folder();
    let sign =
        |size| Request::Sign(Sign { key: key("clay"), kind: Kind::Repomd, time: LATER, size });
    // More than is taken.
    let signer = Signer::start(folder.path(), &[]);
    signer.send(&sign(Kind::Repomd.cap() + 1));
    assert!(matches!(signer.receive(), Some(Answer::Failed(Failure::Protocol(_)))));
    assert_eq!(signer.receive(), None);
    assert_eq!(signer.end(), Some(0));
    // A name that leads elsewhere, more bytes than announced, none at all, and no message.
    let messages: [&[(u8, &[u8])]; 4] = [
        &[(b'm', br#"{"certificate":"../clay"}"#)],
        &[(b'm', br#"{"sign":{"key":"clay","kind":"repomd","time":1,"size":5}}"#), (DATA, REPOMD)],
        &[(b'm', br#"{"sign":{"key":"clay","kind":"repomd","time":1,"size":5}}"#), (DATA, b"")],
        &[(DATA, REPOMD)],
    ];
    for frames in messages {
        let signer = Signer::start(folder.path(), &[]);
        signer.certificate("clay");
        for (kind, body) in frames {
            frame::write(&mut &signer.socket, *kind, body).expect("sent");
        }
        assert_eq!(signer.receive(), None, "{frames:?}");
        assert_eq!(signer.end(), Some(70));
    }
    let signer = Signer::start(folder.path(), &[]);
    (&signer.socket).write_all(&[b'm', 0xff, 0xff, 0xff, 0xff]).expect("sent");
    assert_eq!(signer.end(), Some(70));
    assert_eq!(fs::read(folder.path().join("signed.log")).expect("a log"), b"");
}
