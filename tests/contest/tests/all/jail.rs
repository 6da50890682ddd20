//! What a guest finds in a jail, and what is left when it is gone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kiln_contest::{Arena, Asked};
use kiln_jail::{Run, User};
use kiln_kit::Ground;

fn arena() -> Option<Arena> {
    let program = Path::new(env!("CARGO_BIN_EXE_kiln-contest"));
    Ground::or_skip().map(|ground| Arena::new(ground, program).expect("an arena"))
}

#[test]
fn a_guest_finds_what_the_golden_list_says_and_nothing_else() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let told = arena.run(arena.probe(User::Build, "facts", ""))?;
    let expected = "\
Uid: 60578 60578 60578 60578
Gid: 60578 60578 60578 60578
Groups: 60578
CapInh: 0000000000000000
CapPrm: 0000000000000000
CapEff: 0000000000000000
CapBnd: 0000000000000000
CapAmb: 0000000000000000
NoNewPrivs: 1
Seccomp: 2
fds 0 1 2 3
dev fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero
processes 
env PATH
host build
core 0
interfaces lo
reached 
";
    // Descriptor 3 is the listing of the folder itself.
    assert_eq!(told.heard.log, expected, "{told:?}");
    Ok(())
}

#[test]
fn root_of_a_jail_has_the_granted_capabilities_and_no_more() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let told = arena.run(arena.probe(User::Root, "facts", ""))?;
    // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, KILL 5, SETGID 6, SETUID 7, SETPCAP 8,
    // SYS_CHROOT 18, SETFCAP 31.
    let bits: u64 = [0, 1, 3, 4, 5, 6, 7, 8, 18, 31].iter().map(|bit| 1 << bit).sum();
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert!(told.heard.log.contains(&format!("{set}: {bits:016x}\n")), "{told:?}");
    }
    Ok(())
}

#[test]
fn a_program_that_is_not_there_is_the_guests_trouble() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let told = arena.run(arena.plan(User::Build, &["/usr/bin/no-such-program"]))?;
    assert_eq!(told.error, None);
    assert!(told.heard.log.contains("starting /usr/bin/no-such-program"), "{told:?}");
    Ok(())
}

#[test]
fn the_first_step_that_fails_is_the_last() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let mut plan = arena.plan(User::Build, &["/usr/bin/false"]);
    plan.steps.push(arena.probe(User::Build, "facts", "").steps.remove(1));
    let told = arena.run(plan)?;
    assert_eq!(told.heard.steps.len(), 2, "{told:?}");
    assert_eq!(told.heard.log, "");
    Ok(())
}

#[test]
fn slots_have_build_users_of_their_own_on_the_host() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let mut owners = Vec::new();
    for slot in 0..3 {
        let mut plan = arena.plan(User::Build, &["/bin/sh", "-c", "echo x > /builddir/file"]);
        plan.keep.push("root".to_owned());
        let folder = plan.folder.clone();
        arena.run_as(Asked { plan, slot, controllers: false, machine: None })?;
        owners.push(fs::metadata(folder.join("root/fs/builddir/file"))?.uid());
    }
    assert!(owners[0] != owners[1] && owners[1] != owners[2], "{owners:?}");
    assert!(owners.iter().all(|uid| *uid >= 100_000), "{owners:?}");
    Ok(())
}

#[test]
fn nothing_is_left_whatever_a_package_did_to_its_folders() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let plan = arena.probe(User::Build, "mess", "");
    let folder = plan.folder.clone();
    let told = arena.run(plan)?;
    assert_eq!(told.last_line()?.trim(), "reached", "{told:?}");
    assert_eq!(fs::read_dir(&folder)?.count(), 0);
    assert!(Path::new("/usr/bin/env").exists());
    Ok(())
}

#[test]
fn a_killed_launcher_leaves_no_process_and_no_file() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let mut plan = arena.plan(User::Build, &["/usr/bin/sleep", "4242"]);
    plan.steps[1].run =
        Run::Program { argv: ["/usr/bin/sleep", "4242"].map(str::to_owned).to_vec() };
    let folder = plan.folder.clone();
    let mut child =
        arena.start(Asked { plan, slot: 0, controllers: false, machine: None }, Stdio::null())?;
    let begin = Instant::now();
    while sleepers()?.is_empty() && begin.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!sleepers()?.is_empty(), "the guest never started");
    child.kill().context("killing the launcher")?;
    child.wait()?;
    let gone = || Ok::<_, anyhow::Error>(sleepers()?.is_empty() && is_empty(&folder));
    while !gone()? && begin.elapsed() < Duration::from_secs(40) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(sleepers()?, Vec::<String>::new());
    assert!(is_empty(&folder), "{:?}", fs::read_dir(&folder)?.flatten().collect::<Vec<_>>());
    Ok(())
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// The processes of this host that were started with this test's own number.
fn sleepers() -> Result<Vec<String>> {
    let found = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|line| line.starts_with("/usr/bin/sleep\u{0}4242"))
        .collect();
    Ok(found)
}

#[test]
fn a_terminal_in_a_jail_is_not_the_launchers() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let mut plan = arena.plan(User::Build, &["/bin/sh", "-c", "tty; test -t 0"]);
    plan.steps[1].run =
        Run::Terminal { argv: ["/bin/sh", "-c", "tty; test -t 0"].map(str::to_owned).to_vec() };
    let told = arena.run(plan)?;
    assert_eq!(told.error, None, "{told:?}");
    assert!(told.heard.log.contains("/dev/pts/0"), "{told:?}");
    Ok(())
}
