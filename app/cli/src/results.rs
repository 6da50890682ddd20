//! What a build leaves for the packager: RPMs, SRPM, logs, lock, `record.json` and `result.json`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kiln_cas::Cas;
use kiln_flow::Flow;
use kiln_model::{Digest, JobId, JobState, LeaseKey, Nevra, Report};
use kiln_store::{Artifact, JobRecord, StageRecord};
use kiln_wire::record::Record;
use kiln_wire::worker::Settings;
use serde::Serialize;

use crate::Failure;
use crate::umask::callers_folder;

/// What it takes to make the build again: a [`Record`], written as `kiln_attest` writes JSON. It is
/// not signed: this user's own word.
pub(crate) const RECORD: &str = "record.json";

/// `result.json`. Fields are only ever added.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    /// The version of this shape.
    pub(crate) version: u32,
    /// What a person calls it.
    pub(crate) title: String,
    /// `built`, `failed` or `cancelled`.
    pub(crate) state: JobState,
    /// Why it failed: whose fault, what, why, what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) report: Option<Report>,
    /// How it was built.
    pub(crate) settings: Settings,
    /// The digest of `kiln.lock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lock: Option<Digest>,
    /// What was built.
    pub(crate) artifacts: Vec<Made>,
    /// What each stage took.
    pub(crate) stages: Vec<Took>,
    /// From submission to end, in milliseconds.
    pub(crate) wall_ms: u64,
    /// CPU time of everything that ran in jails, in milliseconds.
    pub(crate) cpu_ms: u64,
    /// The folder of results.
    pub(crate) folder: PathBuf,
    /// The job by which 'kiln shell --kept' finds its buildroot, where that was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<JobId>,
}

/// A file that was built.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) nevra: Nevra,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// What a stage took.
#[derive(Debug, Serialize)]
pub(crate) struct Took {
    pub(crate) stage: &'static str,
    pub(crate) wall_ms: u64,
    pub(crate) cpu_ms: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
}

/// Artifacts as they are told.
pub(crate) fn made_of(artifacts: Vec<Artifact>) -> Vec<Made> {
    let made = |one: Artifact| {
        let Artifact { name, nevra, digest, size } = one;
        Made { name, nevra, digest, size }
    };
    artifacts.into_iter().map(made).collect()
}

impl Outcome {
    pub(crate) fn of(
        job: JobRecord,
        artifacts: Vec<Artifact>,
        stages: Vec<StageRecord>,
        folder: PathBuf,
    ) -> Self {
        let wall = job.ended_at.unwrap_or(job.queued_at) - job.queued_at;
        let took = |one: StageRecord| {
            let StageRecord { stage, wall_ms, cpu_ms, note } = one;
            Took { stage: stage.word(), wall_ms, cpu_ms, note }
        };
        Self {
            version: 1,
            title: job.title,
            state: job.state,
            report: job.report,
            settings: job.settings,
            lock: job.lock,
            artifacts: made_of(artifacts),
            cpu_ms: stages.iter().map(|stage| stage.cpu_ms).sum(),
            stages: stages.into_iter().map(took).collect(),
            wall_ms: wall.max(0).unsigned_abs(),
            folder,
            kept: None,
        }
    }

    /// The name of the source package without `.src.rpm`, where it was built; else the title.
    pub(crate) fn folder_name(title: &str, artifacts: &[Artifact]) -> String {
        let source = artifacts.iter().find(|one| one.nevra.arch() == "src");
        source.map_or_else(|| title.to_owned(), |source| source.nevra.nvr())
    }
}

/// Writes the folder of results: whole under a name of its own first, then in place of what an
/// earlier build left there.
pub(crate) fn write(
    outcome: &Outcome,
    record: Option<&Record>,
    key: LeaseKey,
    flow: &Flow,
    cas: &Cas,
) -> Result<(), Failure> {
    let to = &outcome.folder;
    let parent = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| unwritable(parent, &error))?;
    let fresh = tempfile::Builder::new()
        .prefix(".kiln-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(callers_folder()))
        .tempdir_in(parent)
        .map_err(|error| unwritable(parent, &error))?;
    let fresh_path = fresh.path().to_owned();
    fill(&fresh_path, outcome, key, flow, cas)?;
    if let Some(record) = record {
        let to = fresh_path.join(RECORD);
        let bytes = kiln_attest::canonical(record);
        fs::write(&to, bytes).map_err(|error| unwritable(&to, &error))?;
    }
    replace(&fresh_path, to).map_err(|error| unwritable(to, &error))?;
    // Moved: there is nothing left to remove at the old place.
    let _ = fresh.keep();
    Ok(())
}

fn fill(
    at: &Path,
    outcome: &Outcome,
    key: LeaseKey,
    flow: &Flow,
    cas: &Cas,
) -> Result<(), Failure> {
    let copy = |from: &Path, name: &str| -> Result<(), Failure> {
        // A copy, not a link: what people do with their results must not reach the store.
        let to = at.join(name);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::copy(from, &to)
            .and_then(|_| fs::set_permissions(&to, mode))
            .map_err(|error| unwritable(&to, &error))
    };
    for made in &outcome.artifacts {
        copy(&cas.path(&made.digest), &made.name)?;
    }
    for name in ["build", "root"] {
        let log = flow.logs().path(key, name);
        if log.exists() {
            copy(&log, &format!("{name}.log"))?;
        }
    }
    if let Some(lock) = &outcome.lock {
        copy(&cas.path(lock), "kiln.lock")?;
    }
    let json = serde_json::to_string_pretty(outcome).expect("types of our own always serialise");
    let to = at.join("result.json");
    fs::write(&to, json + "\n").map_err(|error| unwritable(&to, &error))
}

/// Puts the new folder in the place of an earlier one of ours, and of nothing else.
fn replace(fresh: &Path, to: &Path) -> io::Result<()> {
    let is_in_use = match fs::read_dir(to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return fs::rename(fresh, to),
        entries => entries?.next().is_some(),
    };
    if is_in_use && !to.join("result.json").exists() {
        return Err(io::Error::other("it is there already and does not hold results"));
    }
    let old = fresh.with_extension("old");
    fs::rename(to, &old)?;
    fs::rename(fresh, to)?;
    fs::remove_dir_all(old)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let mut failure = Failure::caller(
        format!("results cannot be written to {}", path.display()),
        Some("name another folder with --results".to_owned()),
    );
    failure.0.causes.push(error.to_string());
    failure
}
