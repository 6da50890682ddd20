//! Each limit ends what passes it and says which it was; a jail without limits lets it pass, up
//! to the bounds of the probe itself.

use std::path::Path;

use anyhow::Result;
use kiln_contest::{Arena, Asked, Told};
use kiln_jail::{Barrier, Plan, User};
use kiln_kit::Ground;
use kiln_model::Limits;

fn arena() -> Option<Arena> {
    let program = Path::new(env!("CARGO_BIN_EXE_kiln-contest"));
    Ground::or_skip().map(|ground| Arena::new(ground, program).expect("an arena"))
}

fn limited(arena: &Arena, probe: (&str, &str), set: &dyn Fn(&mut Limits)) -> Plan {
    let mut plan = arena.probe(User::Build, probe.0, probe.1);
    set(&mut plan.limits);
    plan
}

/// The limit holds, and without it the guest gets through.
fn ends(name: &str, probe: (&str, &str), set: &dyn Fn(&mut Limits)) -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let told = arena.run(limited(&arena, probe, set))?;
    assert!(told.end.contains(&format!("limit: {name}")), "{}", shown(&told));
    let mut weak = limited(&arena, probe, set);
    weak.without.push(Barrier::Limits);
    let told = arena.run(weak)?;
    assert_eq!(told.end, "Done", "{}", shown(&told));
    assert!(told.last_line()?.starts_with("reached") || name == "Log", "{}", shown(&told));
    Ok(())
}

fn shown(told: &Told) -> String {
    let log: String = told.heard.log.chars().take(500).collect();
    format!("{} {:?} {log}", told.end, told.error)
}

#[test]
fn memory_is_limited() -> Result<()> {
    ends("Memory", ("memory", "300"), &|limits| limits.memory = 128 << 20)
}

#[test]
fn processes_are_limited() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let set = |limits: &mut Limits| limits.processes = 40;
    let told = arena.run(limited(&arena, ("fork", "100"), &set))?;
    // The kernel refuses the fork, or the keeper sees the count first.
    let held = told.end.contains("limit: Processes")
        || told.last_line()?.contains("Resource temporarily unavailable");
    assert!(held, "{}", shown(&told));
    let mut weak = limited(&arena, ("fork", "100"), &set);
    weak.without.push(Barrier::Limits);
    assert_eq!(arena.run(weak)?.last_line()?, "reached 100 processes");
    Ok(())
}

#[test]
fn disk_is_limited() -> Result<()> {
    ends("Disk", ("disk", "100"), &|limits| limits.disk = 32 << 20)
}

#[test]
fn one_file_that_the_kernel_stops_is_over_the_limit_of_the_disk() -> Result<()> {
    ends("Disk", ("file", "100"), &|limits| limits.disk = 32 << 20)
}

#[test]
fn inodes_are_limited() -> Result<()> {
    ends("Inodes", ("inodes", "3000"), &|limits| limits.inodes = 1000)
}

#[test]
fn cpu_time_is_limited() -> Result<()> {
    ends("Cpu", ("spin", ""), &|limits| limits.cpu = 2)
}

#[test]
fn silence_and_wall_time_are_limited() -> Result<()> {
    ends("Silence", ("silence", "5"), &|limits| limits.silence = 1)?;
    ends("Wall", ("silence", "5"), &|limits| limits.wall = 1)
}

#[test]
fn the_log_is_limited_and_what_was_written_is_kept() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let set = |limits: &mut Limits| limits.log = 1 << 20;
    let told = arena.run(limited(&arena, ("log", "50"), &set))?;
    assert!(told.end.contains("limit: Log"), "{}", shown(&told));
    assert_eq!(told.heard.log.len(), 1 << 20);
    Ok(())
}

#[test]
fn control_groups_count_memory_where_this_user_has_some() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let mut plan = limited(&arena, ("memory", "300"), &|limits| limits.memory = 128 << 20);
    plan.limits.wall = 60;
    let told = arena.run_as(Asked { plan, slot: 0, controllers: true, machine: None })?;
    assert!(told.end.contains("limit: Memory"), "{}", shown(&told));
    Ok(())
}
