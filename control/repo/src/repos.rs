use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use kiln_cas::Cas;
use kiln_fetch::{Answer, Fetcher, Progress, Wanted};
use kiln_model::{Digest, Foreign, LockedPackage, RepoSpec};
use kiln_parse::checksum::Checksum;
use kiln_parse::place;
use tokio::task::JoinSet;

use crate::error::{KeyTry, KeyTryReason};
use crate::folder::Folder;
use crate::keyring::{KEY_CAP, Keyring};
use crate::refresh::{self, fetch_metadata};
use crate::{MetadataBlob, PackageError, RepoError, Snapshot, check_package};

/// How old what may be.
#[derive(Debug, Clone)]
pub struct Options {
    /// For how many seconds a generation that was seen to be the newest is used without asking
    /// again. Repositories of this machine (`file:`) are looked at every time.
    pub max_age: u64,
    /// How many days old the newest generation of a repository may be whose target doesn't say.
    pub stale_after_days: Option<u32>,
    /// Whether the network is left alone: what was fetched before is used, however old.
    pub offline: bool,
    /// Whether a generation is taken that is older than one that was seen before.
    pub accept_older: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_age: 900, stale_after_days: None, offline: false, accept_older: false }
    }
}

/// Upstream repositories: their snapshots, keys and packages. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repos {
    pub(crate) fetcher: Fetcher,
    pub(crate) folder: Folder,
    pub(crate) options: Options,
}

impl Repos {
    /// Keeps what it learns in `folder`, which by habit is called `snapshots.v1`; blobs go to
    /// the fetcher's Cas.
    pub fn open(fetcher: Fetcher, folder: &Path, options: Options) -> Result<Self, RepoError> {
        Ok(Self { fetcher, folder: Folder::open(folder)?, options })
    }

    /// The same repositories with other ideas about age.
    pub fn with(&self, options: Options) -> Self {
        Self { options, ..self.clone() }
    }

    /// The newest generation of a repository, its packages' metadata in the Cas. `now` in
    /// seconds since 1970.
    pub async fn refresh(
        &self,
        repo: &RepoSpec,
        now: u64,
        progress: &Progress,
    ) -> Result<Snapshot, RepoError> {
        refresh::refresh(self, repo, now, progress).await
    }

    /// As [`Repos::refresh`] for all of them at one time, in their order.
    pub async fn refresh_all(
        &self,
        repos: &[RepoSpec],
        now: u64,
        progress: &Progress,
    ) -> Result<Vec<Snapshot>, RepoError> {
        let mut running = JoinSet::new();
        for (index, repo) in repos.iter().cloned().enumerate() {
            let (this, progress) = (self.clone(), Arc::clone(progress));
            running.spawn(async move { (index, this.refresh(&repo, now, &progress).await) });
        }
        let mut snapshots: Vec<Option<Snapshot>> = vec![None; repos.len()];
        while let Some(done) = running.join_next().await {
            let (index, result) = done.map_err(|_| lost("of several"))?;
            snapshots[index] = Some(result?);
        }
        Ok(snapshots.into_iter().flatten().collect())
    }

    /// Every file of every package of a generation; fetched now if they were not before. `None`:
    /// the repository has no such list.
    pub async fn filelists(
        &self,
        snapshot: &Snapshot,
        progress: &Progress,
    ) -> Result<Option<MetadataBlob>, RepoError> {
        let Some(wanted) = &snapshot.filelists else { return Ok(None) };
        let known = self.folder.filelists(snapshot)?;
        if let Some(blob) = known.filter(|blob| self.fetcher.cas().has(&blob.digest)) {
            return Ok(Some(blob));
        }
        let blob =
            fetch_metadata(self, &snapshot.repo, "filelists", wanted, &snapshot.places, progress)
                .await?;
        self.folder.save_filelists(snapshot, &blob)?;
        Ok(Some(blob))
    }

    /// Fetches the packages of a lock that are not here yet, and checks the signatures of those
    /// whose repository wants it. Each has been checked by these keys at most once.
    pub async fn fetch_packages(
        &self,
        repos: &[RepoSpec],
        snapshots: &[Snapshot],
        packages: &[&LockedPackage],
        now: u64,
        progress: &Progress,
    ) -> Result<(), RepoError> {
        let wanted = packages.iter().map(|package| self.wanted(snapshots, package));
        let wanted: Vec<Wanted> = wanted.collect::<Result<_, _>>()?;
        let fetch = |source| RepoError::Fetch { repo: of_all(packages), source };
        self.fetcher.fetch_all(&wanted, progress).await.map_err(fetch)?;
        for repo in repos.iter().filter(|repo| repo.check_packages) {
            let its: Vec<&LockedPackage> =
                packages.iter().copied().filter(|package| package.repo == repo.id).collect();
            if !its.is_empty() {
                self.check(repo, &its, now).await?;
            }
        }
        Ok(())
    }

