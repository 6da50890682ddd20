//! What we write against the programs that read it: `rpm`, `dnf`, `createrepo_c`, `elfdeps`.

#![allow(clippy::print_stderr, reason = "a test that can't run here says so")]

use std::path::Path;
use std::process::{Command, Output};

use crate::kit::{Mirror, small_suite};

/// Runs a program; `None`, with a word about it, where it isn't here.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).env("LC_ALL", "C.UTF-8").output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped, because {program} can't be run: {error}");
            None
        }
    }
}

fn made() -> (Mirror, tempfile::TempDir) {
    let mirror = Mirror::new(small_suite());
    let work = tempfile::tempdir().expect("a folder");
    mirror.run("all", work.path()).expect("a distribution");
    (mirror, work)
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn rpm_finds_nothing_wrong_with_our_packages() {
    let (_mirror, work) = made();
    for entry in std::fs::read_dir(work.path().join("repo/Packages")).expect("listed") {
        let path = entry.expect("an entry").path().display().to_string();
        let Some(output) = run("rpm", &["-K", "--nosignature", &path]) else { return };
        assert!(
            output.status.success() && text(&output).contains("digests OK"),
            "{}",
            text(&output)
        );
        let Some(output) = run("rpm", &["-qp", "--scripts", "--provides", "-l", &path]) else {
            return;
        };
        assert!(output.status.success(), "{}", text(&output));
    }
}

#[test]
fn dnf_resolves_from_our_repository() {
    let (_mirror, work) = made();
    let root = tempfile::tempdir().expect("a folder");
    let at = |path: &Path| path.display().to_string();
    let repo = format!("--repofrompath=trial,file://{}", at(&work.path().join("repo")));
    let (root, cache) = (at(root.path()), at(&root.path().join("cache")));
    if run("dnf", &["--version"]).is_none() {
        return;
    }
    // dnf looks whether it is root, even where it is to do nothing.
    let Some(output) = run(
        "unshare",
        &[
            "--map-root-user",
            "dnf",
            "--assumeno",
            "--disablerepo=*",
            &repo,
            "--enablerepo=trial",
            "--releasever=13",
            "--setopt=reposdir=/dev/null",
            "--setopt=trial.gpgcheck=0",
            &format!("--setopt=cachedir={cache}"),
            &format!("--installroot={root}"),
            "install",
            "app",
            "kiln-rpm-config",
        ],
    ) else {
        return;
    };
    let said = text(&output);
    for package in ["app", "libz1", "gawk", "filesystem", "kiln-release"] {
        assert!(said.contains(package), "{package}: {said}");
    }
}

#[test]
fn createrepo_c_says_the_same_of_our_packages() {
    let (_mirror, work) = made();
    let other = tempfile::tempdir().expect("a folder");
    let packages = work.path().join("repo");
    let arguments = [
        "-q",
        "--no-database",
        "--compress-type=gz",
        "-o",
        &other.path().display().to_string(),
        &packages.display().to_string(),
    ];
    if run("createrepo_c", &arguments).is_none_or(|output| !output.status.success()) {
        eprintln!("skipped, because createrepo_c did not run");
        return;
    }
    let read = |folder: &Path| {
        rpmrepo_metadata::Repository::load_from_directory(folder).expect("a repository")
    };
    let (ours, theirs) = (read(&packages), read(other.path()));
    assert_eq!(ours.packages().len(), theirs.packages().len());
    for (id, ours) in ours.packages() {
        let theirs = &theirs.packages()[id];
        assert_eq!(ours.provides(), theirs.provides(), "{}", ours.name());
        assert_eq!(ours.requires(), theirs.requires(), "{}", ours.name());
        assert_eq!(ours.rpm_header_range(), theirs.rpm_header_range(), "{}", ours.name());
        assert_eq!(ours.size_installed(), theirs.size_installed(), "{}", ours.name());
        assert_eq!(ours.location_href(), theirs.location_href());
    }
}
