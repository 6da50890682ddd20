//! From upload to artifacts, in the order in which it happens:
//!
//! | stage | function | takes -> gives |
//! | --- | --- | --- |
//! | submit | [`Flow::submit`] | sources in the store -> a build, its job queued |
//! | lease | [`Flow::lease`] | a worker's name -> the right to run one attempt |
//! | source | [`Flow::pin`] | what a worker fetched -> the build's source, where it lay elsewhere |
//! | resolve | [`Flow::resolve`] | requirements -> locks |
//! | fetch | [`Flow::provide`] | a lock's packages -> verified blobs |
//! | (the worker makes the buildroot, builds and collects) | [`Flow::note_stage`] | |
//! | accept | [`Flow::finish`] | a worker's claim -> artifacts, or a failure explained |
//! | sign, attest, publish | [`Publisher::publish_ready`](crate::Publisher::publish_ready) | artifacts -> signed, said of how they were built, in a new snapshot |
//!
//! Each reads the store, acts, and writes the store in one transaction. Killed anywhere and asked
//! again, it ends the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use kiln_cas::{Cas, CasError};
use kiln_fetch::Progress;
use kiln_model::{
    Digest, Fault, Faulty, JobId, LeaseKey, Limits, Lock, LockedPackage, LockedSnapshot, ProjectId,
    RepoSpec, Report, Requirement, Target, TargetName,
};
use kiln_parse::lock::LockError;
use kiln_repo::{MetadataBlob, RepoError, Repos, Snapshot};
use kiln_resolve::{Ask, FileLists, RepoUse, Resolution, ResolveError, Resolver, Trust};
use kiln_store::{
    Ability, Caps, JobRecord, NewBuild, NewJob, StageRecord, Store, StoreError, Submitted,
};
use kiln_wire::worker::{
    Ending, Fetching, Lease, ResolveRequest, Resolved, Settings, Source, StageEnded,
};

use crate::accept::{self, AcceptError};
use crate::bounds::Bounds;
use crate::events::{Event, Events};
use crate::line;
use crate::logs::Logs;
use crate::share;

/// How long a lease lasts without a word from its worker, in milliseconds.
const LEASE_MS: i64 = 5 * 60 * 1000;

/// As that, of a service's workers: they say every half minute that they are still at it, and an
/// answer that was lost on its way to one costs no more than this.
const REMOTE_LEASE_MS: i64 = 2 * 60 * 1000;

/// How often a job is tried whose hosts fail it.
const SETBACKS: i64 = 10;

fn lost(setbacks: i64) -> Report {
    Report {
        fault: Fault::Host,
        error: format!("its worker was lost, {setbacks} times over"),
        causes: Vec::new(),
        hint: Some("an operator can see in 'kiln worker list' what became of them".to_owned()),
    }
}

/// Control's part of building.
#[derive(Clone)]
pub struct Flow {
    pub(crate) store: Store,
    pub(crate) cas: Cas,
    pub(crate) repos: Repos,
    pub(crate) resolver: Resolver,
    logs: Logs,
    targets: Arc<BTreeMap<TargetName, Target>>,
    progress: Progress,
    now: fn() -> i64,
    /// Generations that locks were found in, by repository and repomd.
    seen: Arc<Mutex<BTreeMap<(String, Digest), Snapshot>>>,
    own: Arc<Mutex<Vec<Own>>>,
    pub(crate) fetching: Arc<OnceLock<Fetching>>,
    pub(crate) bounds: Arc<OnceLock<Bounds>>,
    pub(crate) events: Events,
    pub(crate) line: line::Known,
}

/// A repository of the packager's own, which takes part besides those of the target.
#[derive(Debug, Clone)]
pub struct Own {
    /// Where it is.
    pub repo: RepoSpec,
    /// Names of upstream packages, `*` allowed, that it may replace.
    pub may_replace: Vec<String>,
}

/// What a flow is made of.
pub struct FlowSettings {
    /// The truth about builds.
    pub store: Store,
    /// Where bytes are.
    pub cas: Cas,
    /// Upstream repositories.
    pub repos: Repos,
    /// Turns requirements into locks.
    pub resolver: Resolver,
    /// Where logs are.
    pub logs: Logs,
    /// The targets that can be built for.
    pub targets: BTreeMap<TargetName, Target>,
    /// Who hears of downloads.
    pub progress: Progress,
    /// The time, in milliseconds since 1970.
    pub now: fn() -> i64,
}

