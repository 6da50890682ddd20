//! Stage submit, of a service: what a project asks for becomes builds.

use std::collections::BTreeMap;

use kiln_model::{
    BuildId, Digest, Fault, Faulty, Foreign, Isolation, IsolationBy, JobId, Limit, Limits,
    SomeLimits, TargetName, UserId, Variations,
};
use kiln_store::{
    NewBuild, NewJob, Once, Origin, Owner, ProjectRecord, StoreError, Submitted, Turns,
};
use kiln_wire::worker::{Settings, Source, SourceFile};

use crate::events::Event;
use crate::life::{Flow, FlowError};
use crate::ordering::{self, Guess};

/// Something to build, whose files are in the store.
#[derive(Debug, Clone)]
pub struct Sources {
    /// What a person calls it.
    pub title: String,
    /// Its files.
    pub source: Source,
}

/// In which order several are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    /// In whichever comes.
    Any,
    /// One after the other, each seeing what those before it made.
    Chain,
    /// In the order that what they ask for implies, as far as that can be guessed; each seeing what
    /// those that it waits for made.
    Implied,
}

/// Builds that somebody asks for.
#[derive(Debug, Clone)]
pub struct Order {
    /// For which project.
    pub project: ProjectRecord,
    /// Who.
    pub submitter: UserId,
    /// The hook by which it comes.
    pub hook: Option<i64>,
    /// What.
    pub sources: Vec<Sources>,
    /// For which targets; for all of the project where none is named.
    pub targets: Vec<TargetName>,
    /// Only tried: nothing of it is published.
    pub is_scratch: bool,
    /// In which order.
    pub sequence: Sequence,
    /// Begun only when nothing else can be.
    pub is_background: bool,
    /// Among the jobs of the project: higher goes first.
    pub priority: i64,
    /// The base profile, where it is not that of the project.
    pub profile: Option<String>,
    /// Macros over those of the project.
    pub macros: BTreeMap<String, String>,
    /// Build conditions that are switched on besides.
    pub with: Vec<String>,
    /// Build conditions that are switched off besides.
    pub without: Vec<String>,
    /// What each may take, before anybody says more of it.
    pub limits: Limits,
    /// What is said of that for these builds.
    pub some_limits: SomeLimits,
    /// What is to stand between these builds and their hosts, where that is said.
    pub isolation: Option<Isolation>,
    /// How many processes each may start at once.
    pub jobs: u32,
    /// What its client calls it: asked for again by the same name, nothing more is built.
    pub once: Option<Once>,
}

impl Order {
    /// A plain one: of one thing, for every target of the project, with the project's own settings.
    pub fn plain(project: ProjectRecord, submitter: UserId, what: Sources) -> Self {
        Self {
            project,
            submitter,
            hook: None,
            sources: vec![what],
            targets: Vec::new(),
            is_scratch: false,
            sequence: Sequence::Any,
            is_background: false,
            priority: 0,
            profile: None,
            macros: BTreeMap::new(),
            with: Vec::new(),
            without: Vec::new(),
            limits: Limits::default(),
            some_limits: SomeLimits::new(),
            isolation: None,
            jobs: 2,
            once: None,
        }
    }
}

/// Why builds were not taken.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The flow refused.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// There is nothing to build.
    #[error("there is nothing to build")]
    Nothing,
    /// The project isn't built for anything, or not for that.
    #[error("project {project} is not built for {target}")]
    Target {
        /// The project.
        project: String,
        /// The target, or what stands for all.
        target: String,
    },
    /// Nothing of a scratch build is published, so that nothing can follow on it.
    #[error("builds of a chain cannot be scratch builds: none would see what came before")]
    ScratchChain,
    /// A build asks for more than it may have.
    #[error("{limit}={asked} is more than this service allows: at most {most}")]
    Limit {
        /// Of what.
        limit: Limit,
        /// How much it asks for.
        asked: u64,
        /// How much an operator allows.
        most: u64,
    },
    /// A file was not uploaded.
    #[error("the bytes of {0} were not uploaded")]
    Missing(String),
    /// No order is right.
    #[error("these ask for each other: {0}")]
    Ring(String),
    /// Whose dependants are asked for was not made here.
    #[error("nothing called {} was built and published for {target}", Foreign::new(.name))]
    NotMade {
        /// Its name.
        name: String,
        /// For which target.
        target: TargetName,
    },
    /// A build has nothing that another project could take over.
    #[error("build {build} has nothing that {project} could take over")]
    NothingToPromote {
        /// Which build.
        build: BuildId,
        /// Which project.
        project: String,
    },
}