    fn wanted(&self, snapshots: &[Snapshot], package: &LockedPackage) -> Result<Wanted, RepoError> {
        let unknown = || RepoError::Unknown {
            repo: package.repo.clone(),
            package: package.nevra.to_string(),
        };
        let snapshot = snapshots.iter().find(|one| one.repo == package.repo);
        let here = self.fetcher.cas().has(&package.digest);
        let places = match snapshot {
            Some(snapshot) => &snapshot.package_places[..],
            None if here => &[],
            None => return Err(unknown()),
        };
        let places = places.iter().map(|base| place::join(base, &package.location));
        let places = places
            .collect::<Result<_, _>>()
            .map_err(|source| RepoError::Place { repo: package.repo.clone(), source })?;
        Ok(Wanted {
            name: package.nevra.file_name().into(),
            checksum: Checksum::Sha256(package.digest),
            size: Some(package.size),
            places,
        })
    }

    async fn check(
        &self,
        repo: &RepoSpec,
        packages: &[&LockedPackage],
        now: u64,
    ) -> Result<(), RepoError> {
        let keys = self.keyring(repo, false).await?;
        let prints = Arc::new(keys.fingerprints());
        let packages: Vec<&LockedPackage> = packages
            .iter()
            .copied()
            .filter(|package| !self.folder.is_checked(&prints, &package.digest))
            .collect();
        let shared = Arc::new(keys);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut running = JoinSet::new();
        for package in packages {
            if running.len() >= threads {
                running
                    .join_next()
                    .await
                    .ok_or_else(|| lost(&repo.id))?
                    .map_err(|_| lost(&repo.id))??;
            }
            let (this, repo, package) = (self.clone(), repo.id.clone(), package.clone());
            let (keys, prints) = (Arc::clone(&shared), Arc::clone(&prints));
            running.spawn_blocking(move || this.check_one(&repo, &package, &keys, &prints, now));
        }
        while let Some(done) = running.join_next().await {
            done.map_err(|_| lost(&repo.id))??;
        }
        Ok(())
    }

    fn check_one(
        &self,
        repo: &str,
        package: &LockedPackage,
        keys: &Keyring,
        prints: &[String],
        now: u64,
    ) -> Result<(), RepoError> {
        let named = |source: PackageError| RepoError::Package {
            repo: repo.to_owned(),
            package: package.nevra.to_string(),
            source,
        };
        let cas_error = |source| RepoError::Cas { repo: repo.to_owned(), source };
        let mut blob = self.fetcher.cas().read(&package.digest).map_err(cas_error)?;
        check_package(&mut blob, &package.nevra, keys, now).map_err(named)?;
        self.folder.note_checked(prints, &package.digest)
    }

    /// The keys that a target names for a repository. Those that it names by fingerprint are
    /// kept; `anew` fetches them all the same, since keys live longer than was first said.
    pub async fn keyring(&self, repo: &RepoSpec, anew: bool) -> Result<Keyring, RepoError> {
        let mut ring = Keyring::default();
        for key in &repo.keys {
            let pin = key.fingerprint.as_deref();
            if let Some(pin) = pin
                && (!anew || self.options.offline)
                && let Some(bytes) = self.folder.key(pin)?
                && ring.add(&bytes, Some(pin)).is_ok()
            {
                continue;
            }
            let bytes = self.fetch_key(repo, &key.from, pin, &mut ring).await?;
            if let Some(pin) = pin {
                self.folder.save_key(pin, &bytes)?;
            }
        }
        Ok(ring)
    }

    async fn fetch_key(
        &self,
        repo: &RepoSpec,
        places: &[String],
        pin: Option<&str>,
        ring: &mut Keyring,
    ) -> Result<Vec<u8>, RepoError> {
        let mut tries = Vec::new();
        let of_this_machine = |at: &&String| at.starts_with("file:");
        for at in places.iter().filter(|at| !self.options.offline || of_this_machine(at)) {
            let why = match self.fetcher.get(at, KEY_CAP, None).await {
                Ok(Answer::New(small)) => match ring.add(&small.bytes, pin) {
                    Ok(()) => return Ok(small.bytes),
                    Err(error) => KeyTryReason::Key(error),
                },
                Ok(Answer::Same) => continue,
                Err(blame) => KeyTryReason::Fetch(blame),
            };
            tries.push(KeyTry { place: Foreign::new(at), why });
        }
        Err(RepoError::Key { repo: repo.id.clone(), tries })
    }

    /// Every blob that a generation refers to which is kept here: what a collector leaves alone.
    pub fn in_use(&self) -> Result<BTreeSet<Digest>, RepoError> {
        self.folder.in_use()
    }

    /// The store that blobs are in.
    pub fn cas(&self) -> &Cas {
        self.fetcher.cas()
    }
}

/// The repositories that packages are of, for an error over all of them.
fn of_all(packages: &[&LockedPackage]) -> String {
    let repos: BTreeSet<&str> = packages.iter().map(|package| package.repo.as_str()).collect();
    repos.into_iter().collect::<Vec<_>>().join(", ")
}

pub(crate) fn lost(repo: &str) -> RepoError {
    RepoError::Lost { repo: repo.to_owned() }
}
