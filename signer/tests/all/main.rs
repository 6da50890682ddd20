//! What the signer signs, what it refuses, and what holds it.
//!
//! One program, so that what all of them need is linked once.

mod asking;
mod child;
mod kit;
mod published;
mod signing;
