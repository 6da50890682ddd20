//! One round: an attack against one kind of jail, and what is seen of it from outside.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use kiln_flow::Submission;
use kiln_jail::Barrier;
use kiln_model::{Fault, Foreign, Isolation, JobState, LeaseKey};
use kiln_store::JobRecord;

use crate::Failure;
use crate::chain::Chain;
use crate::failure::doing;
use crate::folders::Folders;
use crate::local::Local;
use crate::options::BuildPlan;
use crate::results::made_of;
use crate::sources;
use crate::ui::Ui;

use super::Played;
use super::attacks::{Attack, SPEC, Shown, Verdict};
use super::ground::Ground;
use super::left::Before;
use super::lie::{self, Lie};

/// How much of a log is looked at.
const LOG: u64 = 4 << 20;

/// How much memory this process may take for whatever is handed in, in KiB.
const MEMORY: u64 = 128 << 10;

/// What an attack is tried against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Jail {
    /// One that has all that it should.
    Whole,
    /// One without what stops the attack.
    Weakened,
}

/// An attack, and what it is tried against.
pub(super) struct Round<'a> {
    pub(super) folders: &'a Folders,
    pub(super) plan: &'a BuildPlan,
    pub(super) attack: &'a Attack,
    pub(super) isolation: Isolation,
    pub(super) ui: Arc<Ui>,
}

/// What came of a round.
#[derive(Debug)]
pub(super) struct Ruling {
    /// Whether the attack got through.
    pub(super) verdict: Verdict,
    /// What of the host was harmed or is left; always empty for a whole jail.
    pub(super) harm: Vec<String>,
    /// How its build ended.
    pub(super) end: String,
    /// How long it took, in milliseconds.
    pub(super) wall_ms: u64,
}

/// What is known of a build that is over.
struct Seen {
    job: JobRecord,
    logs: String,
    artifacts: Vec<String>,
    /// Which of its lies were built, as if they were true.
    believed: Vec<Lie>,
}

