//! What bad input gets.
//!
//! One program, so that what all of them need is linked once.

mod builds;
mod ended;
mod hosts;
mod sources;
mod specs;
mod verbs;
