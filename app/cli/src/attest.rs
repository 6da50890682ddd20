//! `kiln attest`: what shows how something was built.

mod bundle;
mod fetch;
mod seen;
mod show;
mod verify;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use kiln_attest::PublicKey;

use crate::failure::Failure;

/// What `kiln attest` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say what a statement says, without a word about whether it is true
    Show(show::Arguments),
    /// Check a statement, and files against it, with nothing but files; the first thing that is
    /// wrong is named
    Verify(verify::Arguments),
    /// Check that a bundle is whole, and that what shows how it was built is of it
    Bundle(bundle::Arguments),
    /// Fetch what shows how a job's packages were built, and check it
    Fetch(fetch::Arguments),
    /// Print the public key of a service's evidence
    Key(fetch::KeyArguments),
    /// Check that a service's log continues what was seen of it before
    Log(fetch::LogArguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.verb {
        Verb::Show(arguments) => show::run(arguments)?,
        Verb::Verify(arguments) => verify::run(arguments)?,
        Verb::Bundle(arguments) => bundle::run(arguments)?,
        Verb::Fetch(arguments) => fetch::run(arguments)?,
        Verb::Key(arguments) => fetch::key(arguments)?,
        Verb::Log(arguments) => fetch::log(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A file of at most `cap` bytes, and of one more: who reads it says that it is too long.
fn bytes_of(path: &Path, cap: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(cap as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let mut failure = Failure::caller(format!("{} cannot be read", path.display()), None);
    failure.0.causes.push(error.to_string());
    failure
}

/// The key in a file.
fn key_of(path: &Path) -> Result<PublicKey, Failure> {
    const CAP: usize = 4 << 10;
    let text = String::from_utf8_lossy(&bytes_of(path, CAP)?).into_owned();
    PublicKey::read(&text).map_err(|error| about(path, error))
}

/// An error of a file says which.
fn about(path: &Path, error: impl kiln_model::Faulty) -> Failure {
    let mut failure = Failure::from(error);
    failure.0.error = format!("{}: {}", path.display(), failure.0.error);
    failure
}
