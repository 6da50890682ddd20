//! Specs that are wrong, endless or greedy; targets and requirements that are not there.

use std::fs;

use kiln_inputs::Kiln;

fn kiln() -> Option<Kiln> {
    Kiln::or_skip(env!("CARGO_BIN_EXE_kiln-inputs"))
}

#[test]
fn a_spec_that_does_not_parse_is_the_packages_fault() {
    let Some(kiln) = kiln() else { return };
    for (name, rest) in [
        ("if", "%if 1\n%description\nx\n%files\n"),
        ("unknown", "Nonsense: yes\n%description\nx\n%files\n"),
        ("twice", "%description\nx\n%prep\n%prep\n%files\n"),
        ("error", "%{error:the packager gave up}\n%description\nx\n%files\n"),
        ("include", "%include /etc/shadow\n%description\nx\n%files\n"),
        ("binary", "\u{1}\u{2}\u{7f}\u{fffd}\n"),
    ] {
        let ran = kiln.build(&kiln.spec(name, rest), &[]);
        ran.failed(1, &["making the source package", "rpmbuild"]).fault("package");
    }
    let empty = kiln.spec("empty", "");
    fs::write(empty.join("empty.spec"), "").expect("written");
    kiln.build(&empty, &[]).failed(1, &["making the source package"]).fault("package");
    kiln.assert_builds();
}

#[test]
fn a_spec_without_end_is_ended() {
    let Some(kiln) = kiln() else { return };
    let end = "\n%description\nx\n%files\n";
    let doubling: String =
        (1..30).map(|n| format!("%define m{n} %{{m{}}}%{{m{}}}\n", n - 1, n - 1)).collect();
    for (name, macros, limit) in [
        ("loops", "%{lua: while true do end}".to_owned(), "wall=2"),
        ("shell", "%(sleep 1000)".to_owned(), "wall=2"),
        ("burns", "%{lua: while true do end}".to_owned(), "cpu=1"),
        (
            "hoards",
            "%{lua: local t = {} while true do t[#t + 1] = string.rep('x', 1000000) .. #t end}"
                .to_owned(),
            "memory=200M",
        ),
        (
            "doubles",
            format!("%define m0 xxxxxxxxxxxxxxxx\n{doubling}Summary: %{{m29}}"),
            "memory=200M",
        ),
        ("prints", "%{lua: while true do print('x') end}".to_owned(), "memory=200M"),
        ("tells", "%(while :; do echo a line that nobody reads >&2; done)".to_owned(), "log=1M"),
    ] {
        let folder = kiln.spec(name, &format!("{macros}{end}"));
        // Of a limit that is given twice, the later counts.
        let ran = kiln.build(&folder, &["--limit", "wall=30", "--limit", limit]);
        ran.failed(1, &[]).fault("package");
        assert!(ran.wall.as_secs() < 45, "{name} went on: {ran}");
    }
    let folder = kiln
        .spec("recursive", &format!("%define a %{{b}}\n%define b %{{a}}\nSummary: %{{a}}{end}"));
    kiln.build(&folder, &[]).failed(1, &["rpmbuild"]).fault("package");
    kiln.assert_builds();
}

#[test]
fn what_nothing_provides_is_named() {
    let Some(kiln) = kiln() else { return };
    let asks = |name: &str, what: &str| {
        kiln.spec(name, &format!("BuildRequires: {what}\n%description\nx\n%files\n"))
    };
    kiln.build(&asks("one", "no-such-thing-devel"), &[])
        .failed(1, &["no-such-thing-devel"])
        .fault("package");
    kiln.build(&asks("path", "/usr/bin/no-such-program"), &[])
        .failed(1, &["/usr/bin/no-such-program"])
        .fault("package");
    kiln.build(&asks("version", "bash >= 99"), &[]).failed(1, &["bash >= 99"]).fault("package");
    kiln.build(&asks("rich", "(no-such-a and no-such-b)"), &[])
        .failed(1, &["no-such-"])
        .fault("package");
    let asks_later = kiln.spec(
        "later",
        "%description\nx\n%generate_buildrequires\necho no-such-thing-later\n%files\n",
    );
    kiln.build(&asks_later, &[]).failed(1, &["no-such-thing-later"]).fault("package");
    kiln.assert_builds();
}

#[test]
fn targets_that_are_not_there_or_wrong_are_the_callers_fault() {
    let Some(kiln) = kiln() else { return };
    let folder = kiln.package("fine", "true");
    let with = |target: &str| {
        let mut command = kiln.command(&["build", "--local", "--target", target, "--results"]);
        let ran = kiln.run(command.arg(&kiln.results).arg(&folder));
        kiln.assert_nothing_left(target);
        ran
    };
    with("no-such-target-9").failed(2, &["no-such-target-9", "kiln target list"]);
    with("../../etc/passwd").failed(2, &["passwd"]);
    with("").failed(2, &[]);
    let good = fs::read_to_string(&kiln.target).expect("read");
    let file = kiln.path("wrong.toml");
    for (from, to, word) in [
        ("schema = 1", "schema = 99", "schema"),
        ("schema = 1", "schema = ", "wrong.toml"),
        ("arch = \"x86_64\"", "", "arch"),
        ("arch = \"x86_64\"", "arch = \"../..\"", "arch"),
        ("baseurl", "bareurl", "bareurl"),
        ("file://", "ftp://", "ftp"),
        ("[profile.distribution]", "[profile.other]", "distribution"),
        ("\"bash\"", "\"bash >= \"", "bash >="),
    ] {
        fs::write(&file, good.replace(from, to)).expect("written");
        with(&file.display().to_string()).failed(2, &[word]);
    }
    fs::write(&file, [0xff, 0xfe, 0]).expect("written");
    with(&file.display().to_string()).failed(2, &["wrong.toml"]);
    fs::write(
        &file,
        good.replace("[rpm]\ntoolbox = [\"rpm\"]", "[rpm]\ntoolbox = [\"no-such-rpm\"]"),
    )
    .expect("written");
    with(&file.display().to_string()).failed(2, &["no-such-rpm"]);
    fs::write(&file, good.replace("\"sed\"", "\"no-such-sed\"")).expect("written");
    with(&file.display().to_string()).failed(2, &["no-such-sed"]);
    kiln.assert_builds();
}

#[test]
fn what_cannot_be_typed_is_the_callers_fault() {
    let Some(kiln) = kiln() else { return };
    let folder = kiln.package("fine", "true");
    for options in [
        ["--limit", "memory=lots"],
        ["--define", "no-body"],
        ["--with", "a b"],
        ["--jobs", "-1"],
        ["--no-such-option", "x"],
    ] {
        let ran = kiln.build(&folder, &options);
        assert_eq!(ran.code, Some(2), "{options:?}: {ran}");
    }
    kiln.build(&folder, &["--profile", "no-such-profile"]).failed(2, &["no-such-profile", "hint:"]);
}
