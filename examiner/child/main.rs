//! The examiner's role alone, for tests: `kiln internal-examiner` with barriers left out on
//! demand. Not part of the program.
//!
//! `child [--without BARRIER]... [--cpu SECONDS] [--memory BYTES]`

use std::process::ExitCode;

use kiln_examiner::{Barrier, Limits, run_child};

fn main() -> ExitCode {
    let mut barriers = Barrier::ALL.to_vec();
    let mut limits = Limits::default();
    let mut arguments = std::env::args().skip(1);
    while let (Some(option), Some(value)) = (arguments.next(), arguments.next()) {
        match option.as_str() {
            "--without" => barriers.retain(|barrier| barrier.word() != value),
            "--cpu" => limits.cpu = value.parse().unwrap_or(limits.cpu),
            "--memory" => limits.memory = value.parse().unwrap_or(limits.memory),
            _ => return ExitCode::from(2),
        }
    }
    run_child(&barriers, limits)
}