impl From<StoreError> for OrderError {
    fn from(error: StoreError) -> Self {
        Self::Flow(error.into())
    }
}

impl Faulty for OrderError {
    fn fault(&self) -> Fault {
        match self {
            Self::Flow(error) => error.fault(),
            Self::Nothing
            | Self::Target { .. }
            | Self::ScratchChain
            | Self::Limit { .. }
            | Self::Missing(_)
            | Self::Ring(_)
            | Self::NotMade { .. }
            | Self::NothingToPromote { .. } => Fault::Caller,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Flow(error) => error.hint(),
            Self::Target { project, .. } => {
                Some(format!("'kiln project target {project} TARGET' lets it be built for one"))
            }
            Self::Ring(_) => Some(
                "build one of them without the other first, with a build condition, or say the \
                 order yourself with --chain"
                    .to_owned(),
            ),
            Self::NothingToPromote { project, .. } => Some(format!(
                "it must be another project's, not a scratch build, and built for a target of \
                 {project}"
            )),
            Self::Limit { .. } => Some("ask for less, or ask an operator for more".to_owned()),
            Self::Nothing | Self::ScratchChain | Self::Missing(_) | Self::NotMade { .. } => None,
        }
    }
}

impl Flow {
    /// Stage submit, of a service: a build for each of the sources, with a job for each target.
    pub async fn order(&self, order: &Order) -> Result<Vec<Submitted>, OrderError> {
        if order.sources.is_empty() {
            return Err(OrderError::Nothing);
        }
        if order.is_scratch && order.sequence != Sequence::Any {
            return Err(OrderError::ScratchChain);
        }
        for file in order.sources.iter().flat_map(|one| one.source.files()) {
            if !self.cas.has(&file.digest) {
                return Err(OrderError::Missing(file.name.clone()));
            }
        }
        self.keep(order.sources.iter().flat_map(|one| one.source.files())).await?;
        let targets = self.targets_of(order).await?;
        let mut settings: Vec<Settings> =
            targets.iter().map(|target| self.settings(order, target)).collect::<Result<_, _>>()?;
        for one in &mut settings {
            self.isolate(one, &order.project, order.isolation).await?;
        }
        let limits: Vec<Limits> = targets
            .iter()
            .map(|target| self.limits_for(order, target))
            .collect::<Result<_, OrderError>>()?;
        let job = |(settings, limits): (&Settings, &Limits)| NewJob {
            settings: settings.clone(),
            limits: limits.clone(),
            is_background: order.is_background,
            priority: order.priority,
            waits_for: Vec::new(),
        };
        let build = |sources: &Sources| NewBuild {
            title: sources.title.clone(),
            source: sources.source.clone(),
            jobs: settings.iter().zip(&limits).map(job).collect(),
            owner: Some(Owner {
                project: order.project.id,
                submitter: order.submitter,
                is_scratch: order.is_scratch,
                hook: order.hook,
            }),
            origin: origin_of(&sources.source),
        };
        let builds: Vec<NewBuild> = order.sources.iter().map(build).collect();
        let turns = self.turns(order, &targets).await?;
        let once = order.once.as_ref();
        let made = self.store.submit_all(&builds, &turns, once, self.now()).await?;
        for job in made.iter().flat_map(|one| &one.jobs) {
            self.events.tell(Event::Job(*job));
        }
        self.events.tell(Event::Queued);
        Ok(made)
    }

    /// Which of an order's sources is built when.
    async fn turns(&self, order: &Order, targets: &[TargetName]) -> Result<Turns, OrderError> {
        let count = order.sources.len();
        match order.sequence {
            Sequence::Any => return Ok(Turns::any(count)),
            Sequence::Chain => return Ok(Turns::chain(count)),
            Sequence::Implied => {}
        }
        let mut made = Vec::new();
        for target in targets {
            made.push(self.store.made(order.project.id, target.as_str()).await?);
        }
        let (sources, cas) = (order.sources.clone(), self.cas.clone());
        let guess = move |one: &Sources| {
            let mut guess = Guess::of(&one.source, &cas);
            made.iter().for_each(|made| guess.learn(made, &cas));
            guess
        };
        let read = move || sources.iter().map(guess).collect::<Vec<Guess>>();
        let guesses = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        ordering::by_guesses(&guesses)
            .map_err(|ring| OrderError::Ring(tell_ring(&ring.0, &guesses, &order.sources)))
    }

