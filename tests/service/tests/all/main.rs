//! The whole service, from outside.
//!
//! One program, so that what all of them need is linked once.

mod browser;
mod described;
mod doors;
mod evidence;
mod keeping;
mod kills;
mod load;
mod oidc;
mod operating;
mod service;
mod traces;
mod verifying;
mod workers;
