//! `kiln audit` and `kiln stats`.

use std::process::ExitCode;

use kiln_api::{Audited, Page};

use super::{Client, ago, print};
use crate::failure::Failure;

/// What `kiln audit` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// How many lines, the newest first
    #[arg(long, default_value_t = 50)]
    count: i64,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What `kiln stats` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Stats {
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn audit(arguments: &Audit) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let page: Page<Audited> = client.get(&format!("/api/v1/audit?count={}", arguments.count))?;
    let row = |one: &Audited| {
        vec![
            ago(one.at),
            one.actor.clone(),
            one.action.clone(),
            one.subject.clone(),
            one.detail.clone(),
        ]
    };
    print(arguments.json, &page.items, || page.items.iter().map(row).collect());
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn stats(arguments: &Stats) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let stats: kiln_api::Stats = client.get("/api/v1/stats")?;
    print(arguments.json, &stats, || {
        let row = |name: &str, value: i64| vec![name.to_owned(), value.to_string()];
        vec![
            row("jobs that could begin", stats.queue.ready),
            row("jobs that wait for others", stats.queue.held),
            row("jobs being built", stats.queue.leased),
            row("the first has waited, seconds", stats.queue.oldest_s),
            row("workers", stats.workers),
            row("attempts at once", stats.slots),
        ]
    });
    Ok(ExitCode::SUCCESS)
}
