//! Building again, and holding against each other: from a record and a store of blobs alone, so
//! that what somebody else built is verified by the same steps.

use std::fs::File;

use kiln_flow::{RecallError, submission_of, target_of};
use kiln_model::{
    Isolation, IsolationBy, JobState, LeaseKey, Proof, Report, Variation, Variations, Verdict,
};
use kiln_prove::{Culprits, Outcome, Pair, Prover, surroundings};
use kiln_store::{Artifact, JobRecord};
use kiln_wire::worker::ClaimedArtifact;

use crate::Failure;
use crate::control::prover;
use crate::local::Local;
use crate::target::find_target;
use crate::ui::Ui;
use crate::verify::subject::Subject;

/// How something is verified.
#[derive(Debug)]
pub(crate) struct How {
    /// What is made different around the rebuild.
    pub(crate) variations: Variations,
    /// Whether to find out which of it makes the difference, where there is one.
    pub(crate) finds_culprits: bool,
    /// How many times it is built again.
    pub(crate) runs: u32,
    /// What stands between the rebuild and this host.
    pub(crate) isolation: Isolation,
}

/// One verification.
pub(crate) struct Prove<'a> {
    local: &'a Local,
    ui: &'a Ui,
    subject: &'a Subject,
    prover: Prover,
    /// What is wrong with the record, or missing.
    trouble: Option<(Verdict, Report)>,
    rebuilds: u32,
}

impl<'a> Prove<'a> {
    /// Prepares the verification of what a record says, all of which is in the store of `local`, or
    /// can be fetched by its digest.
    pub(crate) fn new(
        local: &'a mut Local,
        ui: &'a Ui,
        subject: &'a Subject,
    ) -> Result<Self, Failure> {
        let trouble = match local.flow.check_record(&subject.record) {
            Ok(recalled) => {
                // The target as it is known here, so that what the lock names can be fetched from
                // it; else one that is made of the lock.
                let known = find_target(recalled.lock.target.as_str()).ok();
                let bare = target_of(&recalled.lock);
                let fits = |known: &kiln_model::Target| {
                    known.name == bare.name
                        && known.profile.contains_key(recalled.lock.profile_name())
                };
                local.know(known.filter(fits).unwrap_or(bare));
                None
            }
            Err(error @ RecallError::Invalid { .. }) => {
                Some((Verdict::Invalid, Report::of(&error)))
            }
            Err(error @ RecallError::Unavailable { .. }) => {
                Some((Verdict::Unavailable, Report::of(&error)))
            }
            Err(error) => return Err(error.into()),
        };
        let prover = prover(&local.cas);
        Ok(Self { local, ui, subject, prover, trouble, rebuilds: 0 })
    }

    /// Verifies.
    pub(crate) fn run(mut self, how: &How) -> Result<Proof, Failure> {
        if let Some((verdict, report)) = self.trouble.take() {
            return Ok(self.proof(how, Outcome::Failed(verdict, report)));
        }
        let mut last = None;
        for run in 1..=how.runs {
            let what = match how.runs {
                1 => self.told(&how.variations),
                runs => format!("{}, {run} of {runs}", self.told(&how.variations)),
            };
            let rebuilt = self.rebuild(how.isolation, &how.variations, &what)?;
            let is_same = rebuilt.verdict() == Verdict::Reproduced;
            last = Some(rebuilt);
            if !is_same {
                break;
            }
        }
        let last = last.expect("there is one run at the least");
        let differs = last.verdict() != Verdict::Reproduced;
        let Culprits { culprits, is_unstable } = match differs && how.finds_culprits {
            true => self.culprits(how.isolation, &last)?,
            false => Culprits::default(),
        };
        let proof = self.proof(how, last);
        Ok(Proof { culprits, is_unstable, ..proof })
    }

    /// What makes the difference that came of everything at once.
    fn culprits(&mut self, isolation: Isolation, last: &Outcome) -> Result<Culprits, Failure> {
        let causes = match last {
            Outcome::Compared(comparison) => comparison.causes(),
            Outcome::Failed(..) => Vec::new(),
        };
        kiln_prove::culprits(&causes, |varied| {
            let variations = Variations::of(varied);
            let what = self.told(&variations);
            let rebuilt = self.rebuild(isolation, &variations, &what)?;
            Ok(rebuilt.verdict() != Verdict::Reproduced)
        })
    }

