//! The examiner as a child process.
//!
//! One program, so that what all of them need is linked once.

mod child;
mod proving;
