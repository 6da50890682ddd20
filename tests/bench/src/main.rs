//! What kiln costs, beside the programs that it is held against, on the same input in one run.
//!
//! Zone: tests. `scripts/bench` runs it; docs/bench.md tells the method and what came out.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

mod bare;
mod metadata;
mod meter;
mod publishing;
mod resolving;
mod rows;
mod stage;
mod table;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::bare::Bare;
use crate::stage::Stage;
use crate::table::Table;

/// Times kiln.
#[derive(Debug, Parser)]
struct Arguments {
    /// The kiln to time
    #[arg(long)]
    kiln: PathBuf,

    /// The folder of the trial distribution
    #[arg(long, env = "KILN_TRIAL")]
    trial: PathBuf,

    /// How often each thing is done
    #[arg(long, default_value_t = 5)]
    repeats: usize,

    /// Which rows of the design's numbers: 1, 2, 4, 5, 6
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 5, 6, 4])]
    rows: Vec<u32>,

    /// Where the figures go as JSON
    #[arg(long)]
    json: Option<PathBuf>,

    /// Folders with a spec and its sources, or source packages: what row 2 builds
    packages: Vec<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(!rustix::process::geteuid().is_root(), "kiln does not build as root: 'scripts/bench'");
    ensure!(arguments.repeats > 0, "once is the least");
    meter::prepare()?;
    let scratch = tempfile::Builder::new().prefix("kiln-bench-").tempdir_in("/var/tmp")?;
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o755))?;
    let jobs = available_parallelism()?.get();
    let (kiln, trial) = (fs::canonicalize(&arguments.kiln)?, fs::canonicalize(&arguments.trial)?);
    let stage = Stage::new(kiln, trial, scratch.path().to_owned(), jobs)?;
    let mut table = Table::default();
    let bare = Bare::new(&stage.scratch)?;
    let result = fill(&arguments, &stage, &bare, &mut table);
    table.print();
    // What belongs to other ids goes first: the folder itself is removed as this user.
    bare.clear()?;
    stage.forget_layers()?;
    if let Some(path) = &arguments.json {
        fs::write(path, serde_json::to_string_pretty(&table)? + "\n")
            .with_context(|| format!("writing {}", path.display()))?;
    }
    result
}

fn fill(arguments: &Arguments, stage: &Stage, bare: &Bare, table: &mut Table) -> Result<()> {
    let repeats = arguments.repeats;
    for row in &arguments.rows {
        eprintln!("row {row}");
        match row {
            4 => rows::first_buildroot(stage, bare, repeats, table)?,
            1 => rows::clean_buildroot(stage, bare, repeats, table)?,
            2 => {
                for package in &arguments.packages {
                    let package = fs::canonicalize(package)?;
                    rows::whole_build(stage, bare, &package, repeats, table)?;
                }
            }
            5 => resolving::resolve(&stage.kiln, &stage.scratch, bare, repeats, table)?,
            6 => publishing::publish(&stage.scratch, repeats, table)?,
            other => table.note(format!("row {other} is not timed here")),
        }
    }
    Ok(())
}
