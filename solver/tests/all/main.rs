//! What the solver answers, and what it survives.
//!
//! One program, so that what all of them need is linked once.

mod child;
mod hostile;
mod kit;
mod oracle;
mod resolver;
mod solving;
