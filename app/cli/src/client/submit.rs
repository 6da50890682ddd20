//! `kiln build` without `--local`: sources go to the service, which builds them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use console::style;
use kiln_api::{Build, BuildAsked, BuildsMade, Given, Job, Upload, UploadAsked};
use kiln_cas::Cas;
use kiln_model::{Fault, Isolation, Report};
use kiln_wire::worker::{Source, SourceFile};
use reqwest::{Body, Method};
use tokio::io::AsyncSeekExt as _;

use super::Client;
use super::builds::{follow_log, standing};
use crate::failure::{Failure, doing};
use crate::{elsewhere, sources};

/// How often an upload that breaks is gone on with.
const TRIES: u32 = 5;

/// How a service builds, besides what is said for every build.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServiceOptions {
    /// The project to build for, on a service
    #[arg(long, short, value_name = "PROJECT", env = "KILN_PROJECT", conflicts_with = "local")]
    project: Option<String>,

    /// Only try: nothing is published
    #[arg(long, conflicts_with = "local")]
    scratch: bool,

    /// Wait until every job is over
    #[arg(long, conflicts_with = "local")]
    wait: bool,

    /// Wait, and show the log as it grows
    #[arg(long, conflicts_with_all = ["local", "json"])]
    follow: bool,

    /// Several, in the order that their BuildRequires imply, as far as that can be guessed; each
    /// sees those that it waits for
    #[arg(long, conflicts_with_all = ["local", "chain", "scratch"])]
    ordered: bool,

    /// Begin only when nothing else can be begun
    #[arg(long, conflicts_with = "local")]
    background: bool,
}

/// What is asked of a service, whatever the sources are.
pub(crate) struct Asked {
    pub(crate) options: ServiceOptions,
    pub(crate) targets: Vec<String>,
    pub(crate) chain: bool,
    pub(crate) profile: Option<String>,
    pub(crate) macros: BTreeMap<String, String>,
    pub(crate) with: Vec<String>,
    pub(crate) without: Vec<String>,
    pub(crate) limits: BTreeMap<String, u64>,
    pub(crate) isolation: Option<Isolation>,
    pub(crate) json: bool,
}

pub(crate) fn run(asked: Asked, paths: &[PathBuf]) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let Some(project) = asked.options.project.clone() else {
        let hint = "name one with --project; 'kiln project list' shows those there are".to_owned();
        return Err(Failure::caller("for which project?", Some(hint)));
    };
    // Sources pass through a store of their own: hashed once, and the same bytes sent once.
    let folder = tempfile::tempdir().map_err(doing("making a folder for the sources"))?;
    let cas = Cas::open(folder.path())?;
    let mut given = Vec::new();
    for path in paths {
        if let Some(elsewhere) = elsewhere::find(path) {
            given.push(elsewhere?);
            continue;
        }
        let sources::Given { title, source } = sources::take(path, &cas)?;
        given.push(upload(&client, &cas, title, &source)?);
    }
    let message = BuildAsked {
        given,
        targets: asked.targets.clone(),
        scratch: asked.options.scratch,
        chain: asked.chain,
        ordered: asked.options.ordered,
        background: asked.options.background,
        priority: 0,
        profile: asked.profile.clone(),
        macros: asked.macros.clone(),
        with: asked.with.clone(),
        without: asked.without.clone(),
        limits: asked.limits.clone(),
        isolation: asked.isolation.map(|isolation| isolation.to_string()),
    };
    let path = format!("/api/v1/projects/{project}/builds");
    let made: BuildsMade = client.send_once(&path, &message)?;
    let mut builds = made.builds;
    let waits = asked.options.wait || asked.options.follow;
    if !asked.json {
        for build in &builds {
            println!("{}/builds/{}  {}", client.server, build.id, build.title);
        }
    }
    if waits {
        for build in &mut builds {
            wait(&client, build, &asked)?;
        }
    }
    if asked.json {
        let text = serde_json::to_string_pretty(&builds);
        println!("{}", text.expect("types of our own always serialise"));
    }
    let worst = builds.iter().flat_map(|build| &build.jobs).map(exit_code).max();
    Ok(ExitCode::from(worst.filter(|_| waits).unwrap_or(0)))
}

fn upload(client: &Client, cas: &Cas, title: String, source: &Source) -> Result<Given, Failure> {
    let spec = match source {
        Source::Folder { spec, .. } => Some(spec.clone()),
        Source::Srpm(_) | Source::Remote(_) => None,
    };
    let files = source.files();
    for file in files {
        send(client, cas, file)?;
    }
    let files = files.iter().map(|file| (file.name.clone(), file.digest.to_string())).collect();
    Ok(Given { title, spec, files, ..Given::default() })
}

/// Sends what the service lacks of a file; where it breaks, goes on there.
fn send(client: &Client, cas: &Cas, file: &SourceFile) -> Result<(), Failure> {
    let SourceFile { digest, size, .. } = file;
    let asked = UploadAsked { digest: digest.to_string(), size: *size };
    let mut tries = 0;
    loop {
        let at: Upload = client.send(Method::POST, "/api/v1/uploads", &asked)?;
        if at.is_whole {
            return Ok(());
        }
        let path = format!("/api/v1/uploads/{digest}?offset={}&size={size}", at.have);
        let body = client.run(rest_of(cas, file, at.have))?;
        match client.put::<Upload>(&path, body) {
            Ok(upload) if upload.is_whole => return Ok(()),
            Err(failure) if failure.0.fault == Fault::Caller => return Err(failure),
            Err(failure) if tries == TRIES => return Err(failure),
            Ok(_) | Err(_) => tries += 1,
        }
    }
}

async fn rest_of(cas: &Cas, file: &SourceFile, offset: u64) -> Result<Body, Failure> {
    let failed = || doing("reading a source");
    let mut open = tokio::fs::File::open(cas.path(&file.digest)).await.map_err(failed())?;
    open.seek(std::io::SeekFrom::Start(offset)).await.map_err(failed())?;
    Ok(Body::wrap_stream(tokio_util::io::ReaderStream::new(open)))
}

/// Waits until a build is over, and tells what becomes of it.
fn wait(client: &Client, build: &mut Build, asked: &Asked) -> Result<(), Failure> {
    if asked.options.follow {
        for job in &build.jobs {
            println!("{}", style(format!("job {} for {}", job.id, job.target)).bold());
            follow_log(client, job.id, "build", true)?;
        }
    }
    while !build.jobs.iter().all(|job| job.is_over) {
        *build = client.get(&format!("/api/v1/builds/{}?wait=45", build.id))?;
    }
    if !asked.json {
        build.jobs.iter().for_each(tell);
    }
    Ok(())
}

fn tell(job: &Job) {
    println!("job {} for {}: {}", job.id, job.target, standing(job));
    for stage in &job.stages {
        println!("  {:<12} {:>7.1} s  {}", stage.stage, stage.wall_ms as f64 / 1000.0, stage.note);
    }
    for artifact in &job.artifacts {
        println!("  {}", artifact.name);
    }
    if let Some(report) = report_of(job) {
        Failure(report).tell();
    }
}

fn report_of(job: &Job) -> Option<Report> {
    serde_json::from_value(job.report.clone()?).ok()
}

fn exit_code(job: &Job) -> u8 {
    match (job.state.as_str(), report_of(job)) {
        ("built", _) => 0,
        (_, Some(report)) => report.fault.exit_code(),
        ("cancelled", None) => 130,
        (_, None) => 1,
    }
}