    fn told(&self, variations: &Variations) -> String {
        let words = |is_varied: bool| {
            let all = Variation::ALL.into_iter();
            let words = all.filter(|one| variations.has(*one) == is_varied).map(Variation::word);
            words.collect::<Vec<_>>()
        };
        let (varied, kept) = (words(true), words(false));
        match (varied.len(), kept.len()) {
            (0, _) => "with everything as it was".to_owned(),
            (_, 0) => "with everything different".to_owned(),
            (varied, kept_count) if kept_count < varied => {
                format!("with everything different but {}", kept.join(", "))
            }
            _ => format!("with another {}", varied.join(", ")),
        }
    }

    /// Builds it again and compares.
    fn rebuild(
        &mut self,
        isolation: Isolation,
        variations: &Variations,
        what: &str,
    ) -> Result<Outcome, Failure> {
        let record = &self.subject.record;
        self.ui.heading(&format!("{} again, {what}", record.title));
        let mut submission = submission_of(record);
        submission.settings.variations = variations.clone();
        // Whoever asks for this one: what was said for the first says nothing of it.
        submission.settings.isolation = isolation;
        submission.settings.isolation_by = IsolationBy::default();
        self.rebuilds += 1;
        let (job, key) = self.local.build(submission, false)?;
        if job.state == JobState::Cancelled {
            return Err(Failure::cancelled());
        }
        if job.state != JobState::Built {
            return self.failed(job);
        }
        let artifacts = self.local.record(job.id)?.artifacts;
        let rebuilt: Vec<ClaimedArtifact> = artifacts.into_iter().map(claimed).collect();
        let around = surroundings(record, variations);
        let logs = self.subject.attempt.and_then(|first| self.logs(first, key));
        let pair = Pair { original: &record.artifacts, rebuilt: &rebuilt, logs, around: &around };
        let comparison = self.prover.compare(&pair)?;
        self.ui.line(&format!("  {}", comparison.verdict));
        Ok(Outcome::Compared(comparison))
    }

    /// Why a rebuild failed: what it was to be built from is gone, or anything else.
    fn failed(&self, job: JobRecord) -> Result<Outcome, Failure> {
        let record = &self.subject.record;
        let recalled = self.local.flow.check_record(record)?;
        let packages = recalled.lock.every_package().chain(recalled.base.every_package());
        let missing = packages.filter(|package| !self.local.cas.has(&package.digest)).count();
        let report = job.report.unwrap_or_else(|| Report {
            fault: kiln_model::Fault::Kiln,
            error: format!("the rebuild ended as {}", job.state.word()),
            causes: Vec::new(),
            hint: None,
        });
        if missing == 0 {
            return Ok(Outcome::Failed(Verdict::Unbuilt, report));
        }
        let causes = std::iter::once(report.error).chain(report.causes).collect();
        let report = Report {
            error: format!("{missing} packages of its buildroot are not to be had any more"),
            causes,
            ..report
        };
        Ok(Outcome::Failed(Verdict::Unavailable, report))
    }

    fn logs(&self, first: LeaseKey, second: LeaseKey) -> Option<(File, File)> {
        let open = |key| File::open(self.local.flow.logs().path(key, "build")).ok();
        open(first).zip(open(second))
    }

    fn proof(&self, how: &How, outcome: Outcome) -> Proof {
        kiln_prove::proof(&self.subject.record, &how.variations, self.rebuilds, outcome)
    }
}

fn claimed(one: Artifact) -> ClaimedArtifact {
    let Artifact { name, digest, size, .. } = one;
    ClaimedArtifact { name, digest, size }
}

/// A proof that a service sent and that can't be read.
pub(crate) fn unread(why: &kiln_model::Foreign) -> Failure {
    let mut failure = Failure::caller(
        "the service sent a proof that this kiln can't read",
        Some("use a kiln of the service's version".to_owned()),
    );
    failure.0.causes.push(why.as_str().to_owned());
    failure
}
