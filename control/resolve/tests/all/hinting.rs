//! From what a broken build's log says to what its packager should write.

#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::bench::kit::P;
use crate::bench::{Bench, Lists};
use kiln_model::Lock;
use kiln_parse::buildlog;
use kiln_parse::checksum::Checksum;
use kiln_parse::compression::Compression;
use kiln_parse::repomd::{Kind, Repomd};
use kiln_repo::{MetadataBlob, Snapshot};
use kiln_resolve::{Ask, FileLists, RepoUse, Style, Trust};

fn packages() -> Vec<P> {
    let package = |nevra: &str, files: &[&str]| {
        files.iter().fold(P::new(nevra), |package, path| package.file(path))
    };
    vec![
        P::new("bash-5.2-1").file("/usr/bin/bash"),
        P::new("gcc-14.1-1"),
        P::new("rpm-4.20-1"),
        package("zlib-devel-1.3-1", &["/usr/include/zlib.h", "/usr/lib64/libz.so"])
            .provides("pkgconfig(zlib) = 1.3"),
        package("nodejs-devel-20-1", &["/usr/include/node/zlib.h"]),
        package("mingw64-zlib-1.3-1", &["/usr/x86_64-w64-mingw32/include/zlib.h"]),
        package("flex-2.6-1", &["/usr/bin/flex"]),
        package("flex-devel-2.6-1", &["/usr/include/FlexLexer.h", "/usr/lib64/libfl.a"]),
        package("texinfo-7-1", &["/usr/bin/makeinfo"]),
        package("autoconf-archive-2023-1.noarch", &["/usr/share/aclocal/ax_check_gl.m4"]),
        package("gcc-c++-14.1-1", &["/usr/bin/g++", "/usr/libexec/gcc/x86_64/14/cc1plus"]),
        P::new("python3-setuptools-69-1.noarch").provides("python3dist(setuptools) = 69"),
        P::new("python3-pyyaml-6-1").provides("python3dist(pyyaml) = 6"),
        P::new("perl-Module-Build-0.42-1.noarch").provides("perl(Module::Build) = 0.42"),
        P::new("libpng-devel-1.6-1").provides("pkgconfig(libpng) = 1.6"),
        package("ecm-5-1.noarch", &["/usr/share/ECM/cmake/ECMConfig.cmake"]),
        P::new("libpcap-devel-1.10-1"),
    ]
}

async fn hints(bench: &Bench, log: &str, style: Style) -> Vec<String> {
    let packages = packages();
    let snapshot = bench.snapshot("base", &packages);
    let uses = [RepoUse { snapshot: &snapshot, trust: Trust::Upstream }];
    let ask = Ask {
        target: &bench.target,
        profile: "distribution",
        repos: &uses,
        requires: &[],
        macros: &BTreeMap::new(),
        asker: "hello-2.12",
    };
    let repos = [(snapshot.clone(), Trust::Upstream, &packages[..])];
    let lists = Lists { bench, repos: &repos };
    let lock = bench.resolver.resolve(&ask, &lists).await.expect("resolved").lock;
    let missing = buildlog::missing(log.as_bytes()).expect("read");
    let hints =
        bench.resolver.hints(&ask, &lists, &missing, &lock, style).await.expect("looked up");
    hints.iter().map(kiln_resolve::Hint::sentence).collect()
}

#[tokio::test]
async fn what_is_missing_is_found_and_written_as_the_spec_likes_it() {
    let bench = Bench::new();
    for (log, names, provides) in [
        ("a.c:1:10: fatal error: zlib.h: No such file or directory", "zlib-devel", "zlib-devel"),
        ("/usr/bin/ld: cannot find -lz: No such file or directory", "zlib-devel", "zlib-devel"),
        ("/usr/bin/ld: cannot find -lfl", "flex-devel", "flex-devel"),
        (
            "Package zlib was not found in the pkg-config search path.",
            "zlib-devel",
            "pkgconfig(zlib)",
        ),
        ("/bin/sh: line 1: flex: command not found", "flex", "flex"),
        ("WARNING: 'makeinfo' is missing on your system.", "texinfo", "texinfo"),
        ("gcc: fatal error: cannot execute 'cc1plus': execvp: No such file", "gcc-c++", "gcc-c++"),
        (
            "configure.ac:1: error: possibly undefined macro: AX_CHECK_GL",
            "autoconf-archive",
            "autoconf-archive",
        ),
        (
            "ModuleNotFoundError: No module named 'setuptools'",
            "python3-setuptools",
            "python3dist(setuptools)",
        ),
        ("ImportError: No module named yaml", "python3-pyyaml", "python3dist(pyyaml)"),
        (
            "Can't locate Module/Build.pm in @INC (you may",
            "perl(Module::Build)",
            "perl(Module::Build)",
        ),
        ("  Could NOT find PNG (missing: PNG_LIBRARY)", "libpng-devel", "libpng-devel"),
        ("  By not providing \"FindECM.cmake\" in CMAKE_MODULE_PATH this", "ecm", "ecm"),
        ("configure: error: libpcap not found", "libpcap-devel", "libpcap-devel"),
        (
            "\tpkgconfig(zlib) >= 1.2 is needed by hello-2.12-1.x86_64",
            "pkgconfig(zlib) >= 1.2",
            "pkgconfig(zlib) >= 1.2",
        ),
        ("\tzlib-devel is needed by hello-2.12-1.x86_64", "zlib-devel", "zlib-devel"),
    ] {
        for (style, written) in [(Style::Names, names), (Style::Provides, provides)] {
            let hints = hints(&bench, log, style).await;
            assert_eq!(hints, [format!("add 'BuildRequires: {written}'")], "{log}");
        }
    }
}

