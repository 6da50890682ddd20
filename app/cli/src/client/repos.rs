//! `kiln repo`.

use std::process::ExitCode;

use clap::Subcommand;
use kiln_api::{Rollback, Snapshot};
use reqwest::Method;

use super::{Client, ago, print};
use crate::failure::Failure;

/// What `kiln repo` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The snapshots of a repository
    Show {
        /// The project
        project: String,
        /// The target
        target: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Go back to an earlier snapshot: readers get it at once, under a new number
    Rollback {
        /// The project
        project: String,
        /// The target
        target: String,
        /// The snapshot's number
        to: i64,
    },
    /// Print the .repo file: for /etc/yum.repos.d
    Enable {
        /// The project
        project: String,
        /// The target
        target: String,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    match &arguments.verb {
        Verb::Show { project, target, json } => {
            let path = format!("/api/v1/projects/{project}/targets/{target}/snapshots");
            let snapshots: Vec<Snapshot> = client.get(&path)?;
            let row = |one: &Snapshot| {
                let mark = if one.is_newest { "newest" } else { "" };
                let packages = format!("{} packages", one.packages);
                let number = one.number.to_string();
                vec![number, packages, ago(one.made_at), one.cause.clone(), mark.to_owned()]
            };
            print(*json, &snapshots, || snapshots.iter().map(row).collect());
        }
        Verb::Rollback { project, target, to } => {
            let path = format!("/api/v1/projects/{project}/targets/{target}/rollback");
            let made: Snapshot = client.send(Method::POST, &path, &Rollback { to: *to })?;
            println!("snapshot {} is what snapshot {to} was", made.number);
        }
        Verb::Enable { project, target } => {
            let path = format!("/repos/{project}/{target}/{project}.repo");
            client.read(&path, |piece| {
                print!("{}", String::from_utf8_lossy(piece));
                Ok(())
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
