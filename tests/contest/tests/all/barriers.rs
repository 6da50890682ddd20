//! Each thing that holds a guest back, tried; and tried again on a jail without it, which must
//! let the guest through: a test that cannot fail shows nothing.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kiln_contest::Arena;
use kiln_jail::{Barrier, Collect, Run, Step, User};
use kiln_kit::Ground;

fn arena() -> Option<Arena> {
    let program = Path::new(env!("CARGO_BIN_EXE_kiln-contest"));
    Ground::or_skip().map(|ground| Arena::new(ground, program).expect("an arena"))
}

/// A probe that a whole jail holds and that gets through where `without` is missing.
fn holds(user: User, probe: &str, argument: &str, without: &[Barrier]) -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    holds_in(&arena, user, probe, argument, without)
}

fn holds_in(
    arena: &Arena,
    user: User,
    probe: &str,
    argument: &str,
    without: &[Barrier],
) -> Result<()> {
    let whole = arena.run(arena.probe(user, probe, argument))?;
    ensure!(whole.last_line()?.starts_with("held"), "a whole jail let it through: {whole:?}");
    let mut plan = arena.probe(user, probe, argument);
    plan.without.extend(without);
    let weakened = arena.run(plan)?;
    ensure!(
        weakened.last_line()?.starts_with("reached"),
        "a jail without {without:?} held it all the same: {weakened:?}"
    );
    Ok(())
}

#[test]
fn new_user_namespaces_are_refused() -> Result<()> {
    holds(User::Build, "new-user-namespace", "", &[Barrier::Seccomp])
}

#[test]
fn sockets_past_the_network_namespace_are_refused() -> Result<()> {
    holds(User::Build, "vsock", "", &[Barrier::SocketFamilies])?;
    holds(User::Root, "netlink-netfilter", "", &[Barrier::SocketFamilies])
}

#[test]
fn root_of_a_jail_has_no_raw_sockets() -> Result<()> {
    holds(User::Root, "raw-socket", "", &[Barrier::Capabilities])
}

#[test]
fn settings_of_the_kernel_are_read_only() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let run = |without: &[Barrier]| -> Result<String> {
        let mut plan = arena.probe(User::Root, "sysctl", "");
        plan.without.extend(without);
        Ok(arena.run(plan)?.last_line()?.to_owned())
    };
    assert!(run(&[])?.starts_with("held"));
    let masked = run(&[Barrier::Capabilities])?;
    assert!(masked.contains("Read-only file system"), "{masked}");
    let open = run(&[Barrier::Capabilities, Barrier::ProcMasks])?;
    assert!(open.starts_with("reached"), "{open}");
    Ok(())
}

#[test]
fn what_tells_of_the_kernel_is_hidden() -> Result<()> {
    holds(User::Root, "read", "/proc/kallsyms", &[Barrier::ProcMasks])
}

#[test]
fn a_listener_on_the_hosts_loopback_is_out_of_reach() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    holds(User::Build, "connect", &address, &[Barrier::Network])
}

#[test]
fn shared_memory_of_the_host_is_not_seen() -> Result<()> {
    let made = Command::new("ipcmk").args(["--shmem", "4096", "--mode", "0666"]).output();
    let Ok(made) = made else { return Ok(()) };
    let text = String::from_utf8_lossy(&made.stdout).into_owned();
    let id = text.rsplit(' ').next().context("ipcmk tells an id")?.trim().to_owned();
    let listed = std::fs::read_to_string("/proc/sysvipc/shm")?;
    let line = listed.lines().find(|line| line.split_whitespace().nth(1) == Some(&id));
    let key = line.and_then(|line| line.split_whitespace().next()).context("it is listed")?;
    let result = holds(User::Build, "shared-memory", key, &[Barrier::Ipc]);
    Command::new("ipcrm").args(["--shmem-id", &id]).status()?;
    result
}

