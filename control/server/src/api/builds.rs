use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use kiln_access::Need;
use kiln_api::{Build, BuildAsked, BuildsMade, Given, Page};
use kiln_flow::{Event, Order, Sequence, Sources};
use kiln_model::{
    BuildId, Digest, Isolation, JobState, Permit, ProjectId, Role, Scope, SetLimit, SomeLimits,
    TargetName,
};
use kiln_parse::remote;
use kiln_parse::rpmfile::Facts;
use kiln_store::{BuildRecord, BuildsAsked};
use kiln_wire::worker::{Remote, Source, SourceFile};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

use super::{page_size, views, words};
use crate::bodies::Taken;
use crate::guard::Asker;
use crate::once::Key;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// The most that one request may ask to be built.
const AT_ONCE: usize = 500;

/// The longest that an answer is waited for, in seconds: less than proxies allow.
const PATIENCE: u64 = 50;

/// The longest that may be asked for; after [`PATIENCE`] the answer comes as it is.
const WAIT_MOST: u64 = 3600;

/// Which builds.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListAsked {
    /// Of one project alone.
    project: Option<String>,
    /// With a job that is queued, leased, built, failed or cancelled.
    #[param(pattern = "^(queued|leased|built|failed|cancelled)$")]
    state: Option<String>,
    /// Only those with a lower number.
    before: Option<i64>,
    /// At most so many.
    count: Option<i64>,
}

/// Whether to wait for news.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ShowAsked {
    /// At most so many seconds, until every job is over.
    #[param(minimum = 0, maximum = 3600)]
    wait: u64,
}

pub(crate) async fn submit(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    key: Key,
    Taken(asked): Taken<BuildAsked>,
) -> Answer<(StatusCode, Json<BuildsMade>)> {
    let once = key.once(&asker, &asked)?;
    let sent: Vec<String> =
        asked.given.iter().flat_map(|given| given.files.values()).cloned().collect();
    if asked.given.len() > AT_ONCE {
        return Err(Refused::wrong(format!("at most {AT_ONCE} builds can be asked for at once")));
    }
    let sources = asked.given.iter().map(|given| sources(&app, given)).collect::<Answer<_>>()?;
    let target = |name: &String| name.parse::<TargetName>().map_err(Refused::wrong);
    let project = asker.project()?.clone();
    words::check(&asked.macros, &asked.with, &asked.without)?;
    let order = Order {
        submitter: asker.user()?,
        hook: None,
        sources,
        targets: asked.targets.iter().map(target).collect::<Answer<_>>()?,
        is_scratch: asked.scratch,
        sequence: sequence_of(&asked)?,
        is_background: asked.background,
        priority: asked.priority.clamp(-1000, 1000),
        profile: asked.profile,
        macros: asked.macros,
        with: asked.with,
        without: asked.without,
        limits: app.settings.limits.clone(),
        some_limits: some_limits(&asked.limits)?,
        isolation: isolation(asked.isolation.as_deref())?,
        jobs: app.settings.jobs,
        project,
        once,
    };
    let made = app.flow.order(&order).await?;
    // A build names it now.
    app.store().free_room(asker.user()?, sent.iter().map(String::as_str)).await?;
    let mut builds = Vec::new();
    for one in &made {
        let record = app.store().build(one.build).await?;
        app.note(&asker.label(), "build", &order.project.name, &record.title).await;
        builds.push(views::build(&app, &record).await?);
    }
    Ok((StatusCode::CREATED, Json(BuildsMade { builds })))
}

fn some_limits(asked: &BTreeMap<String, u64>) -> Answer<SomeLimits> {
    let limit = |(name, amount): (&String, &u64)| {
        let set = format!("{name}={amount}").parse::<SetLimit>().map_err(Refused::wrong)?;
        Ok((set.0, set.1))
    };
    asked.iter().map(limit).collect()
}

