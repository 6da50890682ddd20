//! What operators do with workers.

use std::process::ExitCode;

use clap::Subcommand;
use kiln_api::{Enrolment, EnrolmentAsked, Worker, WorkerChange};
use reqwest::Method;

use super::{Client, ago, print};
use crate::failure::Failure;

/// What operators do with workers.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a one-time right for a host to become a worker
    Enroll {
        /// What it will be called
        name: String,
    },
    /// Every worker
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a worker end what it has and take nothing new
    Drain {
        /// Its name
        name: String,
    },
    /// Let a worker that was drained or set aside take work again
    Resume {
        /// Its name
        name: String,
    },
}

pub(crate) fn run(verb: &Verb) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let set = |name: &str, state: &str| {
        let change = WorkerChange { state: state.to_owned() };
        client.tell(Method::PATCH, &format!("/api/v1/workers/{name}"), Some(&change))
    };
    match verb {
        Verb::Enroll { name } => {
            let asked = EnrolmentAsked { name: name.clone() };
            let made: Enrolment = client.send(Method::POST, "/api/v1/workers", &asked)?;
            println!("kiln worker --server {} --enroll {}", client.server, made.ticket);
        }
        Verb::List { json } => {
            let workers: Vec<Worker> = client.get("/api/v1/workers")?;
            let row = |one: &Worker| {
                let seen = one.seen_at.map_or_else(|| "never seen".to_owned(), ago);
                let slots = format!("{} at once", one.slots);
                let (name, arch) = (one.name.clone(), one.arch.clone());
                vec![name, arch, slots, one.state.clone(), seen, one.why.clone()]
            };
            print(*json, &workers, || workers.iter().map(row).collect());
        }
        Verb::Drain { name } => set(name, "draining")?,
        Verb::Resume { name } => set(name, "active")?,
    }
    Ok(ExitCode::SUCCESS)
}
