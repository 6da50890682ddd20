//! `kiln-fuzz`: the parsers against strange inputs, for as long as one likes.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use kiln_fuzz::{MEMORY, run, seeds::Seeds, targets};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Try the parsers of strangers' bytes.
#[derive(Debug, Parser)]
struct Arguments {
    /// For how long each, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,

    /// Another number, other inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// The folder that an input goes to which a parser could not take
    #[arg(long, default_value = "target/fuzz")]
    keep: PathBuf,

    /// Which; all of them without
    target: Vec<String>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let limit = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    setrlimit(Resource::As, limit).context("limiting memory")?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../targets");
    let seeds = Seeds::make(folder.as_ref())?;
    let all = targets::all();
    for name in &arguments.target {
        if !all.iter().any(|target| target.name == name) {
            let names: Vec<_> = all.iter().map(|target| target.name).collect();
            bail!("no such target: {name} ({})", names.join(", "));
        }
    }
    // A panic is counted, not printed for each input.
    std::panic::set_hook(Box::new(|_| {}));
    let mut faults = 0;
    for target in &all {
        if !arguments.target.is_empty() && !arguments.target.iter().any(|name| name == target.name)
        {
            continue;
        }
        match run(target, &seeds, Duration::from_secs(arguments.seconds), arguments.seed) {
            Ok(count) => println!("{:<12} {count:>9} inputs", target.name),
            Err(fault) => {
                faults += 1;
                std::fs::create_dir_all(&arguments.keep)?;
                let path = arguments.keep.join(format!("{}-{}", target.name, arguments.seed));
                std::fs::write(&path, &fault.input)?;
                println!("{:<12} {}; the input is {}", target.name, fault.what, path.display());
            }
        }
    }
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
