//! An RPM distribution out of a Debian suite: for trials, tests and air-gapped sites.
//!
//! Zone: `app`. Runs on an operator's word, over packages that apt's keys vouch for; nothing of
//! the build service links it.

use kiln_model::{Fault, Faulty};

/// What `kiln debrpm` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Why no distribution came out.
#[derive(Debug, thiserror::Error)]
pub enum DebrpmError {}

impl Faulty for DebrpmError {
    fn fault(&self) -> Fault {
        match *self {}
    }
}

/// Does what the arguments ask for.
pub fn run(_arguments: &Arguments) -> Result<(), DebrpmError> {
    Ok(())
}
