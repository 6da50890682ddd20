//! What the store promises, on both databases.
//!
//! One program, so that what all of them need is linked once.

mod doors;
mod jobs;
mod keeping;
mod kit;
mod log;
mod queue;
mod uploads;
mod verdicts;