impl Round<'_> {
    /// Plays it.
    pub(super) fn play(&self, jail: Jail) -> Played {
        let began = Instant::now();
        let mut ground = Ground::make(self.folders.data()).map_err(doing("making canaries"))?;
        let folder = tempfile::tempdir().map_err(doing("making a folder for an attack"))?;
        let before = Before::look(self.folders);
        let usual = lie::peak();
        let seen = self.build_all(jail, &ground, folder.path());
        let peak = lie::peak();
        let (verdict, end) = match &seen {
            Ok((local, seen)) => (self.judge(local, seen, &ground)?, told(&seen.job)),
            // Refused before there was a build.
            Err(failure) if !self.attack.about.runs && failure.0.fault == Fault::Caller => {
                let told = failure.0.error.clone();
                let is_out = told.contains(&ground.word);
                (if is_out { Verdict::Reached } else { Verdict::Held }, told)
            }
            Err(failure) => return Err(Failure(failure.0.clone())),
        };
        drop(seen);
        let mut harm = ground.harmed();
        harm.extend(before.left(self.folders));
        if !self.attack.about.lies.is_empty() && peak > usual + MEMORY {
            harm.push(format!("this process took {peak} KiB, and {usual} before"));
        }
        let wall_ms = began.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        Ok(Ruling { verdict, harm, end, wall_ms })
    }

    fn build_all(
        &self,
        jail: Jail,
        ground: &Ground,
        folder: &Path,
    ) -> Result<(Local, Seen), Failure> {
        let about = &self.attack.about;
        let without: &[Barrier] = match jail {
            Jail::Whole => &[],
            Jail::Weakened => &about.without,
        };
        let target = Some(&self.plan.target);
        let ui = Arc::clone(&self.ui);
        let local = Local::open_without(self.folders, target, self.isolation, ui, without)?;
        let mut chain = Chain::begin(self.folders)?;
        let mut logs = String::new();
        for (number, spec) in about.before.iter().enumerate() {
            let at = folder.join(format!("before-{number}"));
            let (job, key) = self.build(&local, spec, &at, ground)?;
            logs.push_str(&logs_of(&local, key));
            if job.state != JobState::Built {
                let error = format!("{}: {spec} was not built: {}", self.attack.name, told(&job));
                return Err(Failure::caller(error, Some(logs)));
            }
            let artifacts = local.record(job.id)?.artifacts;
            let mut own = chain.add(&made_of(artifacts), &local.cas)?;
            if about.is_strange && jail == Jail::Whole {
                own.may_replace.clear();
            }
            local.use_own(own);
        }
        let (mut job, key) = self.build(&local, SPEC, &folder.join("attack"), ground)?;
        logs.push_str(&logs_of(&local, key));
        let artifacts = local.record(job.id)?.artifacts.into_iter();
        let artifacts: Vec<String> = artifacts.map(|one| one.name).collect();
        let mut believed = Vec::new();
        for (number, lie) in about.lies.iter().enumerate() {
            let at = folder.join(format!("lie-{number}.src.rpm"));
            if let Some((told, key)) = self.build_lie(&local, &job, *lie, &at, ground)? {
                believed.extend((told.state == JobState::Built).then_some(*lie));
                logs.push_str(&logs_of(&local, key));
                if about.shown == Shown::Limit {
                    job = told;
                }
            }
        }
        Ok((local, Seen { job, logs, artifacts, believed }))
    }

    /// Hands in the source package of a job, in which something is untrue; nothing where that was
    /// refused before there was a build.
    fn build_lie(
        &self,
        local: &Local,
        honest: &JobRecord,
        lie: Lie,
        at: &Path,
        ground: &Ground,
    ) -> Result<Option<(JobRecord, LeaseKey)>, Failure> {
        let artifacts = local.record(honest.id)?.artifacts;
        let source = artifacts.into_iter().find(|one| one.nevra.arch() == "src");
        let source = source.map(|one| fs::read(local.cas.path(&one.digest))).transpose();
        let source = source.map_err(doing("reading a source package"))?;
        let Some(told) = source.and_then(|bytes| lie.told(&bytes)) else {
            let error = format!("{}: no source package came of it", self.attack.name);
            return Err(Failure::caller(error, Some(told(honest))));
        };
        fs::write(at, told).map_err(doing("writing a source package"))?;
        let given = match sources::take(at, &local.cas) {
            Err(failure) if failure.0.fault == Fault::Caller => return Ok(None),
            given => given?,
        };
        let limits = &self.attack.about.limits;
        let plan = self.plan.of_attack(ground.macros(), limits, self.isolation);
        build(local, plan.submission(given, &local.cas)?).map(Some)
    }

    fn build(
        &self,
        local: &Local,
        spec: &str,
        folder: &Path,
        ground: &Ground,
    ) -> Result<(JobRecord, LeaseKey), Failure> {
        const DOING: &str = "writing an attack";
        self.attack.write_spec(spec, folder).map_err(doing(DOING))?;
        if spec == SPEC {
            for (name, to) in &self.attack.about.links {
                let to = if to == "secret" { ground.secret() } else { to.into() };
                symlink(to, folder.join(name)).map_err(doing(DOING))?;
            }
        }
        let given = sources::take(folder, &local.cas)?;
        // What it requires is built without its limits, and so is what is handed in anew: those are
        // the attack's own.
        let limits = match spec == SPEC && self.attack.about.lies.is_empty() {
            true => self.attack.about.limits.clone(),
            false => Default::default(),
        };
        let plan = self.plan.of_attack(ground.macros(), &limits, self.isolation);
        let built = build(local, plan.submission(given, &local.cas)?);
        let _ = fs::remove_dir_all(folder);
        built
    }

    fn judge(&self, local: &Local, seen: &Seen, ground: &Ground) -> Result<Verdict, Failure> {
        let about = &self.attack.about;
        let held = |is_held: bool| if is_held { Verdict::Held } else { Verdict::Reached };
        let did_nothing = |why: &str| {
            let error = format!("{} did not do what it should: {why}", self.attack.name);
            Failure::caller(error, Some(tail(&seen.logs)))
        };
        let says = |what: &str| seen.logs.contains(what);
        let ran = says("contest: ran") || !about.runs;
        match about.shown {
            Shown::Log if says("contest: reached") => Ok(Verdict::Reached),
            Shown::Log if says("contest: held") => Ok(Verdict::Held),
            Shown::Log => Err(did_nothing(&format!("no word in its log; {}", told(&seen.job)))),
            Shown::Limit => {
                let limit = about.limit.map(|limit| format!("limit: {limit} ")).unwrap_or_default();
                match &seen.job.report {
                    Some(report) if report.error.contains(&limit) => Ok(Verdict::Held),
                    Some(report) if report.error.starts_with("limit: ") => {
                        Err(did_nothing(&format!("another limit ended it: {}", report.error)))
                    }
                    // Without limits it ends by itself: built, or with results that are none.
                    _ if ran || seen.job.state == JobState::Built => Ok(Verdict::Reached),
                    _ => Err(did_nothing(&told(&seen.job))),
                }
            }
            Shown::Failure => Ok(held(
                seen.job.state == JobState::Failed
                    && seen.job.report.as_ref().is_some_and(|report| report.fault != Fault::Kiln),
            )),
            _ if !ran => Err(did_nothing(&told(&seen.job))),
            Shown::Refusal if seen.job.state != JobState::Built => {
                Err(did_nothing(&told(&seen.job)))
            }
            Shown::Refusal => Ok(held(seen.believed.is_empty())),
            Shown::Secret => Ok(held(!self.is_out(local, seen, ground)?)),
            Shown::Blob => Ok(held(!local.has(ground.word.as_bytes()))),
            Shown::Listener => Ok(held(!ground.was_heard())),
            Shown::Artifacts => {
                let mut names = seen.artifacts.clone();
                names.sort();
                Ok(held(seen.job.state == JobState::Built && names == about.artifacts))
            }
            Shown::Tame if !says("\u{1b}") => Err(did_nothing("it wrote no escapes")),
            Shown::Tame => {
                let control = |c: char| c.is_control();
                Ok(held(
                    !seen.logs.lines().any(|line| Foreign::new(line).as_str().contains(control)),
                ))
            }
        }
    }

    /// Whether the canary's word came to light: in a log, a report, or what was handed over.
    fn is_out(&self, local: &Local, seen: &Seen, ground: &Ground) -> Result<bool, Failure> {
        let report = seen.job.report.as_ref();
        let mut texts = vec![seen.logs.clone()];
        texts.extend(report.map(|report| format!("{} {:?}", report.error, report.causes)));
        if texts.iter().any(|text| text.contains(&ground.word)) {
            return Ok(true);
        }
        let word = ground.word.as_bytes();
        for artifact in local.record(seen.job.id)?.artifacts {
            let bytes = fs::read(local.cas.path(&artifact.digest)).map_err(doing("reading"))?;
            if bytes.windows(word.len()).any(|part| part == word) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Builds; who ends that wants the whole contest to end.
fn build(local: &Local, what: Submission) -> Result<(JobRecord, LeaseKey), Failure> {
    match local.build(what, false)? {
        (job, _) if job.state == JobState::Cancelled => Err(Failure::cancelled()),
        built => Ok(built),
    }
}

fn logs_of(local: &Local, key: LeaseKey) -> String {
    ["root", "build"].map(|log| local.end_of_log(key, log, LOG)).concat()
}

fn tail(logs: &str) -> String {
    let lines: Vec<&str> = logs.lines().collect();
    let last = &lines[lines.len().saturating_sub(8)..];
    last.iter().map(|line| Foreign::new(line).as_str().to_owned()).collect::<Vec<_>>().join(" | ")
}

fn told(job: &JobRecord) -> String {
    match &job.report {
        Some(report) => {
            let parts: Vec<&str> =
                std::iter::once(&report.error).chain(&report.causes).map(String::as_str).collect();
            Foreign::new(&parts.join(": ")).as_str().to_owned()
        }
        None => job.state.word().to_owned(),
    }
}
