//! The jail's own tests: what a guest sees, what it can't do, and what is left of it.

use std::path::Path;

use anyhow::Result;
use kiln_contest::Arena;
use kiln_jail::User;
use kiln_kit::Ground;

fn arena() -> Option<Result<Arena>> {
    Ground::or_skip()
        .map(|ground| Arena::new(ground, Path::new(env!("CARGO_BIN_EXE_kiln-contest"))))
}

#[test]
fn a_command_runs_and_nothing_is_left() -> Result<()> {
    let Some(arena) = arena() else { return Ok(()) };
    let arena = arena?;
    let told = arena.run(arena.plan(User::Build, &["/usr/bin/id"]))?;
    assert_eq!(told.error, None, "{told:?}");
    assert!(told.heard.log.contains("uid=60578(build) gid=60578(build)"), "{told:?}");
    Ok(())
}