#[test]
fn the_build_user_is_not_root_of_the_jail() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    for (without, expected) in [(vec![], "held"), (vec![Barrier::BuildUser], "reached")] {
        let mut plan = arena.probe(User::Build, "roots-file", "");
        let secret = "umask 077; echo canary > /root-only";
        let write = Step {
            run: Run::Program { argv: ["/bin/sh", "-c", secret].map(str::to_owned).to_vec() },
            user: User::Root,
            ..plan.steps[1].clone()
        };
        plan.steps.insert(1, write);
        plan.without = without;
        let told = arena.run(plan)?;
        assert!(told.last_line()?.starts_with(expected), "{told:?}");
    }
    Ok(())
}

#[test]
fn what_a_step_leaves_running_does_not_see_the_next_one() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    for (without, expected) in [(vec![], "reached"), (vec![Barrier::KillAtEnd], "reached sleep")] {
        let mut plan = arena.probe(User::Build, "daemon", "");
        plan.steps.extend(arena.probe(User::Build, "processes", "").steps.into_iter().skip(1));
        plan.without = without;
        let told = arena.run(plan)?;
        assert_eq!(told.last_line()?.trim(), expected, "{told:?}");
    }
    Ok(())
}

#[test]
fn a_folder_of_the_host_that_was_left_open_leads_nowhere() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    std::fs::write(arena.ground.path().join("canary"), "of the host")?;
    // From the jail's own folder in the state folder up to the ground.
    let beyond = "../../canary";
    let run = |without: &[Barrier]| -> Result<String> {
        let mut plan = arena.probe(User::Root, "leaked-folder", beyond);
        plan.without.extend(without);
        Ok(arena.run(plan)?.last_line()?.to_owned())
    };
    assert_eq!(run(&[])?, "held: no folder is open");
    let landlocked = run(&[Barrier::ClosedFolders])?;
    assert!(landlocked.contains("Permission denied"), "{landlocked}");
    let open = run(&[Barrier::ClosedFolders, Barrier::Landlock])?;
    assert_eq!(open, "reached of the host");
    Ok(())
}

#[test]
fn a_result_that_is_a_link_to_the_host_is_not_taken() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let canary = arena.ground.path().join("canary");
    std::fs::write(&canary, "of the host")?;
    let script = format!(
        "mkdir -p out/x86_64 && cd out/x86_64 && ln -s {} a.rpm && echo good > b.rpm \
         && ln b.rpm c.rpm && mkfifo d.rpm && echo x > 'e f.rpm' && echo good > g.rpm",
        canary.display()
    );
    for (without, taken) in [(vec![], vec!["g.rpm"]), (vec![Barrier::CollectChecks], vec!["a.rpm"])]
    {
        let mut plan = arena.plan(User::Build, &["/bin/sh", "-c", &script]);
        plan.collect.push(Collect {
            upper: "root".to_owned(),
            folder: "builddir/out".to_owned(),
            suffix: ".rpm".to_owned(),
            depth: 1,
        });
        let is_whole = without.is_empty();
        plan.without = without;
        if !is_whole {
            // Without the checks a pipe would be waited at for ever.
            plan.steps[1].run = Run::Program {
                argv: ["/bin/sh", "-c", &script.replace("mkfifo d.rpm", "true")]
                    .map(str::to_owned)
                    .to_vec(),
            };
        }
        let told = arena.run(plan)?;
        let names: Vec<&str> = told.heard.files.iter().map(|(name, _)| name.as_str()).collect();
        for name in taken {
            assert!(names.contains(&name), "{told:?}");
        }
        let leaked = told.heard.files.iter().any(|(_, content)| content == b"of the host");
        assert_eq!(leaked, !is_whole, "{told:?}");
        if is_whole {
            assert_eq!(names, ["g.rpm"], "{told:?}");
            assert_eq!(told.heard.refused.len(), 5, "{told:?}");
        }
    }
    Ok(())
}

#[test]
fn no_new_privs_is_set_where_it_is_not_left_out() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    for (without, expected) in
        [(vec![], "NoNewPrivs: 1"), (vec![Barrier::NoNewPrivs, Barrier::Seccomp], "NoNewPrivs: 0")]
    {
        let mut plan = arena.probe(User::Root, "facts", "");
        // Landlock asks for it too.
        if !without.is_empty() {
            plan.without.push(Barrier::Landlock);
        }
        plan.without.extend(without);
        let told = arena.run(plan)?;
        assert!(told.heard.log.contains(expected), "{told:?}");
    }
    Ok(())
}
