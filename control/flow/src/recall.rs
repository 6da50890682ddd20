//! What it takes to make a build again, out of what the store knows of it.

use std::collections::BTreeMap;

use kiln_model::{
    Digest, Fault, Faulty, Foreign, JobId, JobState, Knobs, LeaseKey, Lock, ProfileSpec,
    SomeLimits, TARGET_SCHEMA, Target,
};
use kiln_parse::lock::{LOCK_CAP, LockError};
use kiln_store::{Artifact, JobRecord, StoreError};
use kiln_wire::record::{Record, VERSION};
use kiln_wire::worker::{ClaimedArtifact, Settings, Source};

use crate::life::{Flow, Submission};

/// Through how many projects a build may have been promoted whose beginning is looked for.
const PROMOTED: usize = 16;

/// Why something cannot be built again.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was not built, or not yet.
    #[error("job {job} is {}: only what was built can be built again", .state.word())]
    NotBuilt {
        /// Which.
        job: JobId,
        /// Where it stands.
        state: JobState,
    },
    /// A record that contradicts itself.
    #[error("the record of {title} is invalid: {what}")]
    Invalid {
        /// Of which build.
        title: String,
        /// The first thing that is wrong with it.
        what: String,
        /// Why.
        #[source]
        source: Option<LockError>,
    },
    /// A blob that a record names is not in the store.
    #[error("{what} of {title} is not here: {digest}")]
    Unavailable {
        /// Of which build.
        title: String,
        /// What of it.
        what: String,
        /// Its digest.
        digest: Digest,
    },
}

impl Faulty for RecallError {
    fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::NotBuilt { .. } | Self::Invalid { .. } | Self::Unavailable { .. } => {
                Fault::Caller
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::NotBuilt { .. } | Self::Invalid { .. } => None,
            Self::Unavailable { .. } => Some(
                "sources and locks stay for as long as their build is kept: build it again"
                    .to_owned(),
            ),
        }
    }
}

/// The locks that a record names, read and found sound.
#[derive(Debug, Clone)]
pub struct Recalled {
    /// What the buildroot was made of.
    pub lock: Lock,
    /// What the source package was made on.
    pub base: Lock,
}

impl Flow {
    /// The record of a job that was built.
    pub async fn recall(&self, job: JobId) -> Result<Record, RecallError> {
        let record = self.store.job(job).await?;
        let by = self.built_by(&record).await?;
        let JobRecord { title, source, mut settings, limits, state, lock, .. } = record;
        let Some(lock) = lock.filter(|_| state == JobState::Built) else {
            return Err(RecallError::NotBuilt { job, state });
        };
        let base = match settings.lock {
            // It was built on a lock that was given, and so was its source package.
            Some(_) => settings.base,
            None => {
                let key = LeaseKey { job: by.id, epoch: by.epoch };
                self.base_among(&self.store.locks_of(key).await?, &lock)
            }
        };
        // Only a rebuild was given both; that a lock alone was given is how somebody wanted it.
        if settings.base.is_some() {
            (settings.lock, settings.base) = (None, None);
        }
        let claimed = |one: Artifact| {
            let Artifact { name, digest, size, .. } = one;
            ClaimedArtifact { name, digest, size }
        };
        let made = self.store.artifacts(job).await?.into_iter().map(claimed);
        let mut artifacts: Vec<ClaimedArtifact> = made.collect();
        // Databases don't agree on the order of texts.
        artifacts.sort_by(|one, other| one.name.cmp(&other.name));
        let kiln = env!("CARGO_PKG_VERSION").to_owned();
        Ok(Record {
            version: VERSION,
            kiln,
            title,
            source,
            settings,
            limits,
            lock,
            base,
            artifacts,
        })
    }

    /// The job by which a job's packages were built: itself, or where it was promoted from.
    pub(crate) async fn built_by(&self, job: &JobRecord) -> Result<JobRecord, StoreError> {
        let mut at = job.clone();
        for _ in 0..PROMOTED {
            let Some(from) = self.store.build(at.build).await?.promoted else { break };
            let is_it = |one: &JobRecord| {
                one.settings.target == job.settings.target && one.lock == job.lock
            };
            match self.store.jobs_of(from).await?.into_iter().find(is_it) {
                Some(found) => at = found,
                None => break,
            }
        }
        Ok(at)
    }

