//! A service under load: many clients that submit, many workers that take, and how long each of
//! their requests waits for its answer.
//!
//! Zone: tests. The service is the program itself, with its database and its disk; workers are
//! simulated: they speak the whole of a worker's protocol with credentials of their own, and
//! build nothing. What they hand over are real packages, made for it.

mod client;
mod line;
mod meter;
mod packages;
mod run;
mod ticks;
mod worker;

pub use meter::Figure;
pub use run::{Phase, Plan, Report, run};
