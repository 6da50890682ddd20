//! Stages sign and publish: what was built and accepted is signed, attested, and stands in a new
//! snapshot.

use std::collections::BTreeMap;
use std::path::Path;

use kiln_attest::AttestError;
use kiln_model::{Digest, Fault, Faulty, JobId, ProjectId, Report};
use kiln_repo::{
    Chunks, Generation, Listed, PublishError, Records, WriteOptions, write_generation,
};
use kiln_sign::{SignError, Signer};
use kiln_store::{
    Artifact, JobRecord, NewAttestation, NewSnapshot, ProjectRecord, Published, SnapshotRecord,
    StoreError, Work,
};
use kiln_wire::signer::KeyName;
use tokio::sync::{Mutex, Semaphore};

use crate::events::Event;
use crate::life::{Flow, FlowError};
use crate::share;

/// Publishes what is to be published, one snapshot of a repository after the other.
pub struct Publisher {
    pub(crate) flow: Flow,
    pub(crate) signer: Signer,
    pub(crate) url: String,
    pub(crate) records: Records,
    pub(crate) chunks: Chunks,
    /// Two at once would overtake each other: of one process, and in the store of several.
    pub(crate) turn: Mutex<()>,
    /// Whoever may see a repository may ask for its bill, which reads the header of each package.
    pub(crate) bills: Semaphore,
}

/// How many bills are made at one time.
const BILLS: usize = 2;

/// What a publisher is made of.
pub struct PublisherSettings<'a> {
    /// The flow whose jobs it publishes.
    pub flow: Flow,
    /// Signs.
    pub signer: Signer,
    /// Where the service is reached, without a slash at the end: by it statements name the builder.
    pub url: String,
    /// Where what rpm-md says of packages is kept, by their digests.
    pub records: &'a Path,
    /// Where pieces of metadata are kept that were packed before.
    pub chunks: &'a Path,
}

/// Why something was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishFailure {
    /// The flow refused.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// The signer refused.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The metadata could not be written.
    #[error(transparent)]
    Repo(#[from] PublishError),
    /// What was signed is not evidence.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// Blobs are being copied, or swept by another process.
    #[error("a backup is being made, or another sweep")]
    Held,
    /// The project is gone, or its name cannot be a key's.
    #[error("project {0} has no key")]
    Project(String),
}

impl From<StoreError> for PublishFailure {
    fn from(error: StoreError) -> Self {
        Self::Flow(error.into())
    }
}

impl Faulty for PublishFailure {
    fn fault(&self) -> Fault {
        match self {
            Self::Flow(error) => error.fault(),
            Self::Sign(error) => error.fault(),
            Self::Repo(error) => error.fault(),
            Self::Attest(_) => Fault::Kiln,
            Self::Project(_) => Fault::Kiln,
            Self::Held => Fault::Host,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Flow(error) => error.hint(),
            Self::Sign(error) => error.hint(),
            Self::Repo(error) => error.hint(),
            Self::Attest(error) => error.hint(),
            Self::Held => Some("wait until it has ended".to_owned()),
            Self::Project(_) => None,
        }
    }
}

/// What a job made, signed.
#[derive(Default)]
struct Signed {
    /// What the repository has not.
    made: Vec<Published>,
    /// All of it, by its name.
    all: BTreeMap<String, Digest>,
}

/// A repository: a project's, for a target.
type Repo = (ProjectId, String);

impl Publisher {
    /// A publisher of these parts.
    pub fn new(settings: PublisherSettings<'_>) -> Self {
        let PublisherSettings { flow, signer, url, records, chunks } = settings;
        let (records, chunks) = (Records::open(records), Chunks::open(chunks));
        Self {
            flow,
            signer,
            url,
            records,
            chunks,
            turn: Mutex::new(()),
            bills: Semaphore::new(BILLS),
        }
    }

    /// The public key of a project.
    pub async fn public_key(&self, project: &str) -> Result<String, PublishFailure> {
        let key = self.signer.public_key(&key_of(project)?).await?;
        Ok(key.certificate.openpgp.clone())
    }

    /// Publishes all that is built and not published yet: a snapshot for each repository. What is
    /// never published is attested all the same. What cannot be published because of what it is
    /// ends as failed; anything else is an error, and is tried again when this is called again.
    pub async fn publish_ready(&self) -> Result<(), PublishFailure> {
        let _turn = self.turn.lock().await;
        if !self.has_work().await? {
            return Ok(());
        }
        let _alone = self.flow.store.turn(Work::Publish).await?;
        self.attest_tried().await?;
        self.attest_rebuilds().await?;
        let mut repos: BTreeMap<Repo, Vec<JobRecord>> = BTreeMap::new();
        for job in self.flow.store.unpublished().await? {
            let Some(project) = job.project else { continue };
            repos.entry((project, job.settings.target.to_string())).or_default().push(job);
        }
        for (repo, jobs) in repos {
            self.publish(repo, jobs).await?;
        }
        self.newest_head().await.map(drop)
    }

