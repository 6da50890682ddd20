use std::collections::BTreeMap;

use kiln_model::{Faulty, Lock, Nevra, Requirement, Target};
use kiln_repo::{MetadataBlob, Snapshot};
use serde::{Deserialize, Serialize};

/// What to resolve.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The target.
    pub target: &'a Target,
    /// The name of one of its profiles.
    pub profile: &'a str,
    /// The repositories: the target's in its order, then the project's.
    pub repos: &'a [RepoUse<'a>],
    /// What the package asks for; nothing for the base lock alone.
    pub requires: &'a [Requirement],
    /// The macros of this build, over those of the target.
    pub macros: &'a BTreeMap<String, String>,
    /// Who asks, as `hello-2.12`: for messages.
    pub asker: &'a str,
}

/// A repository that takes part.
#[derive(Debug, Clone)]
pub struct RepoUse<'a> {
    /// Its metadata.
    pub snapshot: &'a Snapshot,
    /// Whose it is.
    pub trust: Trust,
}

/// What a repository's packages may stand in for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// A repository of the target.
    Upstream,
    /// A project's own: what it brings never takes the place of what an upstream repository
    /// has, whether by name, provides, obsoletes or file.
    Tenant {
        /// Names of packages, `*` allowed, that may nevertheless be replaced.
        may_replace: Vec<String>,
    },
}

/// A claim of a tenant's package that doesn't count, since an upstream package has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The tenant's package.
    pub package: Nevra,
    /// Its repository.
    pub repo: String,
    /// What it claimed: a name, a provide, a file, or `obsoletes …`.
    pub claim: String,
    /// Who has it upstream.
    pub owner: String,
}

/// What came out.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// The profile alone.
    pub base: Lock,
    /// The profile and what the package asks for.
    pub lock: Lock,
    /// Attempts to stand in for upstream packages; to be told to the project.
    pub refused: Vec<Refusal>,
    /// Whether it was known already, so that no solver was asked.
    pub cached: bool,
}

/// Fetches a repository's file lists, which are only needed when a requirement names a path
/// that its primary metadata lacks.
pub trait FileLists: Send + Sync {
    /// Makes sure that the file lists of `snapshot` are in the Cas; nothing where it has none.
    fn fetch(
        &self,
        snapshot: &Snapshot,
    ) -> impl Future<Output = Result<Option<MetadataBlob>, Box<dyn Faulty + Send + Sync>>> + Send;
}