#[tokio::test]
async fn what_is_there_already_or_nowhere_is_no_hint() {
    let bench = Bench::new();
    for log in [
        "/bin/sh: line 1: bash: command not found",
        "a.c:1:10: fatal error: nowhere.h: No such file or directory",
        "/bin/sh: line 1: nonesuch: command not found",
        "all is well",
    ] {
        assert!(hints(&bench, log, Style::Names).await.is_empty(), "{log}");
    }
}

#[tokio::test]
async fn several_signs_of_one_package_are_one_hint() {
    let bench = Bench::new();
    let log = "a.c:1:10: fatal error: zlib.h: No such file or directory\n\
        /usr/bin/ld: cannot find -lz\n/bin/sh: line 1: flex: command not found\n";
    assert_eq!(
        hints(&bench, log, Style::Names).await,
        ["add 'BuildRequires: zlib-devel'", "add 'BuildRequires: flex'"]
    );
}

/// The file lists of a repository on the disk.
struct OnDisk(MetadataBlob);

impl FileLists for OnDisk {
    async fn fetch(
        &self,
        _snapshot: &Snapshot,
    ) -> Result<Option<MetadataBlob>, Box<dyn kiln_model::Faulty + Send + Sync>> {
        Ok(Some(self.0.clone()))
    }
}

/// `KILN_ORACLE_REPO` names the folder of a distribution's repository. Lines whose answer it
/// doesn't have are passed over.
#[tokio::test]
async fn hints_are_right_in_a_distribution() {
    let Some(folder) = std::env::var_os("KILN_ORACLE_REPO") else {
        println!("distribution: skipped, because KILN_ORACLE_REPO names no repository");
        return;
    };
    let folder = Path::new(&folder);
    let bench = Bench::new();
    let bytes = fs::read(folder.join("repodata/repomd.xml")).expect("a repomd.xml");
    let repomd = Repomd::parse(&bytes).expect("a repomd.xml");
    let blob = |kind| {
        let record = repomd.find(kind).expect("that kind");
        let digest = bench
            .cas
            .insert_bytes(&fs::read(folder.join(&record.location)).expect("read"))
            .expect("stored");
        MetadataBlob { digest, size: 0, compression: Compression::None, open_size: 1 << 32 }
    };
    let lists = OnDisk(blob(Kind::Filelists));
    let mut snapshot = bench.snapshot("trial", &[]);
    snapshot.primary = blob(Kind::Primary);
    let lists_ref = snapshot.filelists.as_mut().expect("made so");
    lists_ref.checksum = Checksum::Sha256(lists.0.digest);
    let uses = [RepoUse { snapshot: &snapshot, trust: Trust::Upstream }];
    let mut target = bench.target.clone();
    target.rpm.toolbox.clear();
    target.profile.values_mut().for_each(|profile| profile.packages.clear());
    let ask = Ask {
        target: &target,
        profile: "distribution",
        repos: &uses,
        requires: &[],
        macros: &BTreeMap::new(),
        asker: "hello-2.12",
    };
    let lock: Lock = bench.resolver.resolve(&ask, &lists).await.expect("resolved").lock;
    let (mut right, mut wrong) = (0, Vec::new());
    for line in include_str!("hints.txt").lines().filter(|line| !line.starts_with('#')) {
        let Some((expected, log)) = line.split_once(" | ") else { continue };
        let missing = buildlog::missing(log.as_bytes()).expect("read");
        let hints = bench
            .resolver
            .hints(&ask, &lists, &missing, &lock, Style::Names)
            .await
            .expect("looked up");
        let told: Vec<String> = hints.iter().map(|hint| hint.requirement.to_string()).collect();
        let any = expected.split(' ').any(|name| told.first().is_some_and(|told| told == name));
        match any {
            true => right += 1,
            false => wrong.push(format!("{log}: {told:?}, not {expected}")),
        }
    }
    println!("distribution: {right} hints right, {} not", wrong.len());
    wrong.iter().for_each(|line| println!("  {line}"));
    assert!(wrong.len() * 20 <= right, "more than one in twenty is wrong");
}
