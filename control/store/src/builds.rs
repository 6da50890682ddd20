//! Builds: submitted with their jobs, listed, kept and forgotten.

use kiln_model::{BuildId, Digest, JobId, JobState, ProjectId, UserId};
use kiln_wire::worker::Source;
use serde_json::to_string as to_json;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::database::Write;
use crate::jobs::{JOB, JSON, record};
use crate::once::{self, Once};
use crate::origin::Origin;
use crate::outbox::{What, announce};
use crate::records::{JobRecord, Kept, NewBuild, NewJob, Owner, Submitted, Turns};
use crate::{Store, StoreError};

/// A build as it was submitted.
#[derive(Debug, Clone)]
pub struct BuildRecord {
    /// Its id.
    pub id: BuildId,
    /// What a person calls it.
    pub title: String,
    /// What is built.
    pub source: Source,
    /// When it was submitted, in milliseconds since 1970.
    pub submitted_at: i64,
    /// The project, where it is of one.
    pub project: Option<ProjectId>,
    /// Who submitted it.
    pub submitter: Option<UserId>,
    /// Whether it is only tried.
    pub is_scratch: bool,
    /// The build whose results these are, where nothing was built anew.
    pub promoted: Option<BuildId>,
    /// Where its source was fetched from, once it was.
    pub origin: Option<Origin>,
}

/// Which builds are asked for: the newest that are older than `before`.
#[derive(Debug, Clone, Default)]
pub struct BuildsAsked {
    /// Of one project alone.
    pub project: Option<ProjectId>,
    /// Only those of public projects and of those that this user is a member of; all where
    /// nobody is named.
    pub seen_by: Option<UserId>,
    /// Of public projects alone, as somebody who is not signed in sees them.
    pub is_anonymous: bool,
    /// Only those with a job in this state.
    pub state: Option<JobState>,
    /// Only those whose id is lower: where the page before ended.
    pub before: Option<BuildId>,
    /// At most so many.
    pub count: i64,
}

impl Store {
    /// Stores a build with its jobs, each queued.
    pub async fn submit(&self, build: &NewBuild, now: i64) -> Result<Submitted, StoreError> {
        let mut write = self.write_for_good("storing a build").await?;
        let submitted = submit(&mut write, build, now).await?;
        write.commit().await?;
        Ok(submitted)
    }

    /// As [`Store::submit`] for all of them or none, in turns; each job waits for those at its place
    /// in the builds that its own comes after. What was asked for once is not stored again.
    pub async fn submit_all(
        &self,
        builds: &[NewBuild],
        turns: &Turns,
        once: Option<&Once>,
        now: i64,
    ) -> Result<Vec<Submitted>, StoreError> {
        let mut write = self.write_for_good("storing builds").await?;
        if let Some(made) = once::begin(&mut write, once, now).await? {
            return again(&mut write, &made).await;
        }
        let mut made: Vec<Option<Submitted>> = vec![None; builds.len()];
        for turn in &turns.order {
            let mut build = builds[*turn].clone();
            for before in turns.after[*turn].iter().filter_map(|before| made[*before].as_ref()) {
                for (job, before) in build.jobs.iter_mut().zip(&before.jobs) {
                    job.waits_for.push(*before);
                }
            }
            made[*turn] = Some(submit(&mut write, &build, now).await?);
        }
        let made: Vec<Submitted> = made.into_iter().flatten().collect();
        let ids = made.iter().map(|one| one.build.0).collect();
        once::end(&mut write, once, ids).await?;
        write.commit().await?;
        Ok(made)
    }

    /// A build.
    pub async fn build(&self, id: BuildId) -> Result<BuildRecord, StoreError> {
        let query = sqlx::query("SELECT * FROM builds WHERE id = $1").bind(id.0);
        let row = self.find("reading a build", query).await?;
        build_record(&row.ok_or(StoreError::None { what: "build", name: id.to_string() })?)
    }

    /// The jobs of a build, in the order in which they were given.
    pub async fn jobs_of(&self, build: BuildId) -> Result<Vec<JobRecord>, StoreError> {
        let text = AssertSqlSafe(format!("{JOB} WHERE jobs.build = $1 ORDER BY jobs.id"));
        let rows = self.list("reading the jobs of a build", sqlx::query(text).bind(build.0));
        rows.await?.iter().map(record).collect()
    }