    async fn has_work(&self) -> Result<bool, PublishFailure> {
        let store = &self.flow.store;
        Ok(!store.unpublished().await?.is_empty()
            || !store.unattested(1).await?.is_empty()
            || !store.unattested_verdicts(1).await?.is_empty()
            || self.is_head_behind().await?)
    }

    /// Makes an earlier snapshot of a repository the newest once more, under a new number.
    pub async fn roll_back(
        &self,
        project: &ProjectRecord,
        target: &str,
        to: i64,
        by: &str,
    ) -> Result<i64, PublishFailure> {
        let _turn = self.turn.lock().await;
        let store = &self.flow.store;
        let _alone = store.turn(Work::Publish).await?;
        let none = || StoreError::None { what: "snapshot", name: to.to_string() };
        let old = store.snapshot(project.id, target, to).await?.ok_or_else(none)?;
        let from = store.newest(project.id, target).await?.map_or(0, |newest| newest.number);
        let SnapshotRecord { repomd, files, packages, count, .. } = old;
        let new = NewSnapshot {
            project: project.id,
            target: target.to_owned(),
            from,
            cause: format!("rollback to {to} by {by}"),
            repomd,
            files,
            packages,
            count,
            fresh: Vec::new(),
            jobs: Vec::new(),
            attestations: Vec::new(),
        };
        let number = store.publish(&new, self.flow.now()).await?;
        self.flow.events.tell(Event::Published);
        Ok(number)
    }

    async fn publish(&self, repo: Repo, jobs: Vec<JobRecord>) -> Result<(), PublishFailure> {
        let (id, target) = repo;
        let store = &self.flow.store;
        let none = || PublishFailure::Project(id.0.to_string());
        let project = store.project_of(id).await?.ok_or_else(none)?;
        let newest = store.newest(id, &target).await?;
        let mut listed = match &newest {
            Some(newest) => {
                share::packages_of(&self.flow.cas, &newest.packages).map_err(FlowError::from)?
            }
            None => Vec::new(),
        };
        let mut fresh: Vec<Published> = Vec::new();
        let (mut published, mut attestations) = (Vec::new(), Vec::new());
        for job in &jobs {
            match self.make_ready(&project, &target, job, &listed, &fresh).await? {
                Ok((signed, attestation)) => {
                    fresh.extend(signed);
                    published.push(job.id);
                    attestations.push(attestation);
                }
                Err(why) => store.refuse(job.id, &why, self.flow.now()).await?,
            }
        }
        if !published.is_empty() {
            listed.extend(fresh.iter().map(|one| self.listed(one)).collect::<Result<Vec<_>, _>>()?);
            let from = newest.map_or(0, |newest| newest.number);
            let generation = self.generation(&project, &listed).await?;
            let new = NewSnapshot {
                project: id,
                target,
                from,
                cause: cause_of(&published),
                repomd: generation.repomd,
                files: self.keep(&generation)?,
                packages: self.keep(&listed)?,
                count: listed.len() as i64,
                fresh,
                jobs: published,
                attestations,
            };
            self.flow.synced(named(&new, &generation)).await?;
            store.publish(&new, self.flow.now()).await?;
            tracing::info!(project = %project.name, target = %new.target, "published");
        }
        for job in jobs {
            self.flow.events.tell(Event::Job(job.id));
        }
        self.flow.events.tell(Event::Queued);
        self.flow.events.tell(Event::Published);
        Ok(())
    }

    /// Signs what a job made, and says how it was made; or why that cannot be.
    async fn make_ready(
        &self,
        project: &ProjectRecord,
        target: &str,
        job: &JobRecord,
        listed: &[Listed],
        fresh: &[Published],
    ) -> Result<Result<(Vec<Published>, NewAttestation), Report>, PublishFailure> {
        let Signed { made, all } = match self.sign(project, target, job, listed, fresh).await? {
            Ok(signed) => signed,
            Err(why) => return Ok(Err(why)),
        };
        Ok(self.attest(project, job, &all).await?.map(|attestation| (made, attestation)))
    }

