//! Between control and the solver: what a pool is made of, what to solve, what came out.
//!
//! Control sends a [`Request`], the solver one [`Answer`]; before the first request the solver
//! says [`Answer::Ready`]. Both go through [`crate::rights`], open files beside them. One child
//! holds one pool: what one tenant's metadata may do to it, no other tenant sees.
//!
//! Everything in an [`Answer`] is a claim of a process that reads strangers' bytes. Names and
//! requirements are checked types; digests are text until control has parsed them.

use kiln_model::{Digest, Nevra, Reason, Requirement};
use serde::{Deserialize, Serialize};

/// The version of these messages; [`Answer::Ready`] carries it.
pub const VERSION: u32 = 1;

/// The longest request, in bytes.
pub const REQUEST_CAP: usize = 16 << 20;

/// The longest answer, in bytes.
pub const ANSWER_CAP: usize = 32 << 20;

/// What control asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Reads primary metadata and writes them in the solver's own form. Files: the metadata as
    /// they came, and an empty one to write to.
    Compile(Compile),
    /// Makes a pool of what [`Request::Compile`] wrote. Files: one for each repository.
    Load(Load),
    /// Finds out what a set of requirements needs.
    Solve(Solve),
    /// Looks for paths in file lists. Files: one for each repository of `lists`.
    Search(Search),
    /// Who provides what.
    Who(Who),
}

/// See [`Request::Compile`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compile {
    /// The digest of the metadata as they came: other bytes are refused.
    pub digest: Digest,
    /// The most bytes that they may unpack to.
    pub open_size: u64,
    /// What each package's location begins with and what is taken off it.
    pub prefix: String,
}

/// See [`Request::Load`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The architecture that is built for; what else may be installed follows from it.
    pub arch: String,
    /// The repositories.
    pub repos: Vec<Repo>,
    /// What is known of paths that primary metadata lack.
    pub known: Vec<KnownPath>,
}

/// A repository in a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repo {
    /// Its id.
    pub id: String,
    /// Lower is preferred.
    pub priority: u16,
    /// Packages, by name, `name.arch` or NEVRA with `*` and `?`, that are not taken from it.
    pub exclude: Vec<String>,
    /// Set for a tenant's repository: which names of upstream packages, `*` and `?`
    /// allowed, it may stand in for.
    pub tenant: Option<Vec<String>>,
    /// Whether it has file lists that can be searched.
    pub lists: bool,
}

/// Who has a path, for one that primary metadata lack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownPath {
    /// The path.
    pub path: String,
    /// Its owners: the repository's id and the digest by which it names the package.
    pub owners: Vec<(String, String)>,
}

/// See [`Request::Solve`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solve {
    /// What to find, each on its own.
    pub goals: Vec<Goal>,
}

/// A set of packages to find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// What must be there.
    pub asked: Vec<Asked>,
    /// The place of an earlier goal whose packages are preferred where there is a choice, so
    /// that this one's answer holds them if it can.
    pub like: Option<usize>,
    /// Packages that are preferred likewise: of an answer that is known already.
    pub prefer: Vec<Package>,
}

/// One requirement and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The requirement.
    pub requirement: Requirement,
    /// Who asks.
    pub by: Asker,
}

/// Who asks for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asker {
    /// The base profile. A plain name means the package of that name where there is one, as
    /// for `dnf install`.
    Profile,
    /// The package that is built. A name means whatever provides it, as for `dnf builddep`.
    Build,
    /// The target's toolbox. A plain name means as for the profile.
    Toolbox,
}

/// See [`Request::Search`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// The file lists.
    pub lists: Vec<Lists>,
    /// What to look for.
    pub wanted: Vec<Wanted>,
}

/// The file lists of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lists {
    /// The repository's id.
    pub repo: String,
    /// The digest of the lists as they came: other bytes are refused.
    pub digest: Digest,
    /// The most bytes that they may unpack to.
    pub open_size: u64,
}

/// A path to look for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Wanted {
    /// Exactly this one; the pool remembers who has it.
    Path(String),
    /// Every one that ends so.
    End(String),
}

/// See [`Request::Who`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// What is looked for: names, versions and paths as in a requirement.
    pub provides: Vec<Requirement>,
    /// The most packages for each.
    pub most: usize,
}

/// What the solver says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// It is confined and waits; the first message of a child.
    Ready(Ready),
    /// To [`Request::Compile`].
    Compiled(Compiled),
    /// To [`Request::Load`].
    Loaded(Loaded),
    /// To [`Request::Solve`]: one outcome for each goal.
    Solved(Vec<Outcome>),
    /// To [`Request::Solve`]: the answer hangs on who has these paths. Search for them and ask
    /// again.
    Unlisted(Vec<String>),
    /// To [`Request::Search`].
    Found(Vec<Found>),
    /// To [`Request::Who`]: the packages for each requirement, best first.
    Who(Vec<Vec<Package>>),
    /// To any request.
    Failed(Failure),
}

/// See [`Answer::Ready`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// [`VERSION`].
    pub version: u32,
    /// The solver and its version, as `libsolv 0.7.23`.
    pub solver: String,
    /// What keeps it from the rest of the machine; each was tried after it was set.
    pub barriers: Vec<String>,
}