    /// Builds, the newest first.
    pub async fn builds(&self, asked: &BuildsAsked) -> Result<Vec<BuildRecord>, StoreError> {
        const TEXT: &str = "SELECT * FROM builds
            WHERE project IS NOT NULL
            AND ($1 IS NULL OR project = $1)
            AND ($2 IS NULL OR id < $2)
            AND ($3 IS NULL OR EXISTS
                 (SELECT 1 FROM jobs WHERE jobs.build = builds.id AND jobs.state = $3))
            AND ($4 = 0 OR EXISTS (SELECT 1 FROM projects WHERE projects.id = builds.project
                 AND (projects.is_public = 1 OR EXISTS
                      (SELECT 1 FROM members
                       WHERE members.project = projects.id AND members.member = $5))))
            ORDER BY id DESC LIMIT $6";
        let is_limited = asked.is_anonymous || asked.seen_by.is_some();
        let query = sqlx::query(TEXT)
            .bind(asked.project.map(|project| project.0))
            .bind(asked.before.map(|before| before.0))
            .bind(asked.state.map(JobState::word))
            .bind(i64::from(is_limited))
            .bind(asked.seen_by.map_or(0, |user| user.0))
            .bind(asked.count);
        self.list("listing builds", query).await?.iter().map(build_record).collect()
    }

    /// What the kept builds name. What a lock or a list of a snapshot names in turn is for the
    /// caller to read from it.
    pub async fn kept(&self) -> Result<Kept, StoreError> {
        const DOING: &str = "listing what is kept";
        let digests = |rows: Vec<AnyRow>| -> Vec<Digest> {
            rows.iter().filter_map(|row| row.get::<&str, _>(0).parse().ok()).collect()
        };
        let of = |text: &'static str| self.list(DOING, sqlx::query(text));
        let mut blobs = digests(of("SELECT DISTINCT digest FROM artifacts").await?);
        blobs.extend(digests(of("SELECT envelope FROM attestations").await?));
        blobs.extend(digests(of("SELECT proof FROM verdicts WHERE proof IS NOT NULL").await?));
        let mut lists = digests(of("SELECT DISTINCT files FROM snapshots").await?);
        lists.extend(digests(of("SELECT DISTINCT packages FROM snapshots").await?));
        let unfaded = "SELECT source FROM builds
            WHERE EXISTS (SELECT 1 FROM jobs WHERE jobs.build = builds.id AND faded_at IS NULL)";
        for row in of(unfaded).await? {
            if let Ok(source) = serde_json::from_str::<Source>(row.get("source")) {
                blobs.extend(source.files().iter().map(|file| file.digest));
            }
        }
        let locks = digests(of("SELECT DISTINCT digest FROM locks").await?);
        Ok(Kept { locks, blobs, lists })
    }

    /// Forgets the builds of nobody's all of whose jobs ended before a moment; tells how many.
    pub async fn forget(&self, before: i64) -> Result<u64, StoreError> {
        let mut write = self.write("forgetting builds").await?;
        let old = "SELECT build FROM jobs WHERE project IS NULL GROUP BY build
                   HAVING COUNT(*) = COUNT(ended_at) AND MAX(ended_at) < $1";
        for table in ["stages", "locks", "artifacts", "outbox"] {
            let jobs = format!("SELECT id FROM jobs WHERE build IN ({old})");
            let text = AssertSqlSafe(format!("DELETE FROM {table} WHERE job IN ({jobs})"));
            write.run(sqlx::query(text).bind(before)).await?;
        }
        let jobs = format!("SELECT id FROM jobs WHERE build IN ({old})");
        for column in ["rebuild", "job"] {
            let text = AssertSqlSafe(format!("DELETE FROM verdicts WHERE {column} IN ({jobs})"));
            write.run(sqlx::query(text).bind(before)).await?;
        }
        let text = AssertSqlSafe(format!("DELETE FROM jobs WHERE build IN ({old})"));
        write.run(sqlx::query(text).bind(before)).await?;
        let text = "DELETE FROM builds WHERE id NOT IN (SELECT build FROM jobs)";
        let gone = write.run(sqlx::query(text)).await?;
        write.commit().await?;
        Ok(gone)
    }
}

/// What a request made that is made again.
async fn again(write: &mut Write, made: &[i64]) -> Result<Vec<Submitted>, StoreError> {
    let mut builds = Vec::new();
    for build in made {
        let text = "SELECT id FROM jobs WHERE build = $1 ORDER BY id";
        let rows = write.list(sqlx::query(text).bind(*build)).await?;
        let jobs = rows.iter().map(|row| JobId(row.get(0))).collect();
        builds.push(Submitted { build: BuildId(*build), jobs });
    }
    Ok(builds)
}

