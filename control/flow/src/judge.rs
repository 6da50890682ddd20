//! Rebuilds of a service: asked for, leased as any other job at background priority, and when they
//! are over held against what came out first.

use std::fs::File;

use kiln_cas::CasError;
use kiln_model::{Fault, Faulty, JobId, JobState, LeaseKey, Report, UserId, Variations, Verdict};
use kiln_prove::{Outcome, Pair, ProveError, Prover, proof, surroundings};
use kiln_store::{
    Artifact, JobRecord, NewBuild, NewJob, Owner, Spared, StoreError, Submitted, VerdictRecord,
    Work, WorkerState,
};
use kiln_wire::record::Record;
use kiln_wire::worker::ClaimedArtifact;

use crate::events::Event;
use crate::life::{Flow, FlowError, Submission};
use crate::recall::{RecallError, submission_of};

/// For how long a rebuild waits for another worker than the one that built it first, in
/// milliseconds.
const SPARED: i64 = 15 * 60 * 1000;

/// How lately a worker must have been heard of to count as one that could take it, likewise.
const LATELY: i64 = 5 * 60 * 1000;

/// Why nothing is built again.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing that it could be built again from.
    #[error(transparent)]
    Recall(#[from] RecallError),
    /// The flow refused.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// Nothing could be compared.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// It is a rebuild itself.
    #[error("job {0} is a rebuild itself")]
    Rebuild(JobId),
    /// A thread of ours was lost.
    #[error("comparing builds: {0}")]
    Lost(String),
}

impl Faulty for VerifyError {
    fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::Recall(error) => error.fault(),
            Self::Flow(error) => error.fault(),
            Self::Prove(error) => error.fault(),
            Self::Rebuild(_) => Fault::Caller,
            Self::Lost(_) => Fault::Kiln,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Recall(error) => error.hint(),
            Self::Flow(error) => error.hint(),
            Self::Prove(error) => error.hint(),
            Self::Rebuild(_) => Some("verify the job that it rebuilds".to_owned()),
            Self::Lost(_) => None,
        }
    }
}

impl Flow {
    /// Has a job built again at background priority, by another worker than the first time where
    /// there is one. What comes of it is judged when it is over.
    pub async fn verify(&self, job: JobId, by: UserId) -> Result<Submitted, VerifyError> {
        if self.store.verdict_by(job).await?.is_some() {
            return Err(VerifyError::Rebuild(job));
        }
        let first = self.store.job(job).await?;
        let record = self.recall(job).await?;
        self.check_record(&record)?;
        let none = || StoreError::None { what: "project of this job", name: job.to_string() };
        let project = first.project.ok_or_else(none)?;
        let Submission { title, source, settings, limits } = submission_of(&record);
        let new =
            NewJob { settings, limits, is_background: true, priority: 0, waits_for: Vec::new() };
        // Nothing of it is published: it is there to be compared.
        let owner = Owner { project, submitter: by, is_scratch: true, hook: None };
        let build = NewBuild { title, source, jobs: vec![new], owner: Some(owner), origin: None };
        let spared = self.spared(&first).await?;
        let made = self.store.submit_rebuild(&build, job, spared.as_ref(), self.now()).await?;
        for job in &made.jobs {
            self.events.tell(Event::Job(*job));
        }
        self.events.tell(Event::Queued);
        Ok(made)
    }

    /// The worker that built it, where another one could build it again.
    async fn spared(&self, first: &JobRecord) -> Result<Option<Spared>, StoreError> {
        let Some(worker) = first.worker.clone() else { return Ok(None) };
        let now = self.now();
        let workers = self.store.workers().await?;
        let could = workers.iter().any(|one| {
            one.name != worker
                && one.arch == first.settings.arch
                && one.state == WorkerState::Active
                && one.seen_at.is_some_and(|at| at > now - LATELY)
        });
        Ok(could.then(|| Spared { worker, until: now + SPARED }))
    }

    /// Has a job that was just built built again, where its project wants that. That it can't be is
    /// no reason to undo the build.
    pub(crate) async fn verify_if_wanted(&self, job: &JobRecord) {
        let (Some(project), Some(by), true) = (job.project, job.submitter, job.publishes) else {
            return;
        };
        let wanted = match self.store.project_of(project).await {
            Ok(found) => found.is_some_and(|project| project.settings.verify),
            Err(error) => {
                tracing::error!(job = %job.id, %error, "asking whether to verify");
                false
            }
        };
        if wanted && let Err(error) = self.verify(job.id, by).await {
            let report = Report::of(&error);
            tracing::error!(job = %job.id, error = report.error, "not queued to be verified");
        }
    }
}

/// Judges rebuilds that are over.
pub struct Judge {
    flow: Flow,
    prover: Prover,
}