/// Something to be built.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What a person calls it.
    pub title: String,
    /// Its sources, which are in the store already.
    pub source: Source,
    /// How it is built.
    pub settings: Settings,
    /// What it may take.
    pub limits: Limits,
}

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Bytes are missing or wrong.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// A repository could not be used.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// No lock came out.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A claim was found false.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// No such target.
    #[error("there is no target {0}")]
    NoTarget(TargetName),
    /// No such profile.
    #[error("target {target} has no profile {profile:?}")]
    NoProfile {
        /// The target.
        target: TargetName,
        /// The profile.
        profile: String,
    },
    /// The lock that a build was to be made on is not one, or is of something else.
    #[error("the build cannot be made on the lock {digest}")]
    Lock {
        /// Which.
        digest: Digest,
        /// Why not.
        #[source]
        source: GivenLockError,
    },
    /// A thread of ours was lost.
    #[error("checking a claim: {0}")]
    Lost(String),
}

/// What is wrong with a lock that a build was to be made on.
#[derive(Debug, thiserror::Error)]
pub enum GivenLockError {
    /// Not a lock that kiln reads.
    #[error(transparent)]
    Form(#[from] LockError),
    /// Of another target.
    #[error("it was made for target {0}")]
    Target(TargetName),
}

impl Faulty for FlowError {
    fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::Cas(error) => error.fault(),
            Self::Repo(error) => error.fault(),
            Self::Resolve(error) => error.fault(),
            Self::Accept(error) => error.fault(),
            Self::NoTarget(_) | Self::NoProfile { .. } | Self::Lock { .. } => Fault::Caller,
            Self::Lost(_) => Fault::Kiln,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Cas(error) => error.hint(),
            Self::Repo(error) => error.hint(),
            Self::Resolve(error) => error.hint(),
            Self::Accept(error) => error.hint(),
            Self::NoTarget(_) => Some("'kiln target list' shows those there are".to_owned()),
            Self::NoProfile { target, .. } => {
                Some(format!("'kiln target show {target}' shows its profiles"))
            }
            Self::Lock { .. } => Some("'kiln lock' makes one for this target".to_owned()),
            Self::Lost(_) => None,
        }
    }
}

impl Flow {
    /// A flow over these parts.
    pub fn new(settings: FlowSettings) -> Self {
        let FlowSettings { store, cas, repos, resolver, logs, targets, progress, now } = settings;
        Self {
            store,
            cas,
            repos,
            resolver,
            logs,
            targets: Arc::new(targets),
            progress,
            now,
            seen: Arc::default(),
            own: Arc::default(),
            fetching: Arc::default(),
            bounds: Arc::default(),
            events: Events::default(),
            line: line::Known::default(),
        }
    }

    /// The truth about builds.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The logs of attempts.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Who hears of what happens.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The targets that can be built for.
    pub fn targets(&self) -> &BTreeMap<TargetName, Target> {
        &self.targets
    }

    /// The same flow, in which one more target can be built for: that of something that is built
    /// again, whose target nobody may know any more.
    pub fn knowing(&self, target: Target) -> Self {
        let mut targets = (*self.targets).clone();
        targets.entry(target.name.clone()).or_insert(target);
        Self { targets: Arc::new(targets), ..self.clone() }
    }

    /// Where bytes are.
    pub fn cas(&self) -> &Cas {
        &self.cas
    }

    /// The time, in milliseconds since 1970.
    pub fn now(&self) -> i64 {
        (self.now)()
    }

    /// Lets a repository of the packager's own take part in what is resolved from now on.
    pub fn use_own(&self, own: Own) {
        let mut repos = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        repos.retain(|known| known.repo.id != own.repo.id);
        repos.push(own);
    }

