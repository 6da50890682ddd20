//! `kiln completions` and `kiln man`: what shells and man(1) want to know of the command line.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use crate::failure::{Failure, doing};

/// What `kiln completions` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// For which shell
    shell: Shell,
}

/// What `kiln man` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The folder that the pages are written to
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn completions(arguments: &Completions, mut command: Command) -> ExitCode {
    clap_complete::generate(arguments.shell, &mut command, "kiln", &mut std::io::stdout());
    ExitCode::SUCCESS
}

/// A page for kiln and one for each verb: `kiln.1`, `kiln-build.1`, …
pub(crate) fn man(arguments: &Man, command: Command) -> Result<ExitCode, Failure> {
    let folder = &arguments.folder;
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command.disable_help_subcommand(true), folder))
        .map_err(doing(format!("writing manual pages to {}", folder.display())))?;
    Ok(ExitCode::SUCCESS)
}