fn isolation(asked: Option<&str>) -> Answer<Option<Isolation>> {
    asked.map(|word| word.parse().map_err(Refused::wrong)).transpose()
}

fn sequence_of(asked: &BuildAsked) -> Answer<Sequence> {
    match (asked.chain, asked.ordered) {
        (true, true) => Err(Refused::wrong("a chain has an order already")),
        (true, false) => Ok(Sequence::Chain),
        (false, true) => Ok(Sequence::Implied),
        (false, false) => Ok(Sequence::Any),
    }
}

pub(crate) async fn list(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Query(asked): Query<ListAsked>,
) -> Answer<Json<Page<Build>>> {
    let project = match &asked.project {
        Some(name) => Some(visible(&app, &asker, name).await?),
        None => None,
    };
    let words = "a state is queued, leased, built, failed or cancelled";
    let state = match asked.state.as_deref().map(JobState::from_word) {
        Some(None) => return Err(Refused::wrong(words)),
        state => state.flatten(),
    };
    let count = page_size(asked.count);
    let who = &asker.principal;
    let records = app
        .store()
        .builds(&BuildsAsked {
            project,
            seen_by: who.user().filter(|_| !who.is_operator()),
            is_anonymous: who.user().is_none(),
            state,
            before: asked.before.map(BuildId),
            count,
        })
        .await?;
    let mut items = Vec::new();
    for record in &records {
        items.push(views::build(&app, record).await?);
    }
    let is_full = items.len() as i64 == count;
    let next = items.last().filter(|_| is_full).map(|last| last.id.to_string());
    Ok(Json(Page { items, next }))
}

/// The project of that name, if the asker may see it: that there is one is not told to others.
async fn visible(app: &App, asker: &Asker, name: &str) -> Answer<ProjectId> {
    let none = || Refused::none("project", name);
    let project = app.store().project(name).await?.ok_or_else(none)?;
    let role = match asker.principal.user() {
        Some(user) => app.store().role(project.id, user).await?,
        None => None,
    };
    let need = Need::Member(Role::Reader, Scope::Read);
    asker.principal.may(need, project.is_public, role).map_err(|_| none())?;
    Ok(project.id)
}

pub(crate) async fn show(
    State(app): State<App>,
    Path(build): Path<i64>,
    Query(asked): Query<ShowAsked>,
) -> Answer<Json<Build>> {
    // Before the first look, so that nothing is missed between it and the waiting.
    let mut events = app.flow.events().listen();
    if asked.wait > WAIT_MOST {
        return Err(Refused::wrong(format!("wait for at most {WAIT_MOST} seconds")));
    }
    let patience = Duration::from_secs(asked.wait.min(PATIENCE));
    let until = tokio::time::Instant::now() + patience;
    loop {
        let record = app.store().build(BuildId(build)).await?;
        let view = views::build(&app, &record).await?;
        if patience.is_zero() || view.jobs.iter().all(|job| job.is_over) {
            return Ok(Json(view));
        }
        let is_its = |event: &Event| match event {
            Event::Job(job) => view.jobs.iter().any(|one| one.id == job.0),
            Event::Queued | Event::Log(_) | Event::Published => false,
        };
        loop {
            match tokio::time::timeout_at(until, events.recv()).await {
                Ok(Ok(event)) if is_its(&event) => break,
                Ok(Ok(_)) => {}
                Ok(Err(RecvError::Lagged(_))) => break,
                Ok(Err(RecvError::Closed)) | Err(_) => return Ok(Json(view)),
            }
        }
    }
}

pub(crate) async fn cancel(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path(build): Path<i64>,
) -> Answer<Json<Build>> {
    let record: BuildRecord = app.store().build(BuildId(build)).await?;
    for job in app.store().jobs_of(record.id).await? {
        if !job.state.is_final() {
            app.flow.cancel(job.id).await?;
        }
    }
    app.note(&asker.label(), "build cancel", &build.to_string(), "").await;
    Ok(Json(views::build(&app, &record).await?))
}

