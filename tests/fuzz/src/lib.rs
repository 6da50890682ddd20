//! Strangers' bytes, made strange: every parser of the trusted side against inputs that were good
//! once. None may panic, take long, or take memory that the input doesn't account for.
//!
//! Zone: tests. What does not belong here: what a parser should answer; that stands beside it.
//!
//! [`targets::all`] is the list of parsers, [`seeds`] where good inputs come from, [`mutate`] what
//! is done to them. The same seed of the same target is the same sequence of inputs.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a fuzzer tells of its progress")]

mod evidence;
pub mod mutate;
pub mod seeds;
pub mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::mutate::Mutator;
use crate::seeds::Seeds;
use crate::targets::Target;

/// The longest that one input may take, on a machine that does other things as well.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The most address space of a run: all caps of all parsers together fit into it.
pub const MEMORY: u64 = 2 << 30;

/// An input that a parser could not take.
#[derive(Debug)]
pub struct Fault {
    /// What it did.
    pub what: String,
    /// The input.
    pub input: Vec<u8>,
}

/// Tries a parser until the time is over; tells how many inputs it took.
pub fn run(target: &Target, seeds: &Seeds, time: Duration, seed: u64) -> Result<u64, Fault> {
    let good = (target.seeds)(seeds);
    let mut mutator = Mutator::new(target.name, seed);
    let until = Instant::now() + time;
    let mut count = 0;
    for input in &good {
        try_one(target, input)?;
    }
    while Instant::now() < until {
        let input = mutator.next(&good);
        try_one(target, &input)?;
        count += 1;
    }
    Ok(count)
}

fn try_one(target: &Target, input: &[u8]) -> Result<(), Fault> {
    let began = Instant::now();
    let fault = |what: String| Fault { what, input: input.to_vec() };
    catch_unwind(AssertUnwindSafe(|| (target.parse)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        fault(format!("panicked: {}", text.unwrap_or_default()))
    })?;
    let took = began.elapsed();
    if took > PATIENCE {
        return Err(fault(format!("took {took:?}")));
    }
    Ok(())
}
