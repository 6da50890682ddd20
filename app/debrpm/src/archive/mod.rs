//! Where Debian packages come from: the host's own apt, or a given mirror.

mod apt;
mod command;
mod host;
mod mirror;
mod release;

use std::path::Path;

use kiln_cas::Cas;

use crate::arch::Arch;
use crate::error::DebrpmError;
use crate::plan::{Package, Release};
use crate::progress::Progress;

pub(crate) use apt::Apt;
pub(crate) use mirror::Mirror;

/// What an archive holds of a suite.
#[derive(Debug)]
pub(crate) struct Index {
    /// The signed releases that vouch for it, the suite itself first.
    pub(crate) releases: Vec<Release>,
    /// Every package of every release.
    pub(crate) packages: Vec<Package>,
}

/// A source of packages.
#[derive(Debug)]
pub(crate) enum Archive {
    /// The host's apt, with state folders of our own.
    Apt(Apt),
    /// Mirrors that were given, with their keys.
    Mirror(Mirror),
}

impl Archive {
    /// Sets up the source for a suite: the host's apt, or the mirrors that are given with the
    /// file of their keys. `work` is where it may keep its state.
    pub(crate) fn open(
        suite: &str,
        arch: Arch,
        mirrors: &[String],
        keyring: Option<&Path>,
        work: &Path,
    ) -> Result<Self, DebrpmError> {
        match keyring {
            Some(keyring) if !mirrors.is_empty() => {
                Mirror::new(mirrors, keyring, suite, arch, work).map(Self::Mirror)
            }
            _ => Apt::new(suite, arch, &work.join("apt")).map(Self::Apt),
        }
    }

    /// Brings the suite's indexes up to date and reads them.
    pub(crate) fn index(&self) -> Result<Index, DebrpmError> {
        match self {
            Self::Apt(apt) => apt.index(),
            Self::Mirror(mirror) => mirror.index(),
        }
    }

    /// Fetches packages that are not in `debs` yet. Each is stored only if its bytes are those
    /// that the plan pins.
    pub(crate) fn fetch(
        &self,
        packages: &[&Package],
        debs: &Cas,
        jobs: usize,
        progress: &Progress,
    ) -> Result<(), DebrpmError> {
        match self {
            Self::Apt(apt) => apt.fetch(packages, debs, jobs, progress),
            Self::Mirror(mirror) => mirror.fetch(packages, debs, progress),
        }
    }
}
