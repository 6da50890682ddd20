//! The contest: attacks on a jail, each also on a jail weakened in what stops it.
//!
//! One program in three roles: `keeper` is the jail's keeper, which carries out weakened plans
//! too; `run` reads a plan and tells what happens as lines of JSON; `probe` is a guest that tries
//! one thing and prints what came of it.

#![allow(clippy::print_stdout, reason = "its output is its report")]

mod probe;
mod run;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("keeper") => kiln_jail::keeper_main(kiln_jail::Strength::Contest),
        Some("run") => run::main(),
        Some("probe") => {
            let what = arguments.next().unwrap_or_default();
            probe::main(&what, &arguments.next().unwrap_or_default())
        }
        _ => ExitCode::from(2),
    }
}