    /// Stage submit: a build with one job, queued.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, FlowError> {
        let Submission { title, source, settings, limits } = submission;
        self.target_of(&settings)?;
        let job =
            NewJob { settings, limits, is_background: false, priority: 0, waits_for: Vec::new() };
        let build = NewBuild { title, source, jobs: vec![job], owner: None, origin: None };
        Ok(self.store.submit(&build, (self.now)()).await?)
    }

    /// Stage lease: the right to run the next attempt at a job.
    pub async fn lease(&self, job: JobId, worker: &str) -> Result<Lease, FlowError> {
        let now = (self.now)();
        let key = self.store.lease(job, worker, now, now + LEASE_MS).await?;
        self.leased(key).await
    }

    /// Stage lease, of a service: the right to run whatever job's turn it is; nothing where none
    /// waits that this worker could build.
    pub async fn lease_next(
        &self,
        worker: &str,
        ability: &Ability,
        caps: Caps,
    ) -> Result<Option<Lease>, FlowError> {
        let now = (self.now)();
        let key = self.store.lease_next(worker, ability, caps, now, now + REMOTE_LEASE_MS).await?;
        let Some(key) = key else { return Ok(None) };
        self.events.tell(Event::Job(key.job));
        self.leased(key).await.map(Some)
    }

    async fn leased(&self, key: LeaseKey) -> Result<Lease, FlowError> {
        let JobRecord { source, settings, limits, .. } = self.store.job(key.job).await?;
        let is_remote = matches!(source, Source::Remote(_));
        let fetching = is_remote.then(|| self.fetching().clone());
        Ok(Lease { key, source, settings, limits, fetching })
    }

    /// A worker says that it is still at it; the leases that are no longer its.
    pub async fn renew(&self, worker: &str, keys: &[LeaseKey]) -> Result<Vec<LeaseKey>, FlowError> {
        Ok(self.store.renew(worker, keys, (self.now)() + REMOTE_LEASE_MS).await?)
    }

    /// Leases that ran out: their jobs are queued again, or fail where that keeps happening.
    pub async fn expire(&self) -> Result<(), FlowError> {
        let now = (self.now)();
        for (job, setbacks) in self.store.expire(now).await? {
            tracing::warn!(%job, setbacks, "its lease ran out");
            if setbacks >= SETBACKS {
                self.store.give_up(job, &lost(setbacks), now).await?;
            }
            self.events.tell(Event::Job(job));
            self.events.tell(Event::Queued);
        }
        Ok(())
    }

    /// Ends a job that is not over, and those that wait for it.
    pub async fn cancel(&self, job: JobId) -> Result<(), FlowError> {
        self.store.cancel(job, (self.now)()).await?;
        self.events.tell(Event::Job(job));
        Ok(())
    }

    /// Stage resolve: requirements become locks, which are kept by their digests; a claim has to
    /// name one of them.
    pub async fn resolve(&self, request: &ResolveRequest) -> Result<Resolved, FlowError> {
        let job = self.held(request.key).await?;
        let (target, _) = self.target_of(&job.settings)?;
        let resolved = match job.settings.lock {
            Some(digest) => self.resolved_before(target, digest, job.settings.base)?,
            None => self.resolve_anew(target, &job, &request.requires).await?,
        };
        for one in [&resolved.base, &resolved.lock] {
            let digest = self.cas.insert_bytes(&kiln_parse::lock::to_bytes(one))?;
            self.store.note_lock(request.key, digest).await?;
        }
        Ok(resolved)
    }

    /// A lock that was given: it is the whole answer, whatever the package asks for. What it
    /// lacks, rpmbuild names. Its base is the one that was given beside it, else the lock itself.
    fn resolved_before(
        &self,
        target: &Target,
        digest: Digest,
        base: Option<Digest>,
    ) -> Result<Resolved, FlowError> {
        let read = |digest: Digest| {
            let wrong = |source| FlowError::Lock { digest, source };
            let bytes = self.cas.read_to_vec(&digest, kiln_parse::lock::LOCK_CAP as u64)?;
            let lock = kiln_parse::lock::read(&bytes).map_err(|error| wrong(error.into()))?;
            match lock.target == target.name {
                true => Ok(lock),
                false => Err(wrong(GivenLockError::Target(lock.target))),
            }
        };
        let lock = read(digest)?;
        let base = base.map_or_else(|| Ok(lock.clone()), read)?;
        Ok(Resolved { base, lock })
    }

    async fn resolve_anew(
        &self,
        target: &Target,
        job: &JobRecord,
        requires: &[Requirement],
    ) -> Result<Resolved, FlowError> {
        let snapshots = self.snapshots(target, job).await?;
        let repos: Vec<RepoUse<'_>> = snapshots
            .iter()
            .map(|(snapshot, trust)| RepoUse { snapshot, trust: trust.clone() })
            .collect();
        let mut requires = [requires, &job.settings.pins].concat();
        requires.sort();
        requires.dedup();
        let ask = self.ask(target, job, &repos, &requires);
        let Resolution { base, lock, refused, .. } = self.resolver.resolve(&ask, self).await?;
        for refusal in &refused {
            tracing::warn!(repo = refusal.repo, package = %refusal.package, "kept from standing in");
        }
        Ok(Resolved { base, lock })
    }

    /// Stage fetch: the packages of a lock are in the Cas, verified; tells how many were not.
    pub async fn provide(
        &self,
        key: LeaseKey,
        packages: &[&LockedPackage],
    ) -> Result<u64, FlowError> {
        let job = self.held(key).await?;
        let (target, _) = self.target_of(&job.settings)?;
        let is_missing = |one: &LockedPackage| !self.cas.has(&one.digest);
        let missing = packages.iter().filter(|one| is_missing(one)).count() as u64;
        // That the bytes are here doesn't say that anyone has looked at their signature.
        if missing == 0 && !target.repos.iter().any(|repo| repo.check_packages) {
            return Ok(0);
        }
        let snapshots: Vec<Snapshot> =
            self.snapshots(target, &job).await?.into_iter().map(|(snapshot, _)| snapshot).collect();
        let seconds = self.seconds();
        self.repos
            .fetch_packages(&target.repos, &snapshots, packages, seconds, &self.progress)
            .await?;
        Ok(missing)
    }

    /// A stage of the worker's ended.
    pub async fn note_stage(&self, key: LeaseKey, ended: &StageEnded) -> Result<(), FlowError> {
        let StageEnded { position, stage, wall_ms, cpu_ms, note } = ended.clone();
        let record = StageRecord { stage, wall_ms, cpu_ms, note };
        self.store.note_stage(key, position, &record).await?;
        self.events.tell(Event::Job(key.job));
        Ok(())
    }

    /// Stage accept: what a worker says of its attempt becomes a fact, or a failure with what
    /// its log tells of the cause. A claim that is found false is a breach.
    pub async fn finish(&self, key: LeaseKey, ending: Ending) -> Result<JobRecord, FlowError> {
        let now = (self.now)();
        match ending {
            Ending::Cancelled => self.store.cancel(key.job, now).await?,
            Ending::Stopped => {
                self.store.release(key).await?;
                self.events.tell(Event::Queued);
            }
            Ending::Failed(report) if self.is_a_setback(key, &report).await? => {
                let setbacks = self.store.requeue(key, &report).await?;
                if setbacks >= SETBACKS {
                    self.store.give_up(key.job, &report, now).await?;
                }
                self.events.tell(Event::Queued);
            }
            Ending::Failed(report) => {
                let report = self.explain(key, report).await;
                self.store.fail(key, &report, now).await?;
            }
            Ending::Built(claim) => match accept::accept(self, key, &claim).await {
                Ok(accepted) => {
                    let made = accepted.artifacts.iter().map(|one| one.digest);
                    self.synced(made.chain([accepted.lock]).collect()).await?;
                    self.store.accept(&accepted, now).await?;
                    self.verify_if_wanted(&self.store.job(key.job).await?).await;
                }
                Err(FlowError::Accept(error)) => {
                    self.store.fail(key, &Report::of(&error), now).await?;
                    self.events.tell(Event::Job(key.job));
                    return Err(error.into());
                }
                Err(other) => return Err(other),
            },
        }
        self.events.tell(Event::Job(key.job));
        Ok(self.store.job(key.job).await?)
    }

    /// Whether an attempt failed for its host's sake and another host may do better. On one's own
    /// machine there is no other.
    async fn is_a_setback(&self, key: LeaseKey, report: &Report) -> Result<bool, FlowError> {
        Ok(report.fault == Fault::Host && self.held(key).await?.project.is_some())
    }

    pub(crate) fn ask<'a>(
        &self,
        target: &'a Target,
        job: &'a JobRecord,
        repos: &'a [RepoUse<'a>],
        requires: &'a [Requirement],
    ) -> Ask<'a> {
        let Settings { profile, macros, .. } = &job.settings;
        Ask { target, profile, repos, requires, macros, asker: &job.title }
    }

    /// Returns when these blobs are on the disk.
    pub(crate) async fn synced(&self, digests: Vec<Digest>) -> Result<(), FlowError> {
        let cas = self.cas.clone();
        let synced = tokio::task::spawn_blocking(move || cas.sync(digests)).await;
        Ok(synced.unwrap_or_else(|_| Err(CasError::lost("syncing blobs in", &self.cas)))?)
    }

    /// The job that a lease holds; stale where it holds none.
    pub(crate) async fn held(&self, key: LeaseKey) -> Result<JobRecord, FlowError> {
        let job = self.store.job(key.job).await?;
        if job.lease() == Some(key) { Ok(job) } else { Err(StoreError::Stale(key).into()) }
    }

    pub(crate) fn target_of(&self, settings: &Settings) -> Result<(&Target, u32), FlowError> {
        let Settings { target: name, profile, .. } = settings;
        let target = self.targets.get(name).ok_or_else(|| FlowError::NoTarget(name.clone()))?;
        let found = target.profile.get(profile).ok_or_else(|| FlowError::NoProfile {
            target: name.clone(),
            profile: profile.clone(),
        })?;
        Ok((target, found.version))
    }

    /// The newest generations of a target's repositories, of the packager's own, and of the
    /// project that a job is of.
    pub(crate) async fn snapshots(
        &self,
        target: &Target,
        job: &JobRecord,
    ) -> Result<Vec<(Snapshot, Trust)>, FlowError> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let upstream =
            self.repos.refresh_all(&target.repos, self.seconds(), &self.progress).await?;
        let mut all: Vec<(Snapshot, Trust)> =
            upstream.into_iter().map(|snapshot| (snapshot, Trust::Upstream)).collect();
        for Own { repo, may_replace } in own {
            let snapshot = self.repos.refresh(&repo, self.seconds(), &self.progress).await?;
            all.push((snapshot, Trust::Tenant { may_replace }));
        }
        if let Some(project) = job.project {
            all.extend(self.of_project(project, target).await?);
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (snapshot, _) in &all {
            seen.insert((snapshot.repo.clone(), snapshot.repomd), snapshot.clone());
        }
        Ok(all)
    }

    /// The project's own repository, all of which is in the store, and those that it names.
    async fn of_project(
        &self,
        project: ProjectId,
        target: &Target,
    ) -> Result<Vec<(Snapshot, Trust)>, FlowError> {
        let none = || StoreError::None { what: "project", name: project.0.to_string() };
        let project = self.store.project_of(project).await?.ok_or_else(none)?;
        let settings = &project.settings;
        let trust = Trust::Tenant { may_replace: settings.may_replace.clone() };
        let mut all = Vec::new();
        if let Some(newest) = self.store.newest(project.id, target.name.as_str()).await? {
            let generation = share::generation(&self.cas, &newest.files)?;
            let id = share::repo_id(&project.name);
            all.push((generation.snapshot(&id, &[], settings.priority), trust.clone()));
        }
        for repo in settings.repos.get(target.name.as_str()).into_iter().flatten() {
            let snapshot = self.repos.refresh(repo, self.seconds(), &self.progress).await?;
            all.push((snapshot, trust.clone()));
        }
        Ok(all)
    }

    fn seconds(&self) -> u64 {
        ((self.now)() / 1000).unsigned_abs()
    }

    /// The generation of a repository that a lock given out by this flow was found in.
    pub fn generation(&self, of: &LockedSnapshot) -> Option<Snapshot> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&(of.repo.clone(), of.repomd)).cloned()
    }

    /// The lock with that digest, as it was given out.
    pub fn lock(&self, digest: &Digest) -> Result<Option<Lock>, CasError> {
        const CAP: u64 = 64 << 20;
        let bytes = self.cas.read_to_vec(digest, CAP)?;
        Ok(kiln_parse::lock::read(&bytes).ok())
    }
}

impl FileLists for Flow {
    async fn fetch(
        &self,
        snapshot: &Snapshot,
    ) -> Result<Option<MetadataBlob>, Box<dyn Faulty + Send + Sync>> {
        match self.repos.filelists(snapshot, &self.progress).await {
            Ok(blob) => Ok(blob),
            Err(error) => Err(Box::new(error)),
        }
    }
}