/// See [`Answer::Compiled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compiled {
    /// Packages that can be installed.
    pub packages: usize,
    /// Weak dependencies, which decide choices and bring nothing.
    pub weak: usize,
    /// Packages that were left out because a part of them is not what it should be.
    pub skipped: usize,
    /// Some of these: name and reason.
    pub examples: Vec<(String, String)>,
}

/// See [`Answer::Loaded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loaded {
    /// Packages in the pool.
    pub packages: usize,
    /// What tenants' packages were kept from standing in for; at most [`REFUSED_CAP`].
    pub refused: Vec<Refused>,
}

/// How many [`Loaded::refused`] are told.
pub const REFUSED_CAP: usize = 200;

/// A claim of a tenant's package that an upstream one has already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The tenant's package.
    pub package: Nevra,
    /// Its repository.
    pub repo: String,
    /// What it claimed: a name, a provide, a path, or `obsoletes …`.
    pub claim: String,
    /// Who has it upstream.
    pub owner: String,
}

/// What became of a goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// The packages, sorted by NEVRA.
    Packages(Vec<Chosen>),
    /// Why there are none; at least one.
    Problems(Vec<Problem>),
}

/// A package that is part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// The package.
    pub package: Package,
    /// Where it is, relative to its repository's base.
    pub location: String,
    /// The size of its file in bytes.
    pub size: u64,
    /// The digest of its file, as `sha256:…` or `sha512:…`.
    pub digest: String,
    /// Why it is there.
    pub why: Reason,
}

/// A package of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// What it is.
    pub nevra: Nevra,
    /// Its repository.
    pub repo: String,
}

/// One reason why a goal can't be reached: the statements that can't all hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// The statements, those nearest to what was asked first; at least one.
    pub clauses: Vec<Clause>,
}

/// One statement of a [`Problem`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Clause {
    /// Nothing provides what was asked for.
    Missing {
        /// What was asked for, and by whom.
        asked: Asked,
        /// Names that are nearly the same, nearest first.
        near: Vec<String>,
        /// Packages that have the name in another version: the package and what it provides.
        have: Vec<(Package, String)>,
        /// Packages that would provide it, and why they may not.
        withheld: Vec<Withheld>,
    },
    /// This was asked for.
    Asked(Asked),
    /// Nothing provides what a package asks for.
    NothingProvides {
        /// The package.
        package: Package,
        /// What it asks for.
        requirement: String,
        /// Packages that have the name in another version: the package and what it provides.
        have: Vec<(Package, String)>,
        /// Packages that would provide it, and why they may not.
        withheld: Vec<Withheld>,
    },
    /// A package asks for something that can't be installed.
    Requires {
        /// The package.
        package: Package,
        /// What it asks for.
        requirement: String,
    },
    /// Two packages can't be there together.
    Conflicts {
        /// The one that says so.
        package: Package,
        /// What it says.
        requirement: String,
        /// The other.
        with: Package,
    },
    /// One package takes the place of another.
    Obsoletes {
        /// The one that says so.
        package: Package,
        /// What it says.
        requirement: String,
        /// The other.
        with: Package,
    },
    /// Two versions of one package.
    SameName {
        /// One.
        package: Package,
        /// The other.
        with: Package,
    },
    /// A package that conflicts with what it provides itself.
    SelfConflict {
        /// The package.
        package: Package,
        /// What it conflicts with.
        requirement: String,
    },
    /// A package that can't be installed on this architecture, or is of a lesser one than
    /// another of its name.
    NotInstallable {
        /// The package.
        package: Package,
    },
    /// Any other rule of the solver.
    Other(String),
}

/// A package that would provide something and may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withheld {
    /// The package.
    pub package: Package,
    /// Why.
    pub why: WithheldWhy,
}

/// Why a package may not provide something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithheldWhy {
    /// The target excludes it from its repository.
    Excluded,
    /// It is a tenant's, and an upstream package has the name.
    Tenant,
    /// It is of another architecture.
    Arch,
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Which of the wanted, by its place.
    pub wanted: usize,
    /// The whole path.
    pub path: String,
    /// The package that has it.
    pub package: Package,
    /// The digest by which the repository names the package.
    pub pkgid: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Failure {
    /// It would take more than a solver is given.
    TooComplex(String),
    /// Metadata that can't be used.
    Metadata(String),
    /// The metadata are not those that were promised.
    Digest(String),
    /// What the solver wrote earlier can't be read back: make it anew.
    Stale(String),
    /// A request that makes no sense here.
    Protocol(String),
    /// The system refused something.
    System(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back_and_unknown_fields_are_refused() {
        let request = Request::Solve(Solve {
            goals: vec![Goal {
                asked: vec![Asked {
                    requirement: "gcc >= 12".parse().expect("a requirement"),
                    by: Asker::Build,
                }],
                like: None,
                prefer: Vec::new(),
            }],
        });
        let text = serde_json::to_string(&request).expect("written");
        assert_eq!(serde_json::from_str::<Request>(&text).expect("read"), request);
        let more = text.replacen("\"goals\"", "\"colour\":1,\"goals\"", 1);
        assert!(serde_json::from_str::<Request>(&more).is_err());
    }

    #[test]
    fn a_claim_that_is_no_nevra_is_refused() {
        let text = r#"{"who":[[{"nevra":"../../etc/passwd","repo":"base"}]]}"#;
        assert!(serde_json::from_str::<Answer>(text).is_err());
    }
}
