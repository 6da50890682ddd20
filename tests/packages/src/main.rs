//! The measurements on real packages, each a verb. Each prints a table and writes the same as JSON
//! to `target/packages/`; the code is 0 where everything is as it should be.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is its report")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use kiln_packages::place::Place;
use kiln_packages::verify::{self, Mode};
use kiln_packages::{build, hints, no_root, offenders, together, twice};

#[derive(Debug, Parser)]
#[command(about = "Measures kiln on real packages")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,

    /// kiln's folder for builds with a warm cache; without it, one of its own that is removed
    #[arg(long, global = true, value_name = "DIR")]
    warm: Option<PathBuf>,

    /// How many packages are built at once
    #[arg(long, global = true, value_name = "N", default_value_t = 2)]
    at_once: usize,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Each package builds, and is what it should be
    Build {
        /// These only
        names: Vec<String>,
    },
    /// Each comes out the same whatever surrounds its build
    Twice {
        /// These only
        names: Vec<String>,
    },
    /// A build that lacks a requirement is told which
    Hints {
        /// These only
        names: Vec<String>,
    },
    /// Builds at the same time see nothing of each other
    Together {
        /// How many
        #[arg(default_values_t = [2, 4, 8])]
        counts: Vec<usize>,
    },
    /// Nothing of a build has root or a capability on the host
    NoRoot,
    /// Each is built again from its record, and comes out the same
    Verify {
        /// These only
        names: Vec<String>,
    },
    /// Likewise with everything around it different; what makes a difference is named
    Challenge {
        /// These only
        names: Vec<String>,
        /// Leave files as packages make them: what kiln's normalising is worth shows
        #[arg(long)]
        raw: bool,
    },
    /// Packages that are known not to be the same are found, and rightly named
    Offenders,
    /// All of these
    All,
}

fn main() -> Result<ExitCode> {
    let Arguments { verb, warm, at_once } = Arguments::parse();
    let Some(place) = Place::or_skip(warm)? else { return Ok(ExitCode::SUCCESS) };
    let is_fine = match verb {
        Verb::Build { names } => build::run(&place, &names, at_once)?,
        Verb::Twice { names } => twice::run(&place, &names, at_once)?,
        Verb::Hints { names } => hints::run(&place, &names, at_once)?,
        Verb::Together { counts } => together::run(&place, &counts)?,
        Verb::NoRoot => no_root::run(&place)?,
        Verb::Verify { names } => verify::run(&place, &names, at_once, Mode::Verify)?,
        Verb::Challenge { names, raw } => {
            let mode = if raw { Mode::Raw } else { Mode::Challenge };
            verify::run(&place, &names, at_once, mode)?
        }
        Verb::Offenders => offenders::run(&place)?,
        Verb::All => {
            let results = [
                build::run(&place, &[], at_once)?,
                together::run(&place, &[2, 4, 8])?,
                no_root::run(&place)?,
                twice::run(&place, &[], at_once)?,
                hints::run(&place, &[], at_once)?,
                offenders::run(&place)?,
                verify::run(&place, &[], at_once, Mode::Verify)?,
                verify::run(&place, &[], at_once, Mode::Challenge)?,
            ];
            results.iter().all(|fine| *fine)
        }
    };
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
