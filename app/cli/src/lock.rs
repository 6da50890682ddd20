//! `kiln lock`: what a package's buildroot is made of, without building it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use kiln_flow::Submission;
use kiln_model::{Foreign, Lock};

use crate::failure::Failure;
use crate::folders::Folders;
use crate::local::Local;
use crate::options::BuildOptions;
use crate::sources::{self, Given};
use crate::target::find_target;
use crate::ui::{Ui, Verbosity};

/// What `kiln lock` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: BuildOptions,

    /// Where the lock goes; '-' is standard output
    #[arg(long, short, value_name = "FILE", default_value = "kiln.lock")]
    output: PathBuf,

    /// Tell why this package is in the buildroot, instead of writing the lock
    #[arg(long, value_name = "PACKAGE")]
    why: Option<String>,

    /// A source package, a folder with a spec and its sources, or a spec in its folder
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    arguments.options.require_local("lock")?;
    let folders = Folders::find()?;
    let target = find_target(&arguments.options.target(&folders)?)?;
    let ui = Ui::new(Verbosity::Stages);
    let local = Local::open(&folders, target.clone(), Arc::clone(&ui))?;
    let Given { title, source } = sources::take(&arguments.source, &local.cas)?;
    ui.heading(&format!("{title} for {}", target.name));
    let settings = arguments.options.settings(&target)?;
    let limits = arguments.options.limits()?;
    let resolved = local.lock(Submission { title, source, settings, limits })?;
    ui.end();
    match &arguments.why {
        Some(package) => tell_why(&resolved.lock, package)?,
        None => write(&resolved.lock, &arguments.output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write(lock: &Lock, to: &Path) -> Result<(), Failure> {
    let bytes = kiln_parse::lock::to_bytes(lock);
    if to == Path::new("-") {
        print!("{}", String::from_utf8_lossy(&bytes));
        return Ok(());
    }
    fs::write(to, bytes).map_err(|error| {
        let mut failure = Failure::caller(format!("{} cannot be written", to.display()), None);
        failure.0.causes.push(error.to_string());
        failure
    })?;
    println!("{} packages in {}", lock.packages.len(), to.display());
    Ok(())
}

/// From a package up to what was asked for, a line each.
fn tell_why(lock: &Lock, wanted: &str) -> Result<(), Failure> {
    let chains = kiln_resolve::why(lock, wanted);
    if chains.is_empty() {
        let error = format!("{} is not in the buildroot", Foreign::new(wanted));
        return Err(Failure::caller(error, None));
    }
    for step in chains.iter().flatten() {
        println!("{step}");
    }
    Ok(())
}
