//! The narrator: plan, fetch, convert, repo, one after the other.

use std::path::{Path, PathBuf};

use kiln_model::{Digest, Foreign};
use serde::Serialize;

use crate::arch::Arch;
use crate::archive::Archive;
use crate::closure::{self, Suite};
use crate::convert::{self, Converted};
use crate::error::DebrpmError;
use crate::plan::{PLAN_SCHEMA, Package, Plan};
use crate::policy::Policy;
use crate::progress::Progress;
use crate::seeds;
use crate::work::Work;
use crate::{repo, target};

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) suite: &'a str,
    pub(crate) arch: &'a str,
    pub(crate) seeds: &'a [String],
    /// Mirrors to use in place of the host's apt.
    pub(crate) mirrors: &'a [String],
    /// The file of the mirrors' keys.
    pub(crate) keyring: Option<&'a Path>,
    pub(crate) work: &'a Path,
    pub(crate) jobs: usize,
}

/// What a plan came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Planned {
    pub(crate) suite: String,
    pub(crate) packages: usize,
    pub(crate) bytes: u64,
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fetched {
    pub(crate) packages: usize,
    pub(crate) bytes: u64,
    /// Packages that were there already.
    pub(crate) kept: usize,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Published {
    pub(crate) rpms: usize,
    /// Of `repomd.xml`.
    pub(crate) repomd: Digest,
    pub(crate) target: PathBuf,
}

/// Chooses the packages and pins them.
pub(crate) fn plan(order: &Order<'_>) -> Result<Planned, DebrpmError> {
    let arch = arch(order.arch)?;
    let work = Work::open(order.work)?;
    let sets = order.seeds.iter().map(|word| seeds::load(word)).collect::<Result<Vec<_>, _>>()?;
    let index = archive(order, order.suite, arch, &work)?.index()?;
    let first = index.releases.first();
    let release = first.map(|release| release.version.clone()).unwrap_or_default();
    let suite = first.map_or(order.suite, |release| &release.codename).to_owned();
    let policy = Policy::built_in()?;
    let packages = policy.complete(index.packages);
    let chosen = closure::close(&Suite::new(packages), &sets, &policy)?;
    let plan = Plan {
        schema: PLAN_SCHEMA,
        release: if release.is_empty() { suite.clone() } else { release },
        suite,
        arch: arch.rpm.to_owned(),
        releases: index.releases,
        sets: chosen.sets,
        packages: chosen.packages,
    };
    work.save_plan(&plan)?;
    let bytes = plan.packages.iter().map(|package| package.size).sum();
    Ok(Planned { suite: plan.suite, packages: plan.packages.len(), bytes })
}

/// Fetches the plan's packages that are not there yet.
pub(crate) fn fetch(order: &Order<'_>) -> Result<Fetched, DebrpmError> {
    let work = Work::open(order.work)?;
    let plan = work.plan()?;
    let debs = work.debs()?;
    let missing: Vec<&Package> =
        plan.packages.iter().filter(|package| !debs.has(&package.digest)).collect();
    let bytes = missing.iter().map(|package| package.size).sum();
    if !missing.is_empty() {
        let progress = Progress::of_bytes("fetching", bytes);
        let archive = archive(order, &plan.suite, arch(&plan.arch)?, &work)?;
        archive.fetch(&missing, &debs, order.jobs, &progress)?;
        progress.end();
    }
    let kept = plan.packages.len() - missing.len();
    Ok(Fetched { packages: missing.len(), bytes, kept })
}

/// Converts the plan's packages.
pub(crate) fn convert(order: &Order<'_>) -> Result<Converted, DebrpmError> {
    convert::convert(&Work::open(order.work)?, order.jobs)
}

/// Writes the repository's metadata and the target.
pub(crate) fn publish(order: &Order<'_>) -> Result<Published, DebrpmError> {
    let work = Work::open(order.work)?;
    let plan = work.plan()?;
    let rpms = convert::written(&work)?;
    let repomd = repo::write(&work.root().join("repo"), &rpms, order.jobs)?;
    let target = target::write(&work, &plan, arch(&plan.arch)?)?;
    Ok(Published { rpms: rpms.len(), repomd, target })
}

fn arch(word: &str) -> Result<Arch, DebrpmError> {
    Arch::find(word).ok_or_else(|| DebrpmError::Arch(Foreign::new(word)))
}

fn archive(
    order: &Order<'_>,
    suite: &str,
    arch: Arch,
    work: &Work,
) -> Result<Archive, DebrpmError> {
    Archive::open(suite, arch, order.mirrors, order.keyring, work.root())
}
