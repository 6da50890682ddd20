//! Chains, locks that are handed in, buildroots that are kept: as they are typed.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use kiln_inputs::Kiln;

fn kiln() -> Option<Kiln> {
    Kiln::or_skip(env!("CARGO_BIN_EXE_kiln-inputs"))
}

/// A package that another one can ask for.
fn library(kiln: &Kiln, says: &str) -> std::path::PathBuf {
    kiln.spec(
        "library",
        &format!(
            "%description\nA test.\n%install\nmkdir -p %{{buildroot}}/usr/share\n\
             echo {says} > %{{buildroot}}/usr/share/library\n%files\n/usr/share/library\n"
        ),
    )
}

fn user_of_it(kiln: &Kiln) -> std::path::PathBuf {
    kiln.spec(
        "user",
        "BuildRequires: library\n%description\nA test.\n%install\nmkdir -p %{buildroot}/usr/share\n\
         cat /usr/share/library > %{buildroot}/usr/share/user\n%files\n/usr/share/user\n",
    )
}

fn lock_of(folder: &Path) -> serde_json::Value {
    let bytes = fs::read(folder.join("kiln.lock")).expect("a lock");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn each_of_a_chain_sees_those_before_it_and_nobody_else_does() {
    let Some(kiln) = kiln() else { return };
    let (library, user) = (library(&kiln, "first"), user_of_it(&kiln));
    kiln.build(&user, &[]).failed(1, &["nothing provides 'library'"]).fault("package");

    let mut command = kiln.build_command(&library, &["--chain"]);
    kiln.run(command.arg(&user)).built();
    let lock = lock_of(&kiln.results.join("user-1-1"));
    let packages = lock["packages"].as_array().expect("a list");
    let ours: Vec<_> = packages.iter().filter(|one| one["repo"] == "kiln-chain").collect();
    assert_eq!(ours.len(), 1, "{ours:?}");

    kiln.build(&user, &[]).failed(1, &["nothing provides 'library'"]);
    kiln.assert_builds();
}

#[test]
fn the_first_of_a_chain_that_fails_ends_it() {
    let Some(kiln) = kiln() else { return };
    let broken = kiln.package("broken", "exit 1");
    let user = user_of_it(&kiln);
    let mut command = kiln.build_command(&broken, &["--chain"]);
    let ran = kiln.run(command.arg(&user));
    ran.failed(1, &["user was not tried"]);
    assert!(!kiln.results.join("user").exists(), "{ran}");
}

#[test]
fn a_build_on_a_lock_has_that_buildroot_and_the_same_bytes() {
    let Some(kiln) = kiln() else { return };
    let package = kiln.package("locked", "echo fine");
    kiln.build(&package, &[]).built();
    let first = kiln.results.join("locked-1-1");
    let kept = kiln.own_folder("kept");
    for name in ["kiln.lock", "locked-1-1.noarch.rpm"] {
        fs::copy(first.join(name), kept.join(name)).expect("copied");
    }
    let lock = kept.join("kiln.lock");
    kiln.build(&package, &["--lock", lock.to_str().expect("text")]).built();
    for name in ["kiln.lock", "locked-1-1.noarch.rpm"] {
        let same = fs::read(first.join(name)).ok() == fs::read(kept.join(name)).ok();
        assert!(same, "another {name}");
    }
    // What the lock lacks, rpmbuild names.
    let more = kiln.spec("locked", "BuildRequires: flex\n%description\nA test.\n%files\n");
    let ran = kiln.build(&more, &["--lock", lock.to_str().expect("text")]);
    ran.failed(1, &["flex is needed by locked"]).fault("package");
}

#[test]
fn mocks_lock_is_written_and_pins_the_packages_that_it_names() {
    let Some(kiln) = kiln() else { return };
    let package = kiln.package("pinned", "echo fine");
    let lock = kiln.own_folder("kept").join("buildroot_lock.json");
    let mut command = kiln.command(&["lock", "--local", "--mock", "--output"]);
    command.arg(&lock).arg("--target").arg(&kiln.target).arg(&package);
    kiln.run(&mut command).built();
    let text = fs::read_to_string(&lock).expect("written");
    assert!(text.contains("\"version\": \"1.1.0\""), "{text}");

    kiln.build(&package, &["--lock", lock.to_str().expect("text")]).built();
    let ours = lock_of(&kiln.results.join("pinned-1-1"));
    let pinned = ours["requires"].as_array().expect("a list").len();
    assert_eq!(pinned, ours["packages"].as_array().expect("a list").len());

    // A version that the target does not have is not replaced by another.
    let other = text.replacen("\"version\": \"5", "\"version\": \"4", 1);
    fs::write(&lock, other).expect("written");
    kiln.build(&package, &["--lock", lock.to_str().expect("text")])
        .failed(1, &["nothing provides"]);
}

#[test]
fn what_is_no_lock_is_refused_with_its_name() {
    let Some(kiln) = kiln() else { return };
    let package = kiln.package("good", "echo fine");
    let wrong = kiln.own_folder("kept").join("wrong.lock");
    for text in
        ["", "{}", "[1, 2", "{\"version\": 99}", "{\"buildroot\": {}, \"version\": \"1.1.0\"}"]
    {
        fs::write(&wrong, text).expect("written");
        let ran = kiln.build(&package, &["--lock", wrong.to_str().expect("text")]);
        ran.failed(2, &["wrong.lock' is not a lock that can be used", "because:", "hint:"]);
    }
    let missing = kiln.path("nowhere.lock");
    kiln.build(&package, &["--lock", missing.to_str().expect("text")])
        .failed(2, &["nowhere.lock' is not a lock", "No such file"]);
}

#[test]
fn a_kept_buildroot_can_be_entered_and_is_as_it_was_left() {
    let Some(kiln) = kiln() else { return };
    let package = kiln.package("broken", "echo was-here > trace; exit 1");
    let ran = kiln.run(&mut kiln.build_command(&package, &["--keep-root"]));
    ran.failed(1, &["its buildroot is kept: kiln shell --local --kept "]);
    let job = ran.result.as_ref().expect("a result")["kept"].as_i64().expect("a number");

    let type_in = |line: &str| {
        let mut command = kiln.command(&["shell", "--local", "--kept", &job.to_string()]);
        let mut shell = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut typing = shell.stdin.take().expect("a pipe");
        typing.write_all(line.as_bytes()).expect("typed");
        drop(typing);
        let output = shell.wait_with_output().expect("ended");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = type_in("cat BUILD/*/trace; echo more > BUILD/note; exit\n");
    assert!(told.contains("was-here"), "{told}");
    let told = type_in("cat BUILD/note; exit\n");
    assert!(told.contains("more"), "{told}");

    let mut command = kiln.command(&["shell", "--local", "--kept", "987654"]);
    kiln.run(&mut command).failed(2, &["no buildroot is kept for job 987654"]);

    kiln.run(&mut kiln.command(&["cache", "gc", "--unused", "0"])).built();
    let mut command = kiln.command(&["shell", "--local", "--kept", &job.to_string()]);
    kiln.run(&mut command).failed(2, &["no buildroot is kept"]);
    kiln.assert_builds();
}

#[test]
fn what_cannot_be_read_or_written_is_said_before_anything_is_built() {
    let Some(kiln) = kiln() else { return };
    let mut contest = kiln.command(&["contest", "--page", "/proc/table.html", "--target"]);
    let refused = kiln.run(contest.arg(&kiln.target));
    refused.failed(2, &["/proc/table.html cannot be written", "--page"]);
    assert!(refused.wall.as_secs() < 10, "{refused}");
    let missing = kiln.path("missing.kiln.tar");
    let mut verify = kiln.command(&["verify"]);
    kiln.run(verify.arg(&missing)).failed(2, &["missing.kiln.tar"]);
    kiln.assert_nothing_left("what was refused");
}
