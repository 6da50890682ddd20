use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kiln_cas::Cas;
use kiln_fetch::{Fetcher, Progress};
use kiln_model::{RepoSpec, Report};
use kiln_repo::{Options, RepoError, Repos, Snapshot};
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::{find_target, print_json, print_text};
use crate::Failure;
use crate::failure::doing;
use crate::folders::Folders;
use crate::ui::{Ui, Verbosity};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The target: a name, or a file
    target: String,
    /// Take a repository that went back to an older generation
    #[arg(long)]
    accept_older: bool,
    /// How many days old a repository may be whose target doesn't say
    #[arg(long, value_name = "DAYS")]
    stale_after: Option<u32>,
    /// Fetch the lists of all files too, which are only needed now and then
    #[arg(long)]
    filelists: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What is told of a repository.
#[derive(Debug, Serialize)]
struct Row {
    repo: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<Snapshot>,
    /// Since the newest of its metadata was made, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u64>,
    wall_ms: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Report>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let target = find_target(&arguments.target)?;
    let folders = Folders::find()?;
    let runtime = Runtime::new().map_err(doing("starting the runtime"))?;
    let cas = Cas::open(&folders.blobs())?;
    let verbosity = if arguments.json { Verbosity::Quiet } else { Verbosity::Stages };
    let ui = Ui::new(verbosity);
    let fetcher = Fetcher::new(cas, kiln_fetch::Options::default())?;
    let options = Options {
        max_age: 0,
        stale_after_days: arguments.stale_after,
        accept_older: arguments.accept_older,
        ..Options::default()
    };
    let repos = Repos::open(fetcher, &folders.snapshots(), options)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let progress = ui.progress();
    let work = refresh_all(&repos, &target.repos, now, arguments.filelists, &progress);
    let mut rows = runtime.block_on(work);
    let order = |row: &Row| target.repos.iter().position(|repo| repo.id == row.repo);
    rows.sort_by_key(order);
    ui.end();
    match arguments.json {
        true => print_json(&rows)?,
        false => print_text(&rows.iter().map(line).collect::<String>())?,
    }
    // Every repository is told of; the first failure is the verb's.
    match rows.into_iter().find_map(|row| row.error) {
        Some(report) => Err(Failure(report)),
        None => Ok(()),
    }
}

async fn refresh_all(
    repos: &Repos,
    specs: &[RepoSpec],
    now: u64,
    filelists: bool,
    progress: &Progress,
) -> Vec<Row> {
    let mut running = JoinSet::new();
    for spec in specs.iter().cloned() {
        let (repos, progress) = (repos.clone(), Arc::clone(progress));
        running.spawn(async move {
            let began = Instant::now();
            let result = refresh(&repos, &spec, now, filelists, &progress).await;
            let wall_ms = began.elapsed().as_millis();
            let repo = spec.id;
            match result {
                Ok(snapshot) => {
                    let age_s = Some(now.saturating_sub(snapshot.made));
                    Row { repo, snapshot: Some(snapshot), age_s, wall_ms, error: None }
                }
                Err(error) => {
                    let error = Some(Report::of(&error));
                    Row { repo, snapshot: None, age_s: None, wall_ms, error }
                }
            }
        });
    }
    let mut rows = Vec::new();
    while let Some(done) = running.join_next().await {
        rows.extend(done);
    }
    rows
}

async fn refresh(
    repos: &Repos,
    spec: &RepoSpec,
    now: u64,
    filelists: bool,
    progress: &Progress,
) -> Result<Snapshot, RepoError> {
    let snapshot = repos.refresh(spec, now, progress).await?;
    if filelists {
        repos.filelists(&snapshot, progress).await?;
    }
    Ok(snapshot)
}

fn line(row: &Row) -> String {
    let took = format!("{:.1} s", row.wall_ms as f64 / 1000.0);
    let Some(snapshot) = &row.snapshot else {
        return format!("{:24} failed after {took}\n", row.repo);
    };
    let age = row.age_s.map_or_else(String::new, in_words);
    format!(
        "{:24} {:>7} packages, {:>9}, made {age} ago, revision {}, {} ({took})\n",
        row.repo,
        snapshot.packages,
        indicatif::HumanBytes(snapshot.primary.size).to_string(),
        snapshot.revision,
        snapshot.repomd.short(),
    )
}

/// A length of time as people say it.
fn in_words(seconds: u64) -> String {
    match seconds {
        0..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
