//! `kiln sweep`: what a service keeps and nothing needs.

use std::process::ExitCode;

use indicatif::HumanBytes;
use kiln_api::{SweepAsked, Swept};
use reqwest::Method;

use super::{Client, print};
use crate::failure::Failure;

/// What `kiln sweep` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Keep blobs that were written or asked for in so many hours, whether anything names them
    /// or not
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..))]
    young: u32,

    /// Only say what would be removed, at the least: not what only snapshots name that would go
    /// themselves
    #[arg(long)]
    dry_run: bool,

    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let Arguments { young, dry_run, json } = arguments;
    let asked = SweepAsked { young_hours: *young, is_trial: *dry_run };
    let swept: Swept = client.send(Method::POST, "/api/v1/sweep", &asked)?;
    print(*json, &swept, || {
        let row = |name: &str, count: u64| vec![count.to_string(), name.to_owned()];
        vec![
            row("snapshots", swept.snapshots),
            row("jobs whose results, sources and logs went", swept.jobs),
            row(&format!("blobs, {}", HumanBytes(swept.bytes)), swept.blobs),
        ]
    });
    Ok(ExitCode::SUCCESS)
}
