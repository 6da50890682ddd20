//! Machines that lack something: disk, mirrors, streams, folders, an environment.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::thread;

use kiln_inputs::{Kiln, Ran, Reply, dead_mirror, file, mirror};
use kiln_kit::{Trial, only_for_root};

fn kiln() -> Option<Kiln> {
    Kiln::or_skip(env!("CARGO_BIN_EXE_kiln-inputs"))
}

/// Builds over a mirror.
fn from_mirror(kiln: &Kiln, address: &str) -> Ran {
    let profile = "bash coreutils kiln-rpm-config rpm-build";
    kiln.write_target(&kiln.path("mirror.toml"), address, profile);
    let mut command = kiln.command(&["build", "--local", "--target"]);
    command.arg(kiln.path("mirror.toml")).arg("--results").arg(&kiln.results);
    kiln.run(command.arg(kiln.package("fine", "true")))
}

#[test]
fn a_mirror_that_fails_is_named_and_no_build_is_blamed_for_it() {
    let Some(kiln) = kiln() else { return };
    let Some(trial) = Trial::or_skip() else { return };
    let repo = trial.folder.join("repo");
    let dead = dead_mirror();
    from_mirror(&kiln, &dead).failed(70, &[dead.trim_start_matches("http://")]).fault("host");
    for status in [403, 404, 500, 503] {
        let address = mirror(move |_| Reply::Status(status));
        from_mirror(&kiln, &address).failed(70, &[&status.to_string()]).fault("host");
    }
    // All that is asked for is there, and one part of it has other bytes than it should have.
    for part in ["primary", "rpm-build-4"] {
        let repo = repo.clone();
        let address = mirror(move |path| match file(&repo, path) {
            Reply::Bytes(mut bytes) if path.contains(part) => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                Reply::Bytes(bytes)
            }
            reply => reply,
        });
        let ran = from_mirror(&kiln, &address);
        ran.failed(70, &[part]);
    }
    let address = mirror(|path| match path.ends_with("repomd.xml") {
        true => Reply::Bytes(b"<repomd".to_vec()),
        false => Reply::Status(404),
    });
    from_mirror(&kiln, &address).failed(70, &["repomd.xml"]);
    // What has come so far is kept: a later try goes on there.
    kiln.assert_nobody_left("bad mirrors");
    let address = mirror(move |path| file(&repo, path));
    from_mirror(&kiln, &address).built();
    kiln.assert_nothing_left("a good mirror");
}

#[test]
#[ignore = "slow: a mirror is given half a minute to say something"]
fn a_mirror_that_stalls_is_given_up() {
    let Some(kiln) = kiln() else { return };
    let Some(trial) = Trial::or_skip() else { return };
    let repo = trial.folder.join("repo");
    from_mirror(&kiln, &mirror(|_| Reply::Silence)).failed(70, &["127.0.0.1"]);
    let address = mirror(move |path| match file(&repo, path) {
        Reply::Bytes(bytes) if path.contains("coreutils") => Reply::Half(bytes),
        reply => reply,
    });
    from_mirror(&kiln, &address).failed(70, &["coreutils"]);
    kiln.assert_nobody_left("mirrors that stall");
    kiln.assert_builds();
}

