//! The signer's roles alone, for tests: `kiln internal-signer` with barriers left out and weaker
//! keys on demand. Not part of the program.
//!
//! `child [--without BARRIER]... [--rsa BITS]`, or `child program PROGRAM [ARGUMENT]...`

use std::process::ExitCode;

use kiln_signer::{Barrier, Strength, program_main, run_child};

fn main() -> ExitCode {
    let mut barriers = Barrier::ALL.to_vec();
    let mut strength = Strength::default();
    let all: Vec<_> = std::env::args().skip(1).collect();
    if all.first().is_some_and(|first| first == "program") {
        return program_main(&all[1..]);
    }
    let mut arguments = all.into_iter();
    while let (Some(option), Some(value)) = (arguments.next(), arguments.next()) {
        match option.as_str() {
            "--without" => barriers.retain(|barrier| barrier.word() != value),
            "--rsa" => strength.rsa = value.parse().unwrap_or(strength.rsa),
            _ => return ExitCode::from(2),
        }
    }
    run_child(&barriers, strength)
}
