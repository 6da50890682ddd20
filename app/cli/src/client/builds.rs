//! `kiln builds`, `log`, `cancel`, `resubmit` and `download`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use kiln_api::{Build, Job, Page};
use kiln_model::{Digest, Foreign, Hasher};

use super::{Client, ago, print};
use crate::failure::{Failure, doing};

/// What `kiln builds` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Of one project
    #[arg(long, short)]
    project: Option<String>,

    /// Only those with a job in this state: queued, leased, built, failed, cancelled
    #[arg(long)]
    state: Option<String>,

    /// How many, the newest first
    #[arg(long, default_value_t = 20)]
    count: i64,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What `kiln log` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Log {
    /// The job
    job: i64,

    /// build, or root: making the buildroot
    #[arg(default_value = "build")]
    name: String,

    /// Go on as it grows
    #[arg(long, short)]
    follow: bool,
}

/// What `kiln cancel` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// The build
    build: i64,
}

/// What `kiln resubmit` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Resubmit {
    /// The job
    job: i64,
}

/// What `kiln download` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Download {
    /// The job
    job: i64,

    /// Into this folder
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub(crate) fn list(arguments: &List) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let mut path = format!("/api/v1/builds?count={}", arguments.count);
    for (name, value) in [("project", &arguments.project), ("state", &arguments.state)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={value}"));
        }
    }
    let page: Page<Build> = client.get(&path)?;
    print(arguments.json, &page.items, || page.items.iter().flat_map(rows).collect());
    Ok(ExitCode::SUCCESS)
}

fn rows(build: &Build) -> Vec<Vec<String>> {
    let row = |job: &Job| {
        vec![
            build.id.to_string(),
            format!("job {}", job.id),
            build.project.clone(),
            build.title.clone(),
            job.target.clone(),
            standing(job),
            ago(build.submitted_at),
        ]
    };
    build.jobs.iter().map(row).collect()
}

/// Where a job stands, in a word or two.
pub(crate) fn standing(job: &Job) -> String {
    match (job.state.as_str(), job.snapshot) {
        ("built", Some(number)) => format!("published in snapshot {number}"),
        (state, _) => state.to_owned(),
    }
}

pub(crate) fn log(arguments: &Log) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let Log { job, name, follow } = arguments;
    follow_log(&client, *job, name, *follow)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a log, made harmless for a terminal.
pub(crate) fn follow_log(
    client: &Client,
    job: i64,
    name: &str,
    follow: bool,
) -> Result<(), Failure> {
    let mut rest: Vec<u8> = Vec::new();
    let mut print_lines = |bytes: &[u8]| {
        rest.extend_from_slice(bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            println!("{}", Foreign::new(String::from_utf8_lossy(&line).trim_end()).as_str());
        }
        Ok(())
    };
    let path = format!("/api/v1/jobs/{job}/logs/{name}?follow={follow}");
    client.read(&path, &mut print_lines)?;
    if !rest.is_empty() {
        println!("{}", Foreign::new(&String::from_utf8_lossy(&rest)).as_str());
    }
    Ok(())
}

pub(crate) fn cancel(arguments: &Cancel) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let path = format!("/api/v1/builds/{}/cancel", arguments.build);
    let build: Build = client.send_once(&path, &())?;
    print(false, &build, || rows(&build));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn resubmit(arguments: &Resubmit) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let path = format!("/api/v1/jobs/{}/resubmit", arguments.job);
    let build: Build = client.send_once(&path, &())?;
    print(false, &build, || rows(&build));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn download(arguments: &Download) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let job: Job = client.get(&format!("/api/v1/jobs/{}", arguments.job))?;
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).map_err(doing(format!("making {}", folder.display())))?;
    for artifact in &job.artifacts {
        let is_plain = !artifact.name.contains('/') && !artifact.name.starts_with(['.', '-']);
        let digest: Option<Digest> = artifact.digest.parse().ok();
        let (true, Some(digest)) = (is_plain, digest) else {
            let name = Foreign::new(&artifact.name);
            return Err(Failure::caller(format!("the service names a file {name}"), None));
        };
        let to = folder.join(&artifact.name);
        let failed = || doing(format!("writing {}", to.display()));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed())?;
        let mut hasher = Hasher::new();
        let path = format!("/api/v1/jobs/{}/artifacts/{}", job.id, artifact.name);
        client.read(&path, |piece| {
            hasher.update(piece);
            file.write_all(piece).map_err(failed())
        })?;
        if hasher.finish() != digest {
            let error = format!("{} came with other bytes than the service says", artifact.name);
            return Err(Failure::caller(error, Some("fetch it once more".to_owned())));
        }
        let file: File = file.persist(&to).map_err(|error| failed()(error.error))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.set_permissions(mode).map_err(failed())?;
        println!("{}", to.display());
    }
    Ok(ExitCode::SUCCESS)
}