impl Judge {
    /// A judge over a flow.
    pub fn new(flow: Flow, prover: Prover) -> Self {
        Self { flow, prover }
    }

    /// Judges every rebuild that is over and was not judged yet. One process at a time: what an
    /// examiner looks at costs memory and time.
    pub async fn judge_ready(&self) -> Result<(), VerifyError> {
        if self.flow.store().unjudged().await?.is_empty() {
            return Ok(());
        }
        let _turn = self.flow.store().turn(Work::Judge).await?;
        for one in self.flow.store().unjudged().await? {
            // One that can't be judged keeps none of the others from it.
            if let Err(error) = self.judge(&one).await {
                let report = Report::of(&error);
                tracing::error!(rebuild = %one.rebuild, error = report.error, "not judged");
            }
        }
        Ok(())
    }

    async fn judge(&self, one: &VerdictRecord) -> Result<(), VerifyError> {
        let flow = &self.flow;
        let record = flow.recall(one.job).await?;
        let rebuild = flow.store().job(one.rebuild).await?;
        let outcome = match rebuild.state {
            JobState::Built => match self.compare(&record, one, &rebuild).await {
                // What came out first was let go of meanwhile.
                Err(VerifyError::Prove(error @ ProveError::Cas(CasError::Missing(_)))) => {
                    Outcome::Failed(Verdict::Unavailable, Report::of(&error))
                }
                compared => compared?,
            },
            JobState::Queued | JobState::Leased => return Ok(()),
            JobState::Failed | JobState::Cancelled => failed(flow, &record, rebuild),
        };
        let proof = proof(&record, &Variations::default(), 1, outcome);
        let json = serde_json::to_vec_pretty(&proof).expect("types of our own always serialise");
        let digest = flow.cas().insert_bytes(&json).map_err(FlowError::from)?;
        flow.synced(vec![digest]).await?;
        flow.store().judge(one.rebuild, proof.verdict, digest, flow.now()).await?;
        tracing::info!(job = %one.job, rebuild = %one.rebuild, verdict = %proof.verdict, "judged");
        flow.events().tell(Event::Job(one.job));
        flow.events().tell(Event::Job(one.rebuild));
        Ok(())
    }

    async fn compare(
        &self,
        record: &Record,
        one: &VerdictRecord,
        rebuild: &JobRecord,
    ) -> Result<Outcome, VerifyError> {
        let flow = &self.flow;
        let epoch = flow.store().job(one.job).await?.epoch;
        let first = LeaseKey { job: one.job, epoch };
        let second = LeaseKey { job: one.rebuild, epoch: rebuild.epoch };
        let log = |key| File::open(flow.logs().path(key, "build")).ok();
        let logs = log(first).zip(log(second));
        let claimed = |one: Artifact| {
            let Artifact { name, digest, size, .. } = one;
            ClaimedArtifact { name, digest, size }
        };
        let rebuilt = flow.store().artifacts(one.rebuild).await?.into_iter().map(claimed);
        let (original, rebuilt) = (record.artifacts.clone(), rebuilt.collect::<Vec<_>>());
        let around = surroundings(record, &Variations::default());
        let prover = self.prover.clone();
        // It may take minutes: elsewhere, so that nobody's request waits for it.
        let compared = tokio::task::spawn_blocking(move || {
            let pair = Pair { original: &original, rebuilt: &rebuilt, logs, around: &around };
            prover.compare(&pair)
        });
        let compared = compared.await.map_err(|lost| VerifyError::Lost(lost.to_string()))??;
        Ok(Outcome::Compared(compared))
    }
}

/// Why a rebuild failed: what it was to be built from is gone, or anything else.
fn failed(flow: &Flow, record: &Record, rebuild: JobRecord) -> Outcome {
    let report = rebuild.report.unwrap_or_else(|| Report {
        fault: Fault::Caller,
        error: format!("the rebuild ended as {}", rebuild.state.word()),
        causes: Vec::new(),
        hint: None,
    });
    let missing = match flow.check_record(record) {
        Ok(recalled) => {
            recalled.lock.every_package().filter(|one| !flow.cas().has(&one.digest)).count()
        }
        Err(error @ RecallError::Unavailable { .. }) => {
            return Outcome::Failed(Verdict::Unavailable, Report::of(&error));
        }
        Err(error) => return Outcome::Failed(Verdict::Invalid, Report::of(&error)),
    };
    match missing {
        0 => Outcome::Failed(Verdict::Unbuilt, report),
        count => {
            let causes = std::iter::once(report.error).chain(report.causes).collect();
            let error = format!("{count} packages of its buildroot are not to be had any more");
            Outcome::Failed(Verdict::Unavailable, Report { error, causes, ..report })
        }
    }
}
