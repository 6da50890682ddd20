//! Those who submit, and those who look on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kiln_api::{
    Build, BuildAsked, BuildsMade, Given, LoginAsked, NewUser, Page, Project, Stats, TokenMade,
    Upload, UploadAsked, User,
};
use kiln_service::{PASSWORD, TARGET};
use reqwest::Method;
use serde_json::json;

use crate::line::{Line, read};
use crate::packages::{File, Pair};

/// How often each of those who look on looks.
const OFTEN: Duration = Duration::from_secs(1);

/// Who submits: the way in, and the project.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) line: Line,
    pub(crate) project: String,
}

/// Signs in; the operator's own account is made with the service.
pub(crate) async fn sign_in(line: &Line, name: &str) -> Result<Line> {
    let asked =
        LoginAsked { name: name.to_owned(), password: PASSWORD.into(), label: "load".into() };
    let made: TokenMade = line.ask("sign in", "/api/v1/login", &asked).await?;
    Ok(line.of(&made.secret))
}

/// An account with a project of its own.
pub(crate) async fn settle(operator: &Line, number: usize) -> Result<Client> {
    let name = format!("load{number}");
    let user =
        NewUser { name: name.clone(), password: Some(PASSWORD.to_owned()), is_operator: false };
    let _: User = operator.ask("make an account", "/api/v1/users", &user).await?;
    let line = sign_in(operator, &name).await?;
    // With nothing that is usual, so that a service of another version can be held beside this.
    let asked = json!({"name": name, "targets": [TARGET]});
    let _: Project = line.ask("make a project", "/api/v1/projects", &asked).await?;
    Ok(Client { line, project: name })
}

impl Client {
    /// Uploads a source package and submits it: the build.
    pub(crate) async fn submit(&self, pair: &Pair) -> Result<Build> {
        let File { name, digest, bytes } = &pair.source;
        let size = bytes.len() as u64;
        let asked = UploadAsked { digest: digest.to_string(), size };
        let upload: Upload = self.line.ask("begin an upload", "/api/v1/uploads", &asked).await?;
        ensure!(upload.have == 0 && !upload.is_whole, "{name} is there already");
        let path = format!("/api/v1/uploads/{digest}?offset=0&size={size}");
        let answer = self.line.send("upload", Method::PUT, &path, bytes.clone()).await?;
        ensure!(read::<Upload>("upload", &answer)?.is_whole, "{name} did not arrive");
        let given = Given {
            title: name.clone(),
            spec: None,
            files: [(name.clone(), digest.to_string())].into(),
            ..Given::default()
        };
        let asked = BuildAsked { given: vec![given], ..nothing() };
        let path = format!("/api/v1/projects/{}/builds", self.project);
        let made: BuildsMade = self.line.ask("submit", &path, &asked).await?;
        made.builds.into_iter().next().context("a build")
    }

    /// Waits until a build is over, as `--wait` does, and sees to it that it was published.
    pub(crate) async fn follow(&self, build: i64) -> Result<()> {
        let path = format!("/api/v1/builds/{build}?wait=50");
        loop {
            let answer = self.line.quietly(Method::GET, &path, Vec::new()).await?;
            let build: Build = read("follow", &answer)?;
            let job = build.jobs.first().context("a job")?;
            if job.is_over {
                let is_fine = job.state == "built" && job.snapshot.is_some();
                ensure!(is_fine, "job {}: {} {:?}", job.id, job.state, job.report);
                return Ok(());
            }
        }
    }
}

/// Looks at the queue and at lists, as people and monitoring do, for ever.
pub(crate) async fn look_on(line: Line) -> Result<()> {
    loop {
        let _: Page<Build> = line.get("list 50 builds", "/api/v1/builds?count=50").await?;
        let _: Stats = line.get("stats", "/api/v1/stats").await?;
        line.send("the queue's page", Method::GET, "/queue", Vec::new()).await?;
        tokio::time::sleep(OFTEN).await;
    }
}

fn nothing() -> BuildAsked {
    BuildAsked {
        given: Vec::new(),
        targets: Vec::new(),
        scratch: false,
        chain: false,
        ordered: false,
        background: false,
        priority: 0,
        profile: None,
        macros: Default::default(),
        with: Vec::new(),
        without: Vec::new(),
        limits: Default::default(),
        isolation: None,
    }
}
