//! What of the measurements is quick enough for every change. Each says why where it cannot run
//! here: without a trial distribution or the tarballs.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use kiln_kit::Ground;
use kiln_packages::offenders::{self, OFFENDERS};
use kiln_packages::place::{Place, own_folder};
use kiln_packages::{build, elsewhere, machine, no_root, together, twice};

fn place() -> Option<Place> {
    Place::or_skip(None).expect("a place to build in")
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn small_packages_build_and_are_what_they_should_be() -> Result<()> {
    let Some(place) = place() else { return Ok(()) };
    let small = names(&["hello", "figlet", "attr", "perl-Try-Tiny"]);
    ensure!(build::run(&place, &small, 2)?, "not all is as it should be");
    Ok(())
}

#[test]
fn a_small_package_comes_out_the_same_whatever_surrounds_its_build() -> Result<()> {
    let Some(place) = place() else { return Ok(()) };
    ensure!(twice::run(&place, &names(&["figlet"]), 1)?, "it does not");
    Ok(())
}

#[test]
fn a_bundle_is_reproduced_by_another_user_without_a_network() -> Result<()> {
    let Some(place) = place() else { return Ok(()) };
    elsewhere::run(&place, "figlet")
}

#[test]
fn two_builds_at_once_see_nothing_of_each_other() -> Result<()> {
    let Some(place) = place() else { return Ok(()) };
    let row = together::at_once(&place, 2, true)?;
    ensure!(row.wrong.is_empty(), "{row:?}");
    Ok(())
}

#[test]
fn nothing_of_a_build_has_root_or_capabilities_on_the_host() -> Result<()> {
    let Some(place) = place() else { return Ok(()) };
    ensure!(no_root::run(&place)?, "something has");
    Ok(())
}

#[test]
fn packages_known_not_to_be_the_same_are_found_and_rightly_named() -> Result<()> {
    let Some(place) = place() else { return Ok(()) };
    OFFENDERS.iter().try_for_each(|offender| offenders::look(&place, offender))
}

#[test]
fn what_programs_write_of_time_and_owner_is_taken_out_and_shows_where_it_is_not() -> Result<()> {
    let Some(place) = place() else { return Ok(()) };
    offenders::look_at_archives(&place)
}

#[test]
fn each_macro_that_keeps_builds_the_same_is_missed_where_it_is_not() -> Result<()> {
    let Some(place) = place() else { return Ok(()) };
    offenders::look_at_macros(&place)
}

#[test]
fn what_cannot_be_built_again_is_told_from_what_differs() -> Result<()> {
    let Some(place) = place() else { return Ok(()) };
    offenders::look_at_what_cannot_be_rebuilt(&place)
}

#[test]
fn a_package_with_another_signature_is_the_one_that_was_built() -> Result<()> {
    let Some(place) = place() else { return Ok(()) };
    offenders::look_at_another_signature(&place)
}

#[test]
fn packages_that_attack_are_held_off_and_get_through_weakened_jails() -> Result<()> {
    let Some(place) = place() else { return Ok(()) };
    machine::attacks(&place)
}

#[test]
#[ignore = "emulated machines take their time: 'make test-all'"]
fn a_build_in_a_machine_gives_the_same_bytes() -> Result<()> {
    let Some(place) = place() else { return Ok(()) };
    match machine::lack(&place)? {
        Some(lack) => kiln_kit::skip(&lack),
        None => machine::same(&place, "hello")?,
    }
    Ok(())
}

/// The proof that the test of builds at once could fail: without jails, the second one does.
#[test]
fn what_contends_fails_where_nothing_keeps_it_apart() -> Result<()> {
    let Some(ground) = Ground::or_skip() else { return Ok(()) };
    let program = ground.path().join("contend");
    let source = own_folder().join("contend/contend.c");
    let made = Command::new("cc").arg("-o").arg(&program).arg(source).arg("-lrt").status()?;
    ensure!(made.success(), "cc failed");
    let shared = ground.own_folder("shared")?;
    let other = ground.own_folder("other")?;
    let contend = |who: &str, hold: &str, folder: &std::path::Path| {
        let mut command = ground.command(&program);
        command.args([who, hold]).arg(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn()
    };
    let first = contend("first", "3", &shared)?;
    let began = std::time::Instant::now();
    while !shared.join("contend.x").exists() {
        ensure!(began.elapsed().as_secs() < 3, "the first one did not begin");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // Not even another folder helps where port, socket and keys are the same.
    let second = contend("second", "0", &other)?.wait_with_output()?;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(!second.status.success() && said.contains("contend: binding"), "{said}");
    let first = first.wait_with_output().context("the first one")?;
    ensure!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    Ok(())
}