    /// What a job of a service was, once more: the same sources and settings, queued anew.
    pub async fn resubmit(
        &self,
        job: JobId,
        by: UserId,
        once: Option<Once>,
    ) -> Result<Submitted, OrderError> {
        let old = self.store.job(job).await?;
        let build = self.store.build(old.build).await?;
        let none = || StoreError::None { what: "project of this job", name: job.to_string() };
        let project = old.project.ok_or_else(none)?;
        let mut settings = old.settings;
        let record = self.store.project_of(project).await?.ok_or_else(none)?;
        self.isolate_again(&mut settings, &record).await?;
        let new = NewJob {
            settings,
            limits: old.limits,
            is_background: old.is_background,
            priority: old.priority,
            waits_for: Vec::new(),
        };
        let owner = Owner { project, submitter: by, is_scratch: build.is_scratch, hook: None };
        let build = NewBuild {
            title: build.title,
            source: build.source,
            jobs: vec![new],
            owner: Some(owner),
            origin: build.origin,
        };
        for file in build.source.files() {
            if !self.cas.has(&file.digest) {
                return Err(OrderError::Missing(file.name.clone()));
            }
        }
        let made =
            self.store.submit_all(&[build], &Turns::any(1), once.as_ref(), self.now()).await?;
        self.events.tell(Event::Queued);
        made.into_iter().next().ok_or(OrderError::Nothing)
    }

    /// What a build is made of is on the disk before the build is taken.
    async fn keep(&self, files: impl Iterator<Item = &SourceFile>) -> Result<(), OrderError> {
        let digests: Vec<Digest> = files.map(|file| file.digest).collect();
        Ok(self.synced(digests).await?)
    }

    async fn targets_of(&self, order: &Order) -> Result<Vec<TargetName>, OrderError> {
        let project = &order.project;
        let repos = self.store.repos(project.id).await?;
        let is_enabled = |name: &str| repos.iter().any(|it| it.is_enabled && it.target == name);
        let none = |target: &str| OrderError::Target {
            project: project.name.clone(),
            target: target.to_owned(),
        };
        let targets: Vec<TargetName> = match &order.targets[..] {
            [] => repos
                .iter()
                .filter(|repo| repo.is_enabled)
                .filter_map(|repo| repo.target.parse().ok())
                .collect(),
            named => named.to_vec(),
        };
        if targets.is_empty() {
            return Err(none("anything"));
        }
        match targets.iter().find(|target| !is_enabled(target.as_str())) {
            Some(target) => Err(none(target.as_str())),
            None => Ok(targets),
        }
    }

    fn limits_for(&self, order: &Order, target: &TargetName) -> Result<Limits, OrderError> {
        let known = self.targets().get(target);
        let known = known.ok_or_else(|| FlowError::NoTarget(target.clone()))?;
        let said = [&known.limits, &order.project.settings.limits];
        self.bounds().limits(&order.limits, said, &order.some_limits)
    }

    fn settings(&self, order: &Order, target: &TargetName) -> Result<Settings, FlowError> {
        let known = self.targets().get(target);
        let known = known.ok_or_else(|| FlowError::NoTarget(target.clone()))?;
        let project = &order.project.settings;
        let mut macros = known.macros.clone();
        macros.extend(project.macros.clone());
        macros.extend(order.macros.clone());
        let settings = Settings {
            target: target.clone(),
            arch: known.arch.clone(),
            profile: order.profile.clone().unwrap_or_else(|| project.profile.clone()),
            macros,
            with: [&project.with[..], &order.with[..]].concat(),
            without: [&project.without[..], &order.without[..]].concat(),
            jobs: order.jobs,
            lock: None,
            pins: Vec::new(),
            rebuild: 0,
            base: None,
            is_raw: false,
            variations: Variations::default(),
            isolation: Isolation::default(),
            isolation_by: IsolationBy::default(),
        };
        self.target_of(&settings)?;
        Ok(settings)
    }
}

fn origin_of(source: &Source) -> Option<Origin> {
    match source {
        Source::Remote(remote) => Some(Origin { remote: remote.clone(), commit: None }),
        Source::Srpm(_) | Source::Folder { .. } => None,
    }
}

/// `a (for b-devel) -> b (for a-devel) -> a`
fn tell_ring(ring: &[usize], guesses: &[Guess], sources: &[Sources]) -> String {
    let title = |at: usize| Foreign::new(&sources[at].title).as_str().to_owned();
    let mut told = String::new();
    for (at, next) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        let name = guesses[*at].asks.intersection(&guesses[*next].gives).next();
        let name = Foreign::new(name.map_or("", String::as_str));
        told.push_str(&format!("{} (for {}) -> ", title(*at), name.as_str()));
    }
    told + &ring.first().map_or_else(String::new, |first| title(*first))
}
