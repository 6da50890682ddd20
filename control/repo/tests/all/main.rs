//! Metadata read and written, and the signatures on both.
//!
//! One program, so that what all of them need is linked once.

mod generation;
mod kit;
mod reading;
mod signatures;
mod writing;
