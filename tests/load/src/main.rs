//! `kiln-load`: puts a service of its own under load, and prints what came of it.

#![allow(clippy::print_stdout, reason = "a program that prints a table")]

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use kiln_kit::{Ground, Postgres, Skipped, Trial};
use kiln_load::{Plan, Report, run};
use kiln_service::Service;

/// Puts a service under load: submits, takes and publishes as much as it is told.
#[derive(Debug, Parser)]
struct Arguments {
    /// The kiln that is tried
    #[arg(long, value_name = "PROGRAM")]
    kiln: PathBuf,

    /// On a PostgreSQL of its own, in place of SQLite
    #[arg(long)]
    postgres: bool,

    /// Those who submit, at once
    #[arg(long, default_value_t = 200)]
    clients: usize,

    /// Builds that are queued before the first is taken
    #[arg(long, default_value_t = 10_000)]
    builds: usize,

    /// Projects that they are of
    #[arg(long, default_value_t = 20)]
    projects: usize,

    /// Workers
    #[arg(long, default_value_t = 20)]
    workers: usize,

    /// Attempts that each worker runs at once
    #[arg(long, default_value_t = 10)]
    slots: u32,

    /// Builds that are submitted one by one in the end
    #[arg(long, default_value_t = 100)]
    singles: usize,

    /// How long each part of it may take, in seconds
    #[arg(long, default_value_t = 1200)]
    longest: u64,

    /// Where figures go as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let here = |Skipped(why)| anyhow::anyhow!("it cannot be run here: {why}");
    let ground = Ground::new().map_err(here)?;
    let trial = Trial::find().map_err(here)?;
    let postgres = match arguments.postgres {
        true => Some(Postgres::start().map_err(here)?),
        false => None,
    };
    // Whoever builds ten thousand packages in a minute asks more often than people do.
    let mut with = vec!["--workers", "0", "--rate-user", "0", "--rate-address", "0"];
    with.extend(postgres.iter().flat_map(|postgres| ["--database", postgres.url.as_str()]));
    let mut service = Service::start_as(&arguments.kiln, ground, &trial, &with)?;
    let Arguments { clients, builds, projects, workers, slots, singles, longest, .. } = arguments;
    let plan = Plan { clients, builds, projects, workers, slots, singles, longest };
    let report = tokio::runtime::Runtime::new()?.block_on(run(&service, &plan))?;
    anyhow::ensure!(service.stop()?, "the service did not end in good order");
    print(&report, if arguments.postgres { "PostgreSQL" } else { "SQLite" });
    if let Some(path) = arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn print(report: &Report, database: &str) {
    let Plan { clients, builds, projects, workers, slots, .. } = report.plan;
    println!(
        "{database}: {clients} clients, {builds} builds in {projects} projects, {workers} workers of {slots}"
    );
    println!("memory of control: {:.0} MiB idle, {:.0} at most", report.idle_mib, report.most_mib);
    for phase in &report.phases {
        let rate = phase.requests as f64 / phase.wall_s;
        println!(
            "\n{}: {:.1} s, {:.1} CPU-s of control, {} requests, {rate:.0} a second, {:.0} MiB at its end",
            phase.name, phase.wall_s, phase.cpu_s, phase.requests, phase.rss_mib
        );
        println!("  {:<20}{:>9}{:>11}{:>11}{:>11}", "ms", "count", "p50", "p99", "most");
        for one in &phase.figures {
            println!(
                "  {:<20}{:>9}{:>11.1}{:>11.1}{:>11.1}",
                one.what, one.count, one.p50_ms, one.p99_ms, one.most_ms
            );
        }
    }
    println!("\npublished: {} packages", report.published);
}
