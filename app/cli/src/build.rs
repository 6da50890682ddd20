//! `kiln build --local`: sources in, RPMs out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use console::style;
use kiln_model::{Foreign, JobState, LeaseKey, Stage};
use kiln_store::{Artifact, StageRecord};

use crate::chain::Chain;
use crate::client::submit::{self, ServiceOptions};
use crate::failure::Failure;
use crate::folders::Folders;
use crate::local::Local;
use crate::options::{BuildOptions, BuildPlan};
use crate::results::{self, Outcome};
use crate::sources::{self, Given};
use crate::ui::{Ui, Verbosity};

/// What `kiln build` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: BuildOptions,

    /// Where results go: a folder for each package in it
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,

    /// Each sees the RPMs of those before it; the first that fails ends it
    #[arg(long)]
    chain: bool,

    #[command(flatten)]
    service: ServiceOptions,

    /// Keep the buildroot as the build left it, for 'kiln shell --kept'
    #[arg(long)]
    keep_root: bool,

    /// Print result.json alone on standard output
    #[arg(long)]
    json: bool,

    /// Show everything that the package writes
    #[arg(long, short, conflicts_with = "json")]
    verbose: bool,

    /// Source packages (.src.rpm), folders with a spec and its sources, or specs in their folders;
    /// for a service also git+https://HOST/REPO.git#REF:FOLDER and the address of a .src.rpm
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
}

/// What the store knows of a job that has ended.
pub(crate) struct Record {
    pub(crate) stages: Vec<StageRecord>,
    pub(crate) artifacts: Vec<Artifact>,
    /// What it takes to make it again, where it was built.
    pub(crate) record: Option<kiln_wire::record::Record>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if !arguments.options.is_local() {
        let Arguments { options, service, chain, json, .. } = arguments;
        let asked = options.asked(service.clone(), *chain, *json)?;
        return submit::run(asked, &arguments.sources);
    }
    let folders = Folders::find()?;
    let plan = arguments.options.plan(&folders)?;
    let verbosity = match (arguments.json, arguments.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Log,
        _ => Verbosity::Stages,
    };
    let ui = Ui::new(verbosity);
    let local = Local::open(&folders, Some(&plan.target), plan.isolation(), Arc::clone(&ui))?;
    let given: Vec<Given> = arguments
        .sources
        .iter()
        .map(|path| sources::take(path, &local.cas))
        .collect::<Result<_, _>>()?;
    let chain = arguments.chain.then(|| Chain::begin(&folders)).transpose()?;
    let mut session = Session { arguments, plan: &plan, chain, local: &local, ui: &ui };
    session.build_all(given)
}

struct Session<'a> {
    arguments: &'a Arguments,
    plan: &'a BuildPlan,
    chain: Option<Chain>,
    local: &'a Local,
    ui: &'a Arc<Ui>,
}

impl Session<'_> {
    /// Builds one after the other; the exit code is that of the gravest fault.
    fn build_all(&mut self, given: Vec<Given>) -> Result<ExitCode, Failure> {
        let mut outcomes = Vec::new();
        let mut given = given.into_iter();
        for one in given.by_ref() {
            let outcome = self.build(one)?;
            let is_last = match (&outcome.state, &mut self.chain) {
                (JobState::Built, None) => false,
                (JobState::Built, Some(chain)) => {
                    self.local.use_own(chain.add(&outcome.artifacts, &self.local.cas)?);
                    false
                }
                (JobState::Cancelled, _) => true,
                (_, chain) => chain.is_some(),
            };
            outcomes.push(outcome);
            if is_last {
                break;
            }
        }
        for Given { title, .. } in given {
            self.ui.line(&format!("{title} was not tried"));
        }
        if self.arguments.json {
            print_json(&outcomes);
        }
        Ok(outcomes.iter().map(exit_code).max().map_or(ExitCode::SUCCESS, ExitCode::from))
    }

    fn build(&self, given: Given) -> Result<Outcome, Failure> {
        self.ui.heading(&format!("{} for {}", given.title, self.plan.target.name));
        let submission = self.plan.submission(given, &self.local.cas)?;
        let (job, key) = self.local.build(submission, self.arguments.keep_root)?;
        self.ui.end();
        let Record { stages, artifacts, record } = self.local.record(job.id)?;
        let name = Outcome::folder_name(&job.title, &artifacts);
        let folder = absolute(&self.arguments.results.join(name));
        let kept = self.local.has_kept(job.id).then_some(job.id);
        let outcome = Outcome { kept, ..Outcome::of(job, artifacts, stages, folder) };
        let (flow, cas) = (&self.local.flow, &self.local.cas);
        results::write(&outcome, record.as_ref(), key, flow, cas)?;
        if !self.arguments.json {
            self.tell(&outcome, key);
        }
        Ok(outcome)
    }

    fn tell(&self, outcome: &Outcome, key: LeaseKey) {
        let time = format!("{:.1} s", outcome.wall_ms as f64 / 1000.0);
        match (&outcome.state, &outcome.report) {
            (JobState::Built, _) => {
                println!("{} in {time}", style("built").green().bold());
                println!("{}", outcome.folder.display());
                for made in &outcome.artifacts {
                    println!("  {}", made.name);
                }
            }
            (_, Some(report)) => {
                self.tell_end_of_log(key);
                println!("{} after {time}", style("failed").red().bold());
                Failure(report.clone()).tell();
                println!("{}", outcome.folder.display());
            }
            (state, None) => println!("{} after {time}", state.word()),
        }
        match outcome.kept {
            Some(job) => println!("its buildroot is kept: kiln shell --local --kept {job}"),
            None if self.arguments.keep_root => println!("it never got a buildroot to keep"),
            None => {}
        }
    }

    /// The last lines of what ran when it failed, made harmless; nothing where nothing ran.
    fn tell_end_of_log(&self, key: LeaseKey) {
        const LINES: usize = 15;
        let log = match self.ui.stage() {
            _ if self.arguments.verbose => return,
            Some(Stage::Prepare | Stage::Run) => "build",
            Some(Stage::Materialise) => "root",
            _ => return,
        };
        let tail = self.local.flow.logs().tail(key, log, 16 << 10).unwrap_or_default();
        let text = String::from_utf8_lossy(&tail);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            println!("  {} {}", style("|").dim(), Foreign::new(line).as_str());
        }
    }
}

fn exit_code(outcome: &Outcome) -> u8 {
    match (&outcome.state, &outcome.report) {
        (JobState::Built, _) => 0,
        (_, Some(report)) => report.fault.exit_code(),
        // Ended by ^C: as a shell reports it.
        (_, None) => 130,
    }
}

/// One build is an object, several are a list.
fn print_json(outcomes: &[Outcome]) {
    let text = match outcomes {
        [one] => serde_json::to_string_pretty(one),
        several => serde_json::to_string_pretty(several),
    };
    println!("{}", text.expect("types of our own always serialise"));
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
