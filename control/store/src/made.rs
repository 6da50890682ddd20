//! What a project has made of each source package, and what of it goes to another project.

use std::collections::BTreeMap;

use kiln_model::{BuildId, Digest, JobId, JobState, Nevra, ProjectId};
use serde_json::to_string as to_json;
use sqlx::Row;

use crate::builds::BuildRecord;
use crate::database::Write;
use crate::jobs::JSON;
use crate::records::{Artifact, JobRecord, Owner, Submitted};
use crate::{Store, StoreError};

/// The last good build of a source package.
#[derive(Debug, Clone)]
pub struct Made {
    /// The job.
    pub job: JobId,
    /// The lock that it was built with.
    pub lock: Option<Digest>,
    /// The source package.
    pub srpm: Nevra,
    /// Its binary packages.
    pub artifacts: Vec<Artifact>,
}

impl Store {
    /// What a project last built and published for a target, by the source package's name.
    pub async fn made(
        &self,
        project: ProjectId,
        target: &str,
    ) -> Result<BTreeMap<String, Made>, StoreError> {
        let text = "SELECT jobs.id, jobs.lock, artifacts.name, artifacts.nevra, artifacts.digest,
                    artifacts.size FROM jobs JOIN artifacts ON artifacts.job = jobs.id
                    WHERE jobs.project = $1 AND jobs.target = $2 AND jobs.state = 'built'
                    AND jobs.snapshot IS NOT NULL ORDER BY jobs.id, artifacts.name";
        let query = sqlx::query(text).bind(project.0).bind(target);
        let mut jobs: BTreeMap<i64, (Option<Digest>, Vec<Artifact>)> = BTreeMap::new();
        for row in self.list("listing what was made", query).await? {
            let id: i64 = row.get("id");
            let wrong = |field| StoreError::Record { job: JobId(id), field };
            let lock: Option<&str> = row.get("lock");
            let lock = lock.map(str::parse).transpose().map_err(|_| wrong("lock"))?;
            let artifact = Artifact {
                name: row.get("name"),
                nevra: row.get::<&str, _>("nevra").parse().map_err(|_| wrong("artifact"))?,
                digest: row.get::<&str, _>("digest").parse().map_err(|_| wrong("artifact"))?,
                size: row.get::<i64, _>("size").unsigned_abs(),
            };
            jobs.entry(id).or_insert((lock, Vec::new())).1.push(artifact);
        }
        let mut made = BTreeMap::new();
        for (id, (lock, artifacts)) in jobs {
            let (sources, artifacts): (Vec<_>, Vec<_>) =
                artifacts.into_iter().partition(|one| one.nevra.arch() == "src");
            let Some(source) = sources.into_iter().next() else { continue };
            let name = source.nevra.name().to_owned();
            made.insert(name, Made { job: JobId(id), lock, srpm: source.nevra, artifacts });
        }
        Ok(made)
    }

    /// Takes what jobs of a build made over into another project: they stand there as built, and
    /// are published as what is built there is.
    pub async fn promote(
        &self,
        build: &BuildRecord,
        jobs: &[JobRecord],
        owner: &Owner,
        now: i64,
    ) -> Result<Submitted, StoreError> {
        let mut write = self.write("promoting a build").await?;
        let text = "INSERT INTO builds
            (submitted_at, title, source, project, submitter, is_scratch, promoted, origin)
            VALUES ($1, $2, $3, $4, $5, 0, $6, $7) RETURNING id";
        let insert = sqlx::query(text)
            .bind(now)
            .bind(&build.title)
            .bind(to_json(&build.source).expect(JSON))
            .bind(owner.project.0)
            .bind(owner.submitter.0)
            .bind(build.id.0)
            .bind(build.origin.as_ref().map(|origin| to_json(origin).expect(JSON)));
        let id = BuildId(write.one(insert).await?.get(0));
        let mut made = Vec::new();
        for job in jobs {
            made.push(take_over(&mut write, id, job, owner, now).await?);
        }
        write.commit().await?;
        Ok(Submitted { build: id, jobs: made })
    }

    /// Whether a project has taken something over from another for a target that is still kept.
    pub async fn has_promoted(&self, project: ProjectId, target: &str) -> Result<bool, StoreError> {
        let text = "SELECT 1 FROM builds JOIN jobs ON jobs.build = builds.id
                    WHERE builds.project = $1 AND builds.promoted IS NOT NULL
                    AND jobs.target = $2 AND jobs.faded_at IS NULL LIMIT 1";
        let query = sqlx::query(text).bind(project.0).bind(target);
        Ok(self.find("asking what was taken over", query).await?.is_some())
    }
}

/// A job that was built elsewhere, with all that keeps what it names from being removed.
async fn take_over(
    write: &mut Write,
    build: BuildId,
    job: &JobRecord,
    owner: &Owner,
    now: i64,
) -> Result<JobId, StoreError> {
    let text = "INSERT INTO jobs (build, settings, limits, state, queued_at, ended_at, lock,
                project, submitter, target, arch, publishes)
                VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10, 1) RETURNING id";
    let insert = sqlx::query(text)
        .bind(build.0)
        .bind(to_json(&job.settings).expect(JSON))
        .bind(to_json(&job.limits).expect(JSON))
        .bind(JobState::Built.word())
        .bind(now)
        .bind(job.lock.map(|lock| lock.to_string()))
        .bind(owner.project.0)
        .bind(owner.submitter.0)
        .bind(job.settings.target.as_str())
        .bind(&job.settings.arch);
    let id = JobId(write.one(insert).await?.get(0));
    let text = "INSERT INTO artifacts (job, name, nevra, digest, size)
                SELECT $1, name, nevra, digest, size FROM artifacts WHERE job = $2";
    write.run(sqlx::query(text).bind(id.0).bind(job.id.0)).await?;
    if let Some(lock) = job.lock {
        let text = "INSERT INTO locks (job, epoch, digest) VALUES ($1, 0, $2)";
        write.run(sqlx::query(text).bind(id.0).bind(lock.to_string())).await?;
        // And those that its source package was made on, which a rebuild needs as well.
        let text = "INSERT INTO locks (job, epoch, digest) SELECT $1, 0, digest FROM locks
                    WHERE job = $2 AND epoch = (SELECT epoch FROM jobs WHERE id = $2)
                    ON CONFLICT DO NOTHING";
        write.run(sqlx::query(text).bind(id.0).bind(job.id.0)).await?;
    }
    Ok(id)
}
