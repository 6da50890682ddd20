//! `kiln promote` and `kiln rebuild-dependants`.

use std::process::ExitCode;

use kiln_api::{Build, PromotionAsked, Rebuild, RebuildAsked};
use reqwest::Method;

use super::{Client, print};
use crate::failure::Failure;

/// What `kiln promote` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Promote {
    /// The build, of a project that one may read
    build: i64,

    /// The project that takes its results over
    project: String,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What `kiln rebuild-dependants` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct RebuildDependants {
    /// The project
    project: String,

    /// What they were built with: packages of the project, source or binary
    #[arg(required = true)]
    packages: Vec<String>,

    /// For this target only
    #[arg(long, short)]
    target: Option<String>,

    /// Also what was built with those, and so on
    #[arg(long)]
    deep: bool,

    /// Only tell what it would be
    #[arg(long)]
    dry_run: bool,

    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn promote(arguments: &Promote) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let path = format!("/api/v1/projects/{}/promotions", arguments.project);
    let build = arguments.build;
    let made: Build = client.send(Method::POST, &path, &PromotionAsked { build })?;
    print(arguments.json, &made, || {
        let place = format!("{}/builds/{}", client.server, made.id);
        vec![vec![place, made.title.clone()]]
    });
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn rebuild(arguments: &RebuildDependants) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let path = format!("/api/v1/projects/{}/rebuild", arguments.project);
    let asked = RebuildAsked {
        packages: arguments.packages.clone(),
        targets: arguments.target.iter().cloned().collect(),
        deep: arguments.deep,
        tell: arguments.dry_run,
    };
    let made: Rebuild = client.send(Method::POST, &path, &asked)?;
    print(arguments.json, &made, || {
        let row = |step: &kiln_api::RebuildStep| {
            let build = step.build.map(|build| format!("{}/builds/{build}", client.server));
            let after = match &step.after[..] {
                [] => String::new(),
                names => format!("after {}", names.join(", ")),
            };
            let had = format!("had {}", step.had.join(", "));
            vec![build.unwrap_or_default(), step.name.clone(), step.target.clone(), had, after]
        };
        made.steps.iter().map(row).collect()
    });
    Ok(ExitCode::SUCCESS)
}
