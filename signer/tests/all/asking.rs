//! The child that asks a program of the operator's: what the program is given, and what comes of
//! programs that fail, babble or hang.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::kit::{HEADER, LATER, REPOMD, STATEMENT, Signer, key};
use kiln_wire::signer::{Answer, Backend, Failure, Kind, Request, SIGNATURE_CAP};

/// A program of the operator's.
fn program(folder: &Path, body: &str) -> String {
    let path = folder.join("program");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("runs");
    path.to_str().expect("a path").to_owned()
}

fn asking(folder: &Path, body: &str) -> Signer {
    let program = program(folder, body);
    let mut signer = Signer::asking(&folder.join("log"), &[&program, "--slot", "a b;$HOME"]);
    let ready = signer.ready();
    assert_eq!(ready.backend, Backend::Program);
    signer
}

#[test]
fn the_program_is_given_words_and_bytes_and_no_shell_reads_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let body = format!(
        r#"cd {}; printf '%s\n' "$@" >words; env >environment; cat >input
        case $3 in
            certificate) printf 'armour' ;;
            statement-key) printf '%032d' 0 ;;
            *) case $5 in
                header) printf '\210signature' ;;
                repomd) printf -- '-----BEGIN PGP SIGNATURE-----' ;;
                statement) printf '%064d' 0 ;;
            esac ;;
        esac"#,
        folder.path().display()
    );
    let signer = asking(folder.path(), &body);
    let said = |name: &str| fs::read_to_string(folder.path().join(name)).expect("written");
    let certificate = signer.certificate("clay");
    assert_eq!((certificate.openpgp.as_str(), certificate.statement.len()), ("armour", 32));
    assert_eq!(said("words"), "--slot\na b;$HOME\nstatement-key\nclay\n");
    for (kind, bytes) in
        [(Kind::Header, HEADER), (Kind::Repomd, REPOMD), (Kind::Statement, STATEMENT)]
    {
        assert!(!signer.sign("clay", kind, bytes).is_empty());
        let words = format!("--slot\na b;$HOME\nsign\nclay\n{}\n{LATER}\n", kind.word());
        assert_eq!(said("words"), words);
        assert_eq!(fs::read(folder.path().join("input")).expect("written"), bytes);
        assert_eq!(
            signer.try_sign("clay", kind, b"something else"),
            Err(Failure::Form(kind)),
            "it is looked at before the program is asked"
        );
    }
    let environment = said("environment");
    let odd = environment.lines().find(|line| {
        !["PATH=", "PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|ours| line.starts_with(ours))
    });
    assert_eq!(odd, None);
    let log = fs::read_to_string(folder.path().join("log/signed.log")).expect("a log");
    assert_eq!(log.lines().count(), 3);
    assert_eq!(signer.end(), Some(0));
}

#[test]
fn a_program_that_fails_or_prints_something_else_has_not_signed() {
    let bodies = [
        ("echo 'the slot is locked' >&2; exit 3", "the slot is locked"),
        ("printf nonsense", "no header signature"),
        ("true", "no header signature"),
        ("yes | head -c 100000", &format!("more than {SIGNATURE_CAP} bytes")[..]),
        ("kill -9 $$", "signal: 9"),
    ];
    for (body, why) in bodies {
        let folder = tempfile::tempdir().expect("a folder");
        let signer = asking(folder.path(), body);
        match signer.try_sign("clay", Kind::Header, HEADER) {
            Err(Failure::Program(said)) => assert!(said.contains(why), "{body}: {said}"),
            other => panic!("{body}: {other:?}"),
        }
        signer.send(&Request::Certificate(key("clay")));
        assert!(matches!(signer.receive(), Some(Answer::Failed(Failure::Program(_)))), "{body}");
        assert_eq!(fs::read(folder.path().join("log/signed.log")).expect("a log"), b"");
        assert_eq!(signer.end(), Some(0));
    }
}

#[test]
fn a_program_leaves_no_process_that_keeps_the_answer_waiting() {
    let folder = tempfile::tempdir().expect("a folder");
    let signer = asking(folder.path(), "sleep 1000 & printf '\\210signature'");
    let begun = std::time::Instant::now();
    assert_eq!(signer.sign("clay", Kind::Header, HEADER), b"\x88signature");
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    assert_eq!(signer.end(), Some(0));
}

#[test]
fn a_signer_without_a_program_does_not_begin() {
    let folder = tempfile::tempdir().expect("a folder");
    let signer = Signer::asking(folder.path(), &[]);
    assert!(matches!(signer.receive(), Some(Answer::Failed(Failure::Program(_)))));
    assert_eq!(signer.end(), Some(70));
}
