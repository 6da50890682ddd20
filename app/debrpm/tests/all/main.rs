//! A distribution made of a suite of our own, and of the host's.
//!
//! One program, so that what all of them need is linked once.

mod distribution;
mod kit;
mod oracle;
