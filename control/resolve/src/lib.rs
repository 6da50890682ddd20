//! Requirements become a lock: which RPMs a buildroot is made of, and why each is there.
//!
//! Zone: `control`, TRUSTED: it runs no program and reads no stranger's metadata itself; both
//! happen in a confined child that the app starts for it ([`SolverSpawn`]). What does not belong
//! here: fetching (`control/repo`, `control/fetch`), and what is done with a lock.

mod ask;
mod error;
mod spawn;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_cas::Cas;

pub use ask::{Ask, FileLists, Refusal, RepoUse, Resolution, Trust};
pub use error::ResolveError;
pub use spawn::{SolverLink, SolverSpawn};

/// Turns requirements into locks. Cheap to clone; every clone shares the warm children.
#[derive(Clone)]
pub struct Resolver {
    _folder: PathBuf,
    _cas: Cas,
    _spawn: Arc<dyn SolverSpawn>,
}

impl Resolver {
    /// A resolver that keeps its caches in `folder`, reads metadata from `cas` and has its
    /// children started by `spawn`.
    pub fn open(
        folder: &Path,
        cas: Cas,
        spawn: Arc<dyn SolverSpawn>,
    ) -> Result<Self, ResolveError> {
        Ok(Self { _folder: folder.to_owned(), _cas: cas, _spawn: spawn })
    }

    /// Resolves the base lock and the full lock of what is asked, in one question to the solver;
    /// in none where the same was asked before.
    pub async fn resolve(
        &self,
        _ask: &Ask<'_>,
        _lists: &impl FileLists,
    ) -> Result<Resolution, ResolveError> {
        Err(ResolveError::Spawn(std::io::ErrorKind::Unsupported.into()))
    }
}
