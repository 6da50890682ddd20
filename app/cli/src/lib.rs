//! The command line: one file per verb; what they share is how they fail and what they print.
//!
//! Zone: `app`. Links every zone, decides nothing that a zone should decide.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod build;
mod debrpm;
mod failure;
mod folders;
mod local;
mod options;
mod results;
mod role;
mod sources;
mod target;
mod ui;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use failure::Failure;

/// Build RPM packages: safe, exact, reproducible.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build packages: source packages in, RPMs out
    Build(build::Arguments),
    /// Show, import and refresh targets: what to build for
    Target(target::Arguments),
    /// Make an RPM distribution out of a Debian suite: for trials, tests and air-gapped sites
    Debrpm(debrpm::Arguments),
}

/// Runs what the command line asks for; the exit code says whose fault a failure was.
pub fn run() -> ExitCode {
    if let Some(code) = role::run() {
        return code;
    }
    let result = match Arguments::parse().verb {
        Verb::Build(arguments) => build::run(&arguments),
        Verb::Target(arguments) => target::run(&arguments).map(|()| ExitCode::SUCCESS),
        Verb::Debrpm(arguments) => debrpm::run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|failure| failure.print())
}
