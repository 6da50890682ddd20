//! What a buildroot was made of, why, and what is different in another one.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use kiln_access::Denied;
use kiln_api::Artifact;
use kiln_model::{JobId, Lock, LockedPackage, Reason, Role, Scope};
use kiln_resolve::{Changes, difference};
use kiln_store::JobRecord;

use super::{Shell, page};
use crate::api::views;
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

#[derive(Template)]
#[template(path = "buildroot.html")]
struct BuildrootPage {
    shell: Shell,
    job: JobRecord,
    lock: Lock,
    parts: [Part; 2],
}

struct Part {
    title: &'static str,
    rows: Vec<Row>,
}

struct Changed {
    title: &'static str,
    changes: Changes,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    shell: Shell,
    before: JobRecord,
    after: JobRecord,
    /// Nothing where one of them has no lock.
    other: Option<Vec<String>>,
    changed: Vec<Changed>,
    results: Vec<Compared>,
}

struct Row {
    nevra: String,
    size: u64,
    repo: String,
    why: String,
}

/// A file that one job or both made.
struct Compared {
    name: String,
    before: Option<Artifact>,
    after: Option<Artifact>,
}

impl Compared {
    fn verdict(&self) -> &'static str {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) if before.digest == after.digest => "the same bytes",
            (Some(_), Some(_)) => "other bytes",
            (Some(_), None) => "only before",
            (None, _) => "only after",
        }
    }
}

pub(crate) async fn buildroot(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path(job): Path<i64>,
) -> Answer<Response> {
    let job = app.store().job(JobId(job)).await?;
    let lock = lock_of(&app, &job).await?.ok_or_else(|| {
        Refused::none("buildroot of job", &job.id.to_string())
            .with_hint("it is known when a job was built")
    })?;
    let shell = Shell::of(&app, &asker, format!("Buildroot of job {}", job.id));
    let rows = |packages: &[LockedPackage]| packages.iter().map(row).collect();
    let parts = [
        Part { title: "Packages", rows: rows(&lock.packages) },
        Part { title: "Toolbox: installs the others", rows: rows(&lock.toolbox) },
    ];
    page(&BuildrootPage { shell, job, parts, lock })
}

fn row(package: &LockedPackage) -> Row {
    let why = match &package.why {
        Reason::Profile(requirement) => format!("the profile asks for {requirement}"),
        Reason::Build(requirement) => format!("the package asks for {requirement}"),
        Reason::Toolbox(requirement) => format!("the toolbox asks for {requirement}"),
        Reason::Package { of, requirement } => format!("{of} asks for {requirement}"),
    };
    let nevra = package.nevra.to_string();
    Row { nevra, size: package.size, repo: package.repo.clone(), why }
}

pub(crate) async fn compare(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((job, other)): Path<(i64, i64)>,
) -> Answer<Response> {
    let after = app.store().job(JobId(job)).await?;
    // The guard looked at the first one only.
    let before = seen(&app, &asker, JobId(other)).await?;
    let locks = (lock_of(&app, &before).await?, lock_of(&app, &after).await?);
    let difference = match &locks {
        (Some(before), Some(after)) => Some(difference(before, after)),
        _ => None,
    };
    let results = results(&app, &before, &after).await?;
    let title = format!("Job {} beside job {}", after.id, before.id);
    let shell = Shell::of(&app, &asker, title);
    let mut changed = Vec::new();
    let other = difference.map(|difference| {
        let both = [("Packages", difference.packages), ("Toolbox", difference.toolbox)];
        let is_empty =
            |it: &Changes| it.came.is_empty() && it.went.is_empty() && it.changed.is_empty();
        let both = both.into_iter().filter(|(_, changes)| !is_empty(changes));
        changed.extend(both.map(|(title, changes)| Changed { title, changes }));
        difference.other
    });
    page(&ComparePage { shell, before, after, other, changed, results })
}

/// A job, if who asks may read its project.
async fn seen(app: &App, asker: &Asker, job: JobId) -> Answer<JobRecord> {
    let hidden = || Refused::from(Denied::Hidden);
    let job = app.store().job(job).await.map_err(|_| hidden())?;
    let project = job.project.ok_or_else(hidden)?;
    let record = app.store().project_of(project).await?.ok_or_else(hidden)?;
    let role = match asker.principal.user() {
        Some(user) => app.store().role(project, user).await?,
        None => None,
    };
    let need = kiln_access::Need::Member(Role::Reader, Scope::Read);
    asker.principal.may(need, record.is_public, role)?;
    Ok(job)
}

async fn lock_of(app: &App, job: &JobRecord) -> Answer<Option<Lock>> {
    /// More than a lock of ten thousand packages.
    const CAP: u64 = 64 << 20;
    let Some(digest) = job.lock else { return Ok(None) };
    let bytes = app.flow.cas().read_to_vec(&digest, CAP)?;
    kiln_parse::lock::read(&bytes).map(Some).map_err(Refused::lost)
}

async fn results(app: &App, before: &JobRecord, after: &JobRecord) -> Answer<Vec<Compared>> {
    let old = views::job(app, before).await?.artifacts;
    let mut new = views::job(app, after).await?.artifacts;
    let mut all = Vec::new();
    for one in old {
        let at = new.iter().position(|other| other.name == one.name);
        let after = at.map(|at| new.remove(at));
        all.push(Compared { name: one.name.clone(), before: Some(one), after });
    }
    let came = |one: Artifact| Compared { name: one.name.clone(), before: None, after: Some(one) };
    all.extend(new.into_iter().map(came));
    Ok(all)
}
