//! Records of the store as clients see them.

use kiln_api::{Artifact, Build, Job, Member, Origin, Project, Repo, Stage, Wait};
use kiln_model::JobState;
use kiln_store::{BuildRecord, JobRecord, ProjectRecord};
use kiln_wire::worker::Remote;

use crate::guard::Asker;
use crate::problem::Answer;
use crate::service::App;

pub(crate) async fn project(app: &App, record: &ProjectRecord, asker: &Asker) -> Answer<Project> {
    let store = app.store();
    let role = match asker.principal.user() {
        Some(_) if asker.principal.is_operator() => Some(kiln_model::Role::Maintainer),
        Some(user) => store.role(record.id, user).await?,
        None => None,
    };
    let members = match asker.principal.user() {
        Some(_) => store.members(record.id).await?,
        None => Vec::new(),
    };
    let repo = |repo: kiln_store::RepoRecord| {
        let (name, target) = (&record.name, &repo.target);
        let url = format!("{}/repos/{name}/{target}/{name}.repo", app.settings.url);
        Repo { target: repo.target, snapshot: repo.snapshot, is_enabled: repo.is_enabled, url }
    };
    let member =
        |one: kiln_store::Member| Member { name: one.name, role: one.role.word().to_owned() };
    Ok(Project {
        name: record.name.clone(),
        summary: record.summary.clone(),
        is_public: record.is_public,
        settings: record.settings.clone(),
        made_at: record.made_at,
        weight: record.weight,
        role: role.map(|role| role.word().to_owned()),
        repos: store.repos(record.id).await?.into_iter().map(repo).collect(),
        members: members.into_iter().map(member).collect(),
    })
}

pub(crate) async fn build(app: &App, record: &BuildRecord) -> Answer<Build> {
    let store = app.store();
    let mut jobs = Vec::new();
    for one in store.jobs_of(record.id).await? {
        jobs.push(job(app, &one).await?);
    }
    let project = match record.project {
        Some(project) => store.project_of(project).await?.map(|it| it.name),
        None => None,
    };
    let submitter = match record.submitter {
        Some(user) => store.user_of(user).await?.map(|it| it.name),
        None => None,
    };
    Ok(Build {
        id: record.id.0,
        title: record.title.clone(),
        project: project.unwrap_or_default(),
        submitter: submitter.unwrap_or_default(),
        submitted_at: record.submitted_at,
        scratch: record.is_scratch,
        promoted: record.promoted.map(|build| build.0),
        origin: record.origin.as_ref().map(origin),
        jobs,
    })
}

fn origin(record: &kiln_store::Origin) -> Origin {
    match record.remote.clone() {
        Remote::Git { url, reference, folder } => {
            Origin { url, reference: Some(reference), folder, commit: record.commit.clone() }
        }
        Remote::Srpm { url, .. } => Origin { url, reference: None, folder: None, commit: None },
    }
}

pub(crate) async fn job(app: &App, record: &JobRecord) -> Answer<Job> {
    let store = app.store();
    let stage = |one: kiln_store::StageRecord| Stage {
        stage: one.stage.word().to_owned(),
        wall_ms: one.wall_ms,
        cpu_ms: one.cpu_ms,
        note: one.note,
    };
    let artifact = |one: kiln_store::Artifact| Artifact {
        name: one.name,
        nevra: one.nevra.to_string(),
        digest: one.digest.to_string(),
        size: one.size,
    };
    let report = record.report.as_ref().map(serde_json::to_value);
    Ok(Job {
        id: record.id.0,
        build: record.build.0,
        target: record.settings.target.to_string(),
        state: record.state.word().to_owned(),
        is_over: is_over(record),
        attempt: record.epoch.0,
        worker: record.worker.clone(),
        queued_at: record.queued_at,
        began_at: record.leased_at,
        ended_at: record.ended_at,
        report: report.and_then(Result::ok),
        lock: record.lock.map(|lock| lock.to_string()),
        snapshot: record.snapshot,
        wait: wait(app, record).await?,
        stages: store.stages(record.id).await?.into_iter().map(stage).collect(),
        artifacts: store.artifacts(record.id).await?.into_iter().map(artifact).collect(),
    })
}

/// Whether nothing will happen to a job any more.
pub(crate) fn is_over(record: &JobRecord) -> bool {
    match record.state {
        JobState::Queued | JobState::Leased => false,
        JobState::Built => !record.publishes || record.snapshot.is_some(),
        JobState::Failed | JobState::Cancelled => true,
    }
}

async fn wait(app: &App, record: &JobRecord) -> Answer<Option<Wait>> {
    if record.state != JobState::Queued {
        return Ok(None);
    }
    if record.waits > 0 {
        let why = format!("{} jobs that it builds upon are not published yet", record.waits);
        return Ok(Some(Wait { why, before: 0, seconds: None }));
    }
    let before = app.store().before(record.id).await?;
    let figures = app.store().queue_figures().await?;
    let why = match (before, figures.leased) {
        (0, 0) => "no worker that can build it has asked for work".to_owned(),
        (0, _) => "every worker that can build it is at work".to_owned(),
        (count, _) => format!("{count} jobs are before it"),
    };
    Ok(Some(Wait { why, before, seconds: None }))
}