    /// Of the locks that were given out for an attempt, that of the profile alone.
    fn base_among(&self, locks: &[Digest], lock: &Digest) -> Option<Digest> {
        let is_base = |digest: &&Digest| {
            let found = self.lock(digest).ok().flatten();
            *digest != lock && found.is_some_and(|lock| lock.requires.is_empty())
        };
        locks.iter().find(is_base).copied()
    }

    /// Finds the first thing in which a record contradicts itself, or that it names and is not in
    /// the store; packages of the buildroot apart, which can be fetched.
    pub fn check_record(&self, record: &Record) -> Result<Recalled, RecallError> {
        let title = || record.title.clone();
        let invalid = |what: &str| RecallError::Invalid {
            title: title(),
            what: what.to_owned(),
            source: None,
        };
        if record.version != VERSION {
            return Err(invalid(&format!("its version is {}, not {VERSION}", record.version)));
        }
        if matches!(record.source, Source::Remote(_)) {
            return Err(invalid("its source is an address, which may give another one each time"));
        }
        if !record.settings.variations.is_none() {
            return Err(invalid("it is the record of a challenge, and not of a build"));
        }
        if record.artifacts.is_empty() {
            return Err(invalid("it made nothing"));
        }
        if !record.artifacts.is_sorted_by(|one, other| one.name < other.name) {
            return Err(invalid("its artifacts are not sorted by name, or one stands twice"));
        }
        let lock = self.recalled_lock(record, &record.lock)?;
        let base = match &record.base {
            Some(base) => self.recalled_lock(record, base)?,
            None => lock.clone(),
        };
        for file in record.source.files() {
            if !self.cas.has(&file.digest) {
                let what = format!("the source {}", Foreign::new(&file.name).as_str());
                return Err(RecallError::Unavailable { title: title(), what, digest: file.digest });
            }
        }
        Ok(Recalled { lock, base })
    }

    fn recalled_lock(&self, record: &Record, digest: &Digest) -> Result<Lock, RecallError> {
        let title = || record.title.clone();
        let invalid = |what: &str, source| RecallError::Invalid {
            title: title(),
            what: what.to_owned(),
            source,
        };
        if !self.cas.has(digest) {
            let what = "the lock".to_owned();
            return Err(RecallError::Unavailable { title: title(), what, digest: *digest });
        }
        let bytes = self
            .cas
            .read_to_vec(digest, LOCK_CAP as u64)
            .map_err(|error| invalid(&format!("its lock cannot be read: {error}"), None))?;
        let lock = kiln_parse::lock::read(&bytes)
            .map_err(|error| invalid("its lock is not one", Some(error)))?;
        let Settings { target, arch, profile, .. } = &record.settings;
        if lock.target != *target || lock.arch != *arch || lock.profile_name() != profile {
            return Err(invalid("its lock is of another target, architecture or profile", None));
        }
        Ok(lock)
    }
}

/// What to submit to have a build made again: its own source, settings and lock.
pub fn submission_of(record: &Record) -> Submission {
    let settings =
        Settings { lock: Some(record.lock), base: record.base, ..record.settings.clone() };
    Submission {
        title: record.title.clone(),
        source: record.source.clone(),
        settings,
        limits: record.limits.clone(),
    }
}

/// A target by which a build can be made again and nothing new: without any repository, since all
/// that is needed is known by its digest.
pub fn target_of(lock: &Lock) -> Target {
    let (profile, version) = lock.profile.split_once('/').unwrap_or((&lock.profile, "0"));
    let spec = ProfileSpec { version: version.parse().unwrap_or(0), packages: Vec::new() };
    Target {
        schema: TARGET_SCHEMA,
        name: lock.target.clone(),
        summary: "what a lock says of its target".to_owned(),
        arch: lock.arch.clone(),
        vars: BTreeMap::new(),
        macros: lock.macros.clone(),
        limits: SomeLimits::new(),
        rpm: Knobs::default(),
        profile: BTreeMap::from([(profile.to_owned(), spec)]),
        key: BTreeMap::new(),
        repos: Vec::new(),
    }
}
