//! What only a machine has.

use std::path::Path;

use anyhow::{Context, Result};
use kiln_contest::Arena;
use kiln_kit::Ground;

/// Says what time it is.
const CLOCK: &str = "#include <stdio.h>\n#include <time.h>\n\
    int main(void) { printf(\"%ld\\n\", (long)time(0)); return 0; }\n";

/// A day that only a calendar with its leap years finds: 29 February 2000, noon.
const NOON: i64 = 951_825_600;

#[test]
fn a_machines_clock_begins_where_its_plan_says() -> Result<()> {
    let program = Path::new(env!("CARGO_BIN_EXE_kiln-contest"));
    let Some(ground) = Ground::or_skip() else { return Ok(()) };
    let arena = Arena::new(ground, program)?;
    let mut plan = arena.plan_of_layer(CLOCK)?;
    plan.clock = Some(NOON);
    let Some(told) = arena.run_in_machine(plan.clone())? else { return Ok(()) };
    let said: i64 = told.last_line()?.parse().with_context(|| format!("{told:?}"))?;
    // An emulated machine takes its time to get as far as this.
    assert!((NOON..NOON + 300).contains(&said), "{said}: {told:?}");
    // A jail of the host has the host's clock, and says so.
    let again = arena.plan_of_layer(CLOCK)?;
    let plan = kiln_jail::Plan { clock: plan.clock, ..again };
    let refused = arena.run(plan)?.error.context("it was carried out")?;
    assert!(refused.contains("only a machine has a clock of its own"), "{refused}");
    Ok(())
}