/// What is to be built, checked: names are plain, a source package is one.
fn sources(app: &App, given: &Given) -> Answer<Sources> {
    let title = given.title.trim();
    if title.is_empty() || !words::is_line(title, 200) {
        return Err(Refused::wrong("a title is a short line of text"));
    }
    if let Some(remote) = remote_of(given)? {
        may_be_fetched(app, &remote)?;
        return Ok(Sources { title: title.to_owned(), source: Source::Remote(remote) });
    }
    let mut files = Vec::new();
    for (name, digest) in &given.files {
        let is_plain = !name.is_empty()
            && name.len() <= 240
            && !name.starts_with(['-', '.'])
            && !name.contains('/')
            && !name.chars().any(char::is_control);
        if !is_plain {
            let name = kiln_model::Foreign::new(name);
            return Err(Refused::wrong(format!("{name} is not a name that a source can have")));
        }
        let digest: Digest = digest.parse().map_err(Refused::wrong)?;
        let path = app.flow.cas().path(&digest);
        let size = std::fs::metadata(path).map(|about| about.len());
        let missing = |_| Refused::wrong(format!("the bytes of {name} were not uploaded"));
        files.push(SourceFile { name: name.clone(), digest, size: size.map_err(missing)? });
    }
    let source = match (&given.spec, &files[..]) {
        (Some(spec), _) if files.iter().any(|file| file.name == *spec) => {
            Source::Folder { spec: spec.clone(), files }
        }
        (Some(_), _) => return Err(Refused::wrong("the spec is not among the files")),
        (None, [package]) => {
            let mut reader = app.flow.cas().read(&package.digest)?;
            Facts::read_source(&mut reader).map_err(|error| {
                Refused::wrong(format!("{title} is not a source package: {error}"))
            })?;
            Source::Srpm(SourceFile { name: "source.src.rpm".to_owned(), ..package.clone() })
        }
        (None, _) => return Err(Refused::wrong("a source package is one file")),
    };
    Ok(Sources { title: title.to_owned(), source })
}

/// What is to be fetched, where that is what is given.
fn remote_of(given: &Given) -> Answer<Option<Remote>> {
    let has_files = !given.files.is_empty() || given.spec.is_some();
    let remote = match (&given.git, &given.address) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(Refused::wrong("git or an address, not both")),
        _ if has_files => return Err(Refused::wrong("files, or where to fetch them: not both")),
        (Some(git), None) => {
            let reference = git.reference.clone().unwrap_or_else(|| "HEAD".to_owned());
            remote::check_reference(&reference).map_err(Refused::wrong)?;
            let folder = git.folder.clone().filter(|folder| !folder.is_empty());
            folder.as_deref().map_or(Ok(()), remote::check_folder).map_err(Refused::wrong)?;
            Remote::Git { url: git.url.clone(), reference, folder }
        }
        (None, Some(address)) => {
            let digest = address.digest.as_deref().map(str::parse).transpose();
            let digest = digest.map_err(|error: kiln_model::DigestError| Refused::wrong(error))?;
            Remote::Srpm { url: address.url.clone(), digest }
        }
    };
    Ok(Some(remote))
}

/// The jail's door says so too; here it is said before anybody waits for it.
pub(super) fn may_be_fetched(app: &App, remote: &Remote) -> Answer<()> {
    let (Remote::Git { url, .. } | Remote::Srpm { url, .. }) = remote;
    let parts = remote::url(url).map_err(Refused::wrong)?;
    let outlets = &app.flow.fetching().outlets;
    match outlets.permit(parts.is_plain, parts.host, parts.port) {
        Permit::No => {
            let host = kiln_model::Foreign::new(parts.host);
            let error = format!("sources may not be fetched from {host}, or not like that");
            Err(Refused::wrong(error)
                .with_hint("an operator allows hosts: 'kiln up --source-host'"))
        }
        Permit::Public | Permit::Any => Ok(()),
    }
}
