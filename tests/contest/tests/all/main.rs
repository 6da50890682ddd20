//! Attacks on the jail, each also on one without what stops it.
//!
//! One program, so that what all of them need is linked once.

mod barriers;
mod jail;
mod limits;
mod machine;