/// Builds with a full disk at a place; gives also what lies about in kiln's folder afterwards.
fn on_small_disk(kiln: &Kiln, at: &Path, size: &str) -> Option<(Ran, String)> {
    if !rustix::process::geteuid().is_root() {
        only_for_root("mount a small disk");
        return None;
    }
    let owner = fs::metadata(&kiln.folder).expect("read");
    let (user, group) = (owner.uid().to_string(), owner.gid().to_string());
    let script = format!(
        "mount -t tmpfs -o size={size},uid={user},gid={group},mode=755 tmpfs \"$AT\" && \
         setpriv --reuid {user} --regid {group} --clear-groups -- \"$@\"; code=$?; \
         cd \"$KILN_DIR\" && {{ find scratch.v1 -mindepth 2 -maxdepth 2; \
         find layers.v1 -mindepth 1 -maxdepth 1 -type d ! -name empty \
             ! -exec test -s '{{}}/boot' ';' -print; }} > {0}/left; \
         ls -A \"$RESULTS\" >> {0}/left; exit $code",
        kiln.path("").display()
    );
    let build = kiln.build_command(&kiln.package("fine", "true"), &[]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(build.get_program());
    command.args(build.get_args()).current_dir(kiln.path("")).env_clear();
    command.env("AT", at).env("RESULTS", &kiln.results);
    for (name, value) in build.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let ran = kiln.run(&mut command);
    kiln.assert_nobody_left("a full disk");
    let left = fs::read_to_string(kiln.path("left")).expect("read");
    Some((ran, left))
}

#[test]
fn a_full_disk_is_the_machines_fault_and_leaves_nothing_half_made() {
    let Some(kiln) = kiln() else { return };
    let folder = kiln.folder.clone();
    // Room for nothing; for a database; for metadata; for some packages; for some of a layer.
    for size in ["16k", "256k", "1m", "8m", "64m", "110m"] {
        let Some((ran, left)) = on_small_disk(&kiln, &folder, size) else { return };
        // The database says so, or what was being written.
        ran.failed(70, &["disk", "hint:"]);
        // The results of a build that failed, on a disk that has room, are whole.
        let left: Vec<&str> = left.lines().filter(|name| *name != "fine").collect();
        assert!(left.is_empty(), "{left:?} after a full disk of {size}: {ran}");
    }
    let results = kiln.results.clone();
    let Some((ran, left)) = on_small_disk(&kiln, &results, "4k") else { return };
    // Where results go is for the caller to say.
    ran.failed(2, &["o space left on device", "--results"]);
    assert!(!left.contains(".kiln-"), "{left}");
    kiln.assert_builds();
}

#[test]
fn streams_that_are_closed_change_nothing() {
    let Some(kiln) = kiln() else { return };
    let folder = kiln.package("fine", "echo a line");
    let arguments = format!(
        "{} build --local --target {} --results {} {}",
        kiln.program().display(),
        kiln.target.display(),
        kiln.results.display(),
        folder.display()
    );
    for streams in [
        "<&-",
        ">&-",
        "2>&-",
        "<&- >&- 2>&-",
        "| true",
        "2>&1 | true",
        "> /dev/full",
        "2> /dev/full",
    ] {
        let _ = fs::remove_dir_all(kiln.results.join("fine-1-1"));
        let mut command = kiln.other("/bin/sh");
        command.env("KILN_DIR", &kiln.folder).env("TMPDIR", &kiln.temp);
        // The pipe's end is not the end of kiln: wait for it.
        let ran = kiln.run(command.args(["-c", &format!("{arguments} -v {streams}")]));
        kiln.assert_nothing_left(streams);
        assert!(!ran.err.contains("panicked"), "{streams}: {ran}");
        let rpm = kiln.results.join("fine-1-1/fine-1-1.noarch.rpm");
        assert!(rpm.exists(), "{streams}: {ran}");
    }
}

#[test]
fn results_that_cannot_be_written_are_the_callers_fault() {
    let Some(kiln) = kiln() else { return };
    let folder = kiln.package("fine", "true");
    let into = |results: &Path| {
        let mut command = kiln.command(&["build", "--local", "--target"]);
        command.arg(&kiln.target).arg("--results").arg(results);
        let ran = kiln.run(command.arg(&folder));
        kiln.assert_nothing_left(&results.display().to_string());
        ran
    };
    // Root's, or closed: not the user's to write to.
    let closed = kiln.own_folder("closed");
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).expect("closed");
    into(&closed).failed(2, &["closed", "--results"]);
    into(&closed.join("deeper")).failed(2, &["deeper", "--results"]);
    fs::write(kiln.path("file"), "x").expect("written");
    into(&kiln.path("file")).failed(2, &["file", "--results"]);
    // Something else lies where the results are to be.
    let other = kiln.results.join("fine-1-1");
    fs::create_dir_all(&other).expect("made");
    fs::write(other.join("thesis.txt"), "years of work").expect("written");
    into(&kiln.results).failed(2, &["does not hold results"]);
    assert!(other.join("thesis.txt").exists());
    fs::remove_dir_all(&other).expect("removed");
    // Old results make way for new ones, and nothing of them stays.
    into(&kiln.results).built();
    fs::write(other.join("old.rpm"), "x").expect("written");
    into(&kiln.results).built();
    assert!(!other.join("old.rpm").exists());
    assert!(other.join("fine-1-1.noarch.rpm").exists());
}

#[test]
fn a_folder_of_kilns_own_that_cannot_be_used_is_named() {
    let Some(kiln) = kiln() else { return };
    let source = kiln.package("fine", "true");
    let closed = kiln.own_folder("closed");
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).expect("closed");
    fs::write(kiln.path("file"), "x").expect("written");
    for folder in
        [closed.join("kiln"), kiln.path("file"), kiln.path("file/kiln"), "/proc/kiln".into()]
    {
        let mut command = kiln.build_command(&source, &[]);
        let ran = kiln.run(command.env("KILN_DIR", &folder));
        assert!(matches!(ran.code, Some(2 | 70)), "{folder:?}: {ran}");
        ran.failed(ran.code.unwrap_or_default(), &[&folder.display().to_string()]);
        kiln.assert_nothing_left("a folder that cannot be used");
    }
    let mut command = kiln.build_command(&source, &[]);
    command.env_remove("KILN_DIR").env_remove("HOME");
    kiln.run(&mut command).failed(2, &["set HOME, or KILN_DIR"]);
    // Without a home, and with a folder that is named: nothing else is needed.
    let mut command = kiln.build_command(&source, &[]);
    kiln.run(command.env_remove("HOME").env_remove("TMPDIR").env_remove("PATH")).built();
    kiln.assert_nothing_left("no home");
}

#[test]
fn two_kilns_at_once_share_a_folder() {
    let Some(kiln) = kiln() else { return };
    let sources = [kiln.package("left", "sleep 1"), kiln.package("right", "sleep 1")];
    // Both find nothing there, and both want the same layers.
    thread::scope(|scope| {
        let builds = sources.each_ref().map(|source| {
            let mut command = kiln.build_command(source, &[]);
            scope.spawn(move || command.output().expect("started"))
        });
        for build in builds {
            let output = build.join().expect("joined");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    });
    kiln.assert_nothing_left("two kilns");
    for name in ["left", "right"] {
        assert!(kiln.results.join(format!("{name}-1-1/{name}-1-1.noarch.rpm")).exists());
    }
    kiln.assert_builds();
}
