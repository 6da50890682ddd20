//! A job: its stages, why it waits or failed, what it made.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use kiln_api::{Artifact, Attestation, Build, Job, Stage, Verification};
use kiln_model::{JobId, Match, Proof, Report};

use super::logfile::Window;
use super::{Shell, builds, log, page, to};
use crate::api::{self, views};
use crate::guard::Asker;
use crate::once::Key;
use crate::problem::Answer;
use crate::service::App;

/// How many lines of the log stand on a job's page.
const TAIL: u64 = 30;

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    shell: Shell,
    build: Build,
    job: Job,
    stages: Vec<Bar>,
    report: Option<Report>,
    tail: Window,
    error: Option<u64>,
    may_build: bool,
    /// Other jobs of the same package for the same target, to compare with.
    others: Vec<Other>,
    artifacts: Vec<Artifact>,
    evidence: Evidence,
    rebuilds: Vec<Verification>,
    proof: Option<Shown>,
}

/// What is said of how it was built, by those who sign what they say.
struct Evidence {
    provenance: Option<Attestation>,
    /// What became of building it again, each time.
    verdicts: Vec<Attestation>,
}

impl Evidence {
    fn of(all: Vec<Attestation>) -> Self {
        let (mut provenance, verdicts): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|one| one.kind == "provenance");
        Self { provenance: provenance.pop(), verdicts }
    }
}

/// A proof in the words of a page.
struct Shown {
    rebuild: i64,
    proof: Proof,
    /// What differs, a line each.
    differing: Vec<String>,
    /// What probably makes it differ, with what speaks for it.
    causes: Vec<(String, String)>,
}

impl Shown {
    fn of(rebuild: JobId, proof: Proof) -> Self {
        let artifacts = proof.comparison.as_ref().map(|found| &found.artifacts[..]);
        let (mut differing, mut causes) = (Vec::new(), Vec::new());
        for one in artifacts.unwrap_or_default().iter().filter(|one| one.state != Match::Same) {
            let first = one.differences.as_ref().and_then(|found| found.layers.first());
            let how = match (one.state, first) {
                (Match::Missing, _) => "did not come out again".to_owned(),
                (Match::Extra, _) => "came out only the second time".to_owned(),
                (_, Some(layer)) => format!("differs, first in {}", layer.name()),
                (_, None) => "differs".to_owned(),
            };
            differing.push(format!("{} {how}", one.name));
            let found = one.differences.iter().flat_map(|found| &found.causes);
            causes.extend(found.map(|cause| {
                let shown = cause
                    .evidence
                    .first()
                    .map(|one| format!("{}: {} | {}", one.place, one.original, one.rebuilt));
                (cause.kind.name().to_owned(), shown.unwrap_or_default())
            }));
        }
        Self { rebuild: rebuild.0, proof, differing, causes }
    }
}

/// A stage of the timeline, in tenths of a percent of the whole.
struct Bar {
    stage: Stage,
    from: u64,
    wide: u64,
}

struct Other {
    build: i64,
    job: i64,
    state: String,
}

pub(crate) async fn show(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path(job): Path<i64>,
) -> Answer<Response> {
    let record = app.store().job(JobId(job)).await?;
    let job = views::job(&app, &record).await?;
    let build = views::build(&app, &app.store().build(record.build).await?).await?;
    let error = match &record.report {
        Some(_) => log::error_line(&app, &record).await?,
        None => None,
    };
    let shell = Shell::of(&app, &asker, format!("{} for {}", build.title, job.target));
    page(&JobPage {
        shell,
        stages: bars(&job.stages),
        tail: log::tail(&app, &record, "build", TAIL).await?,
        may_build: builds::may_build(&app, &asker).await?,
        others: others(&app, &asker, &build, &job).await?,
        report: record.report,
        artifacts: job.artifacts.clone(),
        evidence: Evidence::of(api::evidence::of(&app, JobId(job.id)).await?),
        rebuilds: api::verdicts::of_job(&app, record.id).await?,
        proof: api::verdicts::last_proof(&app, record.id).await?.map(|(by, it)| Shown::of(by, it)),
        error,
        build,
        job,
    })
}

/// One behind the other, as they were.
fn bars(stages: &[Stage]) -> Vec<Bar> {
    let total = stages.iter().map(|stage| stage.wall_ms).sum::<u64>().max(1);
    let mut before = 0;
    let bar = |stage: &Stage| {
        let (from, wide) = (before * 1000 / total, stage.wall_ms * 1000 / total);
        before += stage.wall_ms;
        Bar { stage: stage.clone(), from, wide: wide.max(3) }
    };
    stages.iter().map(bar).collect()
}

async fn others(app: &App, asker: &Asker, build: &Build, job: &Job) -> Answer<Vec<Other>> {
    /// How far back is looked.
    const SEEN: i64 = 100;
    const SHOWN: usize = 5;
    let project = asker.project()?.id;
    let wanted = stem(&build.title);
    let mut found = Vec::new();
    for other in builds::seen(app, asker, Some(project), None, None, SEEN).await? {
        if stem(&other.title) != wanted {
            continue;
        }
        let same = |one: &Job| one.target == job.target && one.id != job.id && one.lock.is_some();
        let jobs = other.jobs.into_iter().filter(same);
        found.extend(jobs.map(|one| Other { build: other.id, job: one.id, state: one.state }));
    }
    found.truncate(SHOWN);
    Ok(found)
}

/// What builds of one package have in common: the file's name before its version.
fn stem(title: &str) -> &str {
    let is_version = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let cut = title.match_indices('-').find(|(at, _)| is_version(&title[at + 1..]));
    cut.map_or(title.trim_end_matches(".spec"), |(at, _)| &title[..at])
}

pub(crate) async fn resubmit(
    state: State<App>,
    asker: Extension<Asker>,
    job: Path<i64>,
) -> Answer<Response> {
    let (_, build) = api::jobs::resubmit(state, asker, job, Key::none()).await?;
    to(&format!("/builds/{}", build.0.id))
}

pub(crate) async fn verify(
    state: State<App>,
    asker: Extension<Asker>,
    Path(job): Path<i64>,
) -> Answer<Response> {
    api::verdicts::verify(state, asker, Path(job)).await.map(drop)?;
    to(&format!("/jobs/{job}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_of_one_package_share_a_stem() {
        for (title, shared) in [
            ("zlib-ng-2.1-3.src.rpm", "zlib-ng"),
            ("hello.spec", "hello"),
            ("hello-2.12-1.src.rpm", "hello"),
            ("-1", ""),
            ("ü-", "ü-"),
        ] {
            assert_eq!(stem(title), shared, "{title}");
        }
    }

    #[test]
    fn a_timeline_has_every_stage_at_its_place() {
        let stage = |wall_ms| Stage { stage: "run".into(), wall_ms, cpu_ms: 0, note: "".into() };
        let all = bars(&[stage(250), stage(0), stage(750)]);
        let places: Vec<_> = all.iter().map(|bar| (bar.from, bar.wide)).collect();
        assert_eq!(places, [(0, 250), (250, 3), (250, 750)]);
        assert!(bars(&[stage(0)])[0].wide == 3);
    }
}
