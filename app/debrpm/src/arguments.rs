use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::DebrpmError;
use crate::steps::{self, Order};

/// What `kiln debrpm` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Choose the packages: a closure of the seeds, each pinned by its digest
    Plan(Options),
    /// Fetch the plan's Debian packages that are not there yet
    Fetch(Options),
    /// Convert them to RPMs
    Convert(Options),
    /// Write the repository's metadata and the target that builds against it
    Repo(Options),
    /// All of these
    All(Options),
}

#[derive(Debug, Args)]
struct Options {
    /// The folder that everything is kept in
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
    /// Debian's suite, by its codename
    #[arg(long, default_value = "trixie")]
    suite: String,
    /// What to make the distribution for: x86_64 or aarch64
    #[arg(long, default_value = std::env::consts::ARCH)]
    arch: String,
    /// Sets of seeds, by name, or files of seeds: buildroot, devel, rust, boost, java
    #[arg(long, value_delimiter = ',', num_args = 1.., default_value = "buildroot,devel")]
    seeds: Vec<String>,
    /// Take the packages from this mirror and not through the host's apt; may be given again,
    /// as for a mirror of security updates
    #[arg(long, value_name = "URL", requires = "keyring")]
    mirror: Vec<String>,
    /// The OpenPGP keys that the mirrors must be signed with
    #[arg(long, value_name = "FILE", requires = "mirror")]
    keyring: Option<PathBuf>,
    /// How many things at once
    #[arg(long, short, value_name = "N")]
    jobs: Option<usize>,
    /// Print each step's outcome as one line of JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    fn order(&self) -> Order<'_> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Order {
            suite: &self.suite,
            arch: &self.arch,
            seeds: &self.seeds,
            mirrors: &self.mirror,
            keyring: self.keyring.as_deref(),
            work: &self.work,
            jobs: self.jobs.unwrap_or_else(cores).max(1),
        }
    }

    /// Runs a step and tells what came of it.
    fn step<T: Serialize>(
        &self,
        name: &'static str,
        step: impl FnOnce(&Order<'_>) -> Result<T, DebrpmError>,
    ) -> Result<(), DebrpmError> {
        let begun = Instant::now();
        let outcome = step(&self.order())?;
        let outcome = serde_json::to_value(&outcome).expect("an outcome is plain data");
        let seconds = (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        let line = if self.json {
            serde_json::json!({ "step": name, "seconds": seconds, "outcome": outcome }).to_string()
        } else {
            format!("{name}: {} in {seconds} s", told(&outcome))
        };
        // Nobody listens any more: no reason to stop half way.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
        Ok(())
    }
}

/// An outcome for people: `packages 146, bytes 126 MB`.
fn told(outcome: &serde_json::Value) -> String {
    let fields = outcome.as_object().into_iter().flatten();
    let words: Vec<String> = fields
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => format!("{name} {text}"),
            value if name == "bytes" => {
                format!("{} MB", value.as_u64().unwrap_or_default() / 1_000_000)
            }
            value => format!("{name} {value}"),
        })
        .collect();
    words.join(", ")
}

/// Does what the arguments ask for.
pub fn run(arguments: &Arguments) -> Result<(), DebrpmError> {
    match &arguments.step {
        Step::Plan(options) => options.step("plan", steps::plan),
        Step::Fetch(options) => options.step("fetch", steps::fetch),
        Step::Convert(options) => options.step("convert", steps::convert),
        Step::Repo(options) => options.step("repo", steps::publish),
        Step::All(options) => {
            options.step("plan", steps::plan)?;
            options.step("fetch", steps::fetch)?;
            options.step("convert", steps::convert)?;
            options.step("repo", steps::publish)
        }
    }
}
