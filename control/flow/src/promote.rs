//! Promoting: what was built in one project is published in another, without building it again.

use kiln_model::{BuildId, JobState, UserId};
use kiln_store::{JobRecord, Owner, ProjectRecord, Submitted};

use crate::events::Event;
use crate::life::Flow;
use crate::service::OrderError;

impl Flow {
    /// Takes the results of a build over into `project`: of its jobs, those that were built for a
    /// target that the project is built for. They are published as what is built there is: signed
    /// with that project's key, and refused where a package of that name has other bytes.
    pub async fn promote(
        &self,
        build: BuildId,
        project: &ProjectRecord,
        by: UserId,
    ) -> Result<Submitted, OrderError> {
        let record = self.store.build(build).await?;
        let repos = self.store.repos(project.id).await?;
        let is_enabled = |job: &JobRecord| {
            repos.iter().any(|it| it.is_enabled && it.target == job.settings.target.as_str())
        };
        let jobs: Vec<JobRecord> = self.store.jobs_of(build).await?;
        let jobs: Vec<JobRecord> = jobs
            .into_iter()
            .filter(|job| job.state == JobState::Built && is_enabled(job))
            .collect();
        if record.is_scratch || record.project == Some(project.id) || jobs.is_empty() {
            let project = project.name.clone();
            return Err(OrderError::NothingToPromote { build, project });
        }
        let owner = Owner { project: project.id, submitter: by, is_scratch: false, hook: None };
        let made = self.store.promote(&record, &jobs, &owner, self.now()).await?;
        for job in &made.jobs {
            self.events.tell(Event::Job(*job));
        }
        Ok(made)
    }
}
