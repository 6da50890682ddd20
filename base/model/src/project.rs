use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Isolation, RepoSpec, SomeLimits};

/// How the builds of a project are made, unless a build says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectSettings {
    /// The base profile.
    pub profile: String,
    /// Macros, name without `%` to body; they go before those of the target.
    pub macros: BTreeMap<String, String>,
    /// Build conditions that are switched on (`--with`).
    pub with: Vec<String>,
    /// Build conditions that are switched off (`--without`).
    pub without: Vec<String>,
    /// Repositories that take part besides those of the target, by the target's name.
    pub repos: BTreeMap<String, Vec<RepoSpec>>,
    /// The priority of the project's own repository: lower is preferred, those of targets have
    /// 99.
    pub priority: u16,
    /// Names of upstream packages, `*` allowed, that the project's own may stand in for.
    pub may_replace: Vec<String>,
    /// How many snapshots of each repository are kept besides the newest.
    pub keep_snapshots: u32,
    /// For how many days sources, results and logs of a build are kept none of whose packages is
    /// in a snapshot that is kept.
    pub keep_days: u32,
    /// Whether metadata are packed with gzip and not with zstd, which readers of before 2018 or so
    /// cannot read. One `repomd.xml` names one of them.
    pub gzip: bool,
    /// Whether each build is built again at background priority, and held against what came out
    /// first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub verify: bool,
    /// What its builds may take, over what their targets say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: SomeLimits,
    /// What stands between its builds and their hosts; what an operator has said where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

impl Default for ProjectSettings {
    fn default() -> Self {
        Self {
            profile: "distribution".to_owned(),
            macros: BTreeMap::new(),
            with: Vec::new(),
            without: Vec::new(),
            repos: BTreeMap::new(),
            priority: 50,
            may_replace: Vec::new(),
            keep_snapshots: 20,
            keep_days: 90,
            gzip: false,
            verify: false,
            limits: SomeLimits::new(),
            isolation: None,
        }
    }
}
