//! From requirements to locks, and what is said where there is none.
//!
//! One program, so that what all of them need is linked once.

mod bench;
mod hinting;
mod resolving;