    /// Signs what a job made and the repository has not; or why that cannot be.
    async fn sign(
        &self,
        project: &ProjectRecord,
        target: &str,
        job: &JobRecord,
        listed: &[Listed],
        fresh: &[Published],
    ) -> Result<Result<Signed, Report>, PublishFailure> {
        let key = key_of(&project.name)?;
        let Signed { mut made, mut all } = Signed::default();
        for artifact in self.flow.store.artifacts(job.id).await? {
            if artifact.nevra.arch() == "src" {
                continue;
            }
            let known = match fresh.iter().find(|one| one.name == artifact.name) {
                Some(known) => Some(known.clone()),
                None => self.flow.store.published(project.id, target, &artifact.name).await?,
            };
            let cas = &self.flow.cas;
            let is_listed = |known: &Published| {
                fresh.contains(known) || listed.iter().any(|one| one.digest == known.signed)
            };
            match &known {
                Some(known) if known.digest != artifact.digest => {
                    return Ok(Err(is_there(&artifact, known.job)));
                }
                Some(known) if is_listed(known) => {
                    all.insert(artifact.name, known.signed);
                    continue;
                }
                // Of a snapshot that somebody went back behind.
                Some(known) if cas.has(&known.signed) => {
                    all.insert(artifact.name, known.signed);
                    made.push(known.clone());
                    continue;
                }
                _ => {}
            }
            let time = (self.flow.now() / 1000).unsigned_abs();
            let signed = self.signer.sign_package(cas, &key, &artifact.digest, time).await?;
            all.insert(artifact.name.clone(), signed.digest);
            made.push(Published {
                name: artifact.name,
                digest: artifact.digest,
                signed: signed.digest,
                size: signed.size,
                job: known.map_or(job.id, |known| known.job),
            });
        }
        Ok(Ok(Signed { made, all }))
    }

    fn listed(&self, one: &Published) -> Result<Listed, PublishFailure> {
        let wrong = |source| PublishError::Record { package: one.name.clone(), source };
        let record = self.records.of(&self.flow.cas, &one.signed).map_err(wrong)?;
        let location = format!("Packages/{}/{}", &one.name[..1].to_lowercase(), one.name);
        Ok(Listed { digest: one.signed, nevra: record.nevra, location, mtime: record.built })
    }

    async fn generation(
        &self,
        project: &ProjectRecord,
        listed: &[Listed],
    ) -> Result<Generation, PublishFailure> {
        let revision = (self.flow.now() / 1000).unsigned_abs();
        let options = WriteOptions { revision, gzip: project.settings.gzip };
        let (listed, records, chunks) =
            (listed.to_vec(), self.records.clone(), self.chunks.clone());
        let cas = self.flow.cas.clone();
        let write = move || write_generation(&listed, &options, &records, &chunks, &cas);
        let lost = |error: tokio::task::JoinError| PublishError::Io {
            doing: "writing metadata for",
            path: project.name.clone().into(),
            source: error.into(),
        };
        let generation = tokio::task::spawn_blocking(write).await.map_err(lost)??;
        const REPOMD_CAP: u64 = 1 << 20;
        let repomd = self.flow.cas.read_to_vec(&generation.repomd, REPOMD_CAP);
        let repomd = repomd.map_err(FlowError::from)?;
        let signature = self.signer.sign_repomd(&key_of(&project.name)?, repomd, revision).await?;
        Ok(generation.with_signature(&signature, &self.flow.cas)?)
    }

    fn keep(&self, list: &impl serde::Serialize) -> Result<Digest, PublishFailure> {
        let bytes = serde_json::to_vec(list).expect("types of our own always serialise");
        Ok(self.flow.cas.insert_bytes(&bytes).map_err(FlowError::from)?)
    }
}

/// What a snapshot names that none before it did: it is on the disk before the snapshot is there.
fn named(new: &NewSnapshot, generation: &Generation) -> Vec<Digest> {
    let files = generation.files.values().map(|file| file.digest);
    let packages = new.fresh.iter().map(|one| one.signed);
    let said = new.attestations.iter().map(|one| one.envelope);
    files.chain(packages).chain(said).chain([new.files, new.packages]).collect()
}

fn key_of(project: &str) -> Result<KeyName, PublishFailure> {
    project.parse().map_err(|_| PublishFailure::Project(project.to_owned()))
}

fn cause_of(jobs: &[JobId]) -> String {
    let names: Vec<String> = jobs.iter().take(10).map(|job| format!("job {job}")).collect();
    match jobs.len() {
        0..=10 => names.join(", "),
        many => format!("{} and {} more", names.join(", "), many - 10),
    }
}

/// One name, one content: whoever has installed it must be able to install it again.
fn is_there(artifact: &Artifact, job: JobId) -> Report {
    Report {
        fault: Fault::Caller,
        error: format!("{} is in the repository already, with other bytes", artifact.name),
        causes: vec![format!("job {job} published it")],
        hint: Some("raise the release in the spec".to_owned()),
    }
}
