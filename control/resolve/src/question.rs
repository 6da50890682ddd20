//! A question, checked: all that an answer depends on, and the digests that name it.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::{
    Digest, Foreign, LOCK_VERSION, Lock, LockedPackage, LockedSnapshot, Requirement, TargetName,
};
use kiln_wire::solver::Repo;
use serde::Serialize;

use crate::{Ask, ResolveError, Trust};

/// Goes up when the same question may have another answer, or caches another form.
pub(crate) const FORMAT: u32 = 1;

/// What one pool is made of.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PoolPlan {
    format: u32,
    pub(crate) arch: String,
    pub(crate) repos: Vec<RepoPlan>,
}

/// A repository of a pool.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RepoPlan {
    pub(crate) repo: Repo,
    /// The digest of its primary metadata, which are in the Cas.
    pub(crate) primary: Digest,
    pub(crate) open_size: u64,
    pub(crate) prefix: String,
    /// The checksum of its file lists, where it has some.
    lists: Option<String>,
}

/// What is asked of a pool.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) pool: PoolPlan,
    /// Names the pool.
    pub(crate) pool_key: Digest,
    pub(crate) profile: Vec<Requirement>,
    pub(crate) toolbox: Vec<Requirement>,
    /// Sorted, each once.
    pub(crate) build: Vec<Requirement>,
    pub(crate) asker: String,
    pub(crate) profile_label: String,
    target: TargetName,
    macros: BTreeMap<String, String>,
    snapshots: Vec<LockedSnapshot>,
}

/// What was found for a question's profile and toolbox, or for the whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Found {
    pub(crate) solver: String,
    pub(crate) packages: Vec<LockedPackage>,
    pub(crate) toolbox: Vec<LockedPackage>,
    pub(crate) refused: Vec<crate::Refusal>,
}

impl Question {
    pub(crate) fn of(ask: &Ask<'_>) -> Result<Self, ResolveError> {
        let Ask { target, profile, repos, requires, macros, asker } = ask;
        let spec = target.profile.get(*profile).ok_or_else(|| ResolveError::NoProfile {
            target: target.name.clone(),
            profile: Foreign::new(profile),
        })?;
        let mut ids = BTreeSet::new();
        let mut plans = Vec::with_capacity(repos.len());
        for used in *repos {
            let snapshot = used.snapshot;
            if !ids.insert(&snapshot.repo) {
                return Err(ResolveError::TwiceRepo(Foreign::new(&snapshot.repo)));
            }
            let tenant = match &used.trust {
                Trust::Upstream => None,
                Trust::Tenant { may_replace } => Some(may_replace.clone()),
            };
            plans.push(RepoPlan {
                repo: Repo {
                    id: snapshot.repo.clone(),
                    priority: snapshot.priority,
                    exclude: snapshot.exclude.clone(),
                    tenant,
                    lists: snapshot.filelists.is_some(),
                },
                primary: snapshot.primary.digest,
                open_size: snapshot.primary.open_size,
                prefix: snapshot.package_prefix.clone(),
                lists: snapshot.filelists.as_ref().map(|lists| lists.checksum.to_string()),
            });
        }
        let pool = PoolPlan { format: FORMAT, arch: target.arch.clone(), repos: plans };
        let build: BTreeSet<&Requirement> =
            requires.iter().filter(|one| !one.is_rpmlib()).collect();
        let mut all_macros = target.macros.clone();
        all_macros.extend(macros.iter().map(|(name, body)| (name.clone(), body.clone())));
        Ok(Self {
            pool_key: key(&pool),
            pool,
            profile: spec.packages.clone(),
            toolbox: target.rpm.toolbox.clone(),
            build: build.into_iter().cloned().collect(),
            asker: Foreign::capped(asker, 120).as_str().to_owned(),
            profile_label: format!("{profile}/{}", spec.version),
            target: target.name.clone(),
            macros: all_macros,
            snapshots: repos
                .iter()
                .map(|used| LockedSnapshot {
                    repo: used.snapshot.repo.clone(),
                    repomd: used.snapshot.repomd,
                })
                .collect(),
        })
    }

    /// Names the answer for the profile and the toolbox, as that solver gives it.
    pub(crate) fn base_key(&self, solver: &str) -> Digest {
        key(&(FORMAT, solver, &self.pool_key, &self.profile, &self.toolbox))
    }

    /// Names the answer for the whole.
    pub(crate) fn full_key(&self, solver: &str) -> Digest {
        key(&(self.base_key(solver), &self.build))
    }

    /// The base lock of what was found for the profile and the toolbox.
    pub(crate) fn base_lock(&self, found: &Found) -> Lock {
        Lock {
            version: LOCK_VERSION,
            target: self.target.clone(),
            profile: self.profile_label.clone(),
            arch: self.pool.arch.clone(),
            solver: found.solver.clone(),
            macros: self.macros.clone(),
            requires: Vec::new(),
            snapshots: self.snapshots.clone(),
            packages: found.packages.clone(),
            toolbox: found.toolbox.clone(),
        }
    }

    /// The lock of what was found for the whole.
    pub(crate) fn full_lock(&self, found: &Found) -> Lock {
        Lock { requires: self.build.clone(), ..self.base_lock(found) }
    }
}

/// The digest of a value's JSON.
pub(crate) fn key<T: Serialize>(value: &T) -> Digest {
    Digest::of(&serde_json::to_vec(value).expect("only text, numbers and lists"))
}
