//! `kiln lock`: what a package's buildroot is made of, without building it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use kiln_model::{Foreign, Lock};

use crate::failure::Failure;
use crate::folders::Folders;
use crate::local::Local;
use crate::options::BuildOptions;
use crate::sources;
use crate::ui::{Ui, Verbosity};

/// What `kiln lock` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: BuildOptions,

    /// Where the lock goes: kiln.lock, or mock's buildroot_lock.json; '-' is standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Write it as mock does, for 'mock --hermetic-build'
    #[arg(long, conflicts_with = "why")]
    mock: bool,

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
    let plan = arguments.options.plan(&folders)?;
    let ui = Ui::new(Verbosity::Stages);
    let local = Local::open(&folders, Some(&plan.target), plan.isolation(), Arc::clone(&ui))?;
    let given = sources::take(&arguments.source, &local.cas)?;
    ui.heading(&format!("{} for {}", given.title, plan.target.name));
    let lock = local.lock(plan.submission(given, &local.cas)?)?.lock;
    ui.end();
    if let Some(package) = &arguments.why {
        tell_why(&lock, package)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (bytes, usual) = match arguments.mock {
        true => (local.mock_lock(&lock)?, "buildroot_lock.json"),
        false => (kiln_parse::lock::to_bytes(&lock), "kiln.lock"),
    };
    let to = arguments.output.as_deref().unwrap_or(Path::new(usual));
    write(&bytes, to, lock.packages.len())?;
    Ok(ExitCode::SUCCESS)
}

fn write(bytes: &[u8], to: &Path, count: usize) -> Result<(), Failure> {
    if to == Path::new("-") {
        print!("{}", String::from_utf8_lossy(bytes));
        return Ok(());
    }
    fs::write(to, bytes).map_err(|error| {
        let mut failure = Failure::caller(format!("{} cannot be written", to.display()), None);
        failure.0.causes.push(error.to_string());
        failure
    })?;
    println!("{count} packages in {}", to.display());
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
