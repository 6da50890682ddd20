//! The target that builds against the distribution.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_model::Target;
use serde::Deserialize;

use crate::arch::Arch;
use crate::error::DebrpmError;
use crate::own::Values;
use crate::plan::Plan;
use crate::work::{self, Work};

/// The profiles, as `data/profiles.toml` lists them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profiles {
    version: u32,
    /// What the toolbox is resolved from.
    toolbox: Vec<String>,
    /// Stands in every profile.
    base: Vec<String>,
    /// Stands in the profile of that name besides.
    more: BTreeMap<String, Vec<String>>,
}

/// Writes the target's file into the work folder; gives its path.
pub(crate) fn write(work: &Work, plan: &Plan, arch: Arch) -> Result<PathBuf, DebrpmError> {
    let broken = |why: String| DebrpmError::Policy { subject: "data/profiles.toml".into(), why };
    let profiles: Profiles = toml::from_str(include_str!("../data/profiles.toml"))
        .map_err(|error| broken(error.to_string()))?;
    let number = plan.release.split('.').next().unwrap_or_default();
    let name = format!("trial-{number}-{}", arch.rpm);
    let profile = |more: &[String]| {
        let packages: Vec<&String> = profiles.base.iter().chain(more).collect();
        serde_json::json!({ "version": profiles.version, "packages": packages })
    };
    let by_name: BTreeMap<&str, serde_json::Value> =
        profiles.more.iter().map(|(name, more)| (name.as_str(), profile(more))).collect();
    let values = Values { arch, python: "", plan };
    // By way of JSON: the model's own reading checks every name in it.
    let target = serde_json::json!({
        "schema": kiln_model::TARGET_SCHEMA,
        "name": name,
        "summary": format!("kiln's trial distribution, made from Debian {} ({})", number, plan.suite),
        "arch": arch.rpm,
        "macros": { "dist": format!("%{{?distprefix}}{}", values.dist()) },
        "rpm": { "toolbox": profiles.toolbox },
        "profile": by_name,
        "repo": [{
            "id": "trial",
            "baseurl": [kiln_parse::place::of_file(&work.root().join("repo"))],
        }],
    });
    let target: Target =
        serde_json::from_value(target).map_err(|error| broken(error.to_string()))?;
    let text = toml::to_string_pretty(&target).map_err(|error| broken(error.to_string()))?;
    let path = work.root().join(format!("{name}.toml"));
    work::write(&path, text.as_bytes())?;
    Ok(path)
}