pub(crate) async fn submit(
    write: &mut Write,
    build: &NewBuild,
    now: i64,
) -> Result<Submitted, StoreError> {
    let project = build.owner.map(|owner| owner.project.0);
    let submitter = build.owner.map(|owner| owner.submitter.0);
    let is_scratch = build.owner.is_some_and(|owner| owner.is_scratch);
    let text = "INSERT INTO builds
                (submitted_at, title, source, project, submitter, is_scratch, origin, hook)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
    let insert = sqlx::query(text)
        .bind(now)
        .bind(&build.title)
        .bind(to_json(&build.source).expect(JSON))
        .bind(project)
        .bind(submitter)
        .bind(i64::from(is_scratch))
        .bind(build.origin.as_ref().map(|origin| to_json(origin).expect(JSON)))
        .bind(build.owner.and_then(|owner| owner.hook));
    let id = BuildId(write.one(insert).await?.get(0));
    if let Some(Owner { project, .. }) = &build.owner {
        begin_share(write, *project).await?;
    }
    let mut jobs = Vec::new();
    for job in &build.jobs {
        jobs.push(queue(write, id, build.owner.as_ref(), job, now).await?);
    }
    Ok(Submitted { build: id, jobs })
}

/// A project that had nothing to build begins where the others are: nobody saves up turns.
async fn begin_share(write: &mut Write, project: ProjectId) -> Result<(), StoreError> {
    let text = "UPDATE projects SET served = (SELECT floor FROM queue)
                WHERE id = $1 AND served < (SELECT floor FROM queue) AND NOT EXISTS
                (SELECT 1 FROM jobs WHERE project = $1 AND state IN ('queued', 'leased'))";
    write.run(sqlx::query(text).bind(project.0)).await.map(drop)
}

async fn queue(
    write: &mut Write,
    build: BuildId,
    owner: Option<&Owner>,
    job: &NewJob,
    now: i64,
) -> Result<JobId, StoreError> {
    let mut causes = Vec::new();
    for cause in &job.waits_for {
        if !is_published(write, *cause).await? {
            causes.push(*cause);
        }
    }
    let text = "INSERT INTO jobs (build, settings, limits, state, queued_at, project, submitter,
                target, arch, background, priority, waits, publishes, isolation)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
                RETURNING id";
    let publishes = owner.is_some_and(|owner| !owner.is_scratch);
    let insert = sqlx::query(text)
        .bind(build.0)
        .bind(to_json(&job.settings).expect(JSON))
        .bind(to_json(&job.limits).expect(JSON))
        .bind(JobState::Queued.word())
        .bind(now)
        .bind(owner.map(|owner| owner.project.0))
        .bind(owner.map(|owner| owner.submitter.0))
        .bind(job.settings.target.as_str())
        .bind(&job.settings.arch)
        .bind(i64::from(job.is_background))
        .bind(job.priority)
        .bind(causes.len() as i64)
        .bind(i64::from(publishes))
        .bind(job.settings.isolation.word());
    let id = JobId(write.one(insert).await?.get(0));
    for cause in causes {
        let text = "INSERT INTO waits (job, waits_for) VALUES ($1, $2)";
        write.run(sqlx::query(text).bind(id.0).bind(cause.0)).await?;
    }
    announce(write, id, What::Queued, now).await?;
    Ok(id)
}

/// Whether what a job makes can be seen by those that come after it; one that never will is an
/// error.
async fn is_published(write: &mut Write, cause: JobId) -> Result<bool, StoreError> {
    let text = write.locking("SELECT state, publishes, snapshot FROM jobs WHERE id = $1");
    let row = write.find(sqlx::query(text).bind(cause.0)).await?;
    let row = row.ok_or(StoreError::NoJob(cause))?;
    if row.get::<Option<i64>, _>("snapshot").is_some() {
        return Ok(true);
    }
    let state = JobState::from_word(row.get("state"));
    let will_be = matches!(state, Some(JobState::Queued | JobState::Leased | JobState::Built))
        && row.get::<i64, _>("publishes") != 0;
    if will_be { Ok(false) } else { Err(StoreError::Never(cause)) }
}

fn build_record(row: &AnyRow) -> Result<BuildRecord, StoreError> {
    let wrong = |field| StoreError::Row { what: "a build", field };
    let origin: Option<&str> = row.get("origin");
    Ok(BuildRecord {
        id: BuildId(row.get("id")),
        title: row.get("title"),
        source: serde_json::from_str(row.get("source")).map_err(|_| wrong("source"))?,
        submitted_at: row.get("submitted_at"),
        project: row.get::<Option<i64>, _>("project").map(ProjectId),
        submitter: row.get::<Option<i64>, _>("submitter").map(UserId),
        is_scratch: row.get::<i64, _>("is_scratch") != 0,
        promoted: row.get::<Option<i64>, _>("promoted").map(BuildId),
        origin: origin.map(serde_json::from_str).transpose().map_err(|_| wrong("origin"))?,
    })
}
