//! `kiln project`.

use std::process::ExitCode;

use clap::Subcommand;
use kiln_api::{MemberChange, Page, Project, ProjectAsked, ProjectChange};
use kiln_model::ProjectSettings;
use reqwest::Method;

use super::{Client, print};
use crate::failure::Failure;

/// What `kiln project` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a project
    Create {
        /// Its name: also a part of URLs
        name: String,
        /// One line that says what it is
        #[arg(long, default_value = "")]
        summary: String,
        /// Anyone may see it and install from it
        #[arg(long)]
        public: bool,
        /// What it is built for; may be given again
        #[arg(long, short, value_name = "TARGET")]
        target: Vec<String>,
    },
    /// The projects that one may see
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// A project: its repositories, members and settings
    Show {
        /// Its name
        name: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a project
    Set {
        /// Its name
        name: String,
        /// One line that says what it is
        #[arg(long)]
        summary: Option<String>,
        /// Whether anyone may see it: yes or no
        #[arg(long, value_parser = yes_or_no)]
        public: Option<bool>,
        /// The base profile of its builds
        #[arg(long)]
        profile: Option<String>,
        /// Its weight in the queue, 100 is usual; operators only
        #[arg(long)]
        weight: Option<i64>,
        /// How many snapshots of each repository are kept besides the newest
        #[arg(long, value_name = "N")]
        keep_snapshots: Option<u32>,
        /// For how many days builds are kept none of whose packages is in a kept snapshot
        #[arg(long, value_name = "DAYS")]
        keep_days: Option<u32>,
    },
    /// Give somebody a role in a project, or take it away
    Member {
        /// The project
        name: String,
        /// The account
        user: String,
        /// reader, packager, maintainer, or none
        role: String,
    },
    /// Build a project for a target, or no more
    Target {
        /// The project
        name: String,
        /// The target
        target: String,
        /// No more; what was published stays
        #[arg(long)]
        drop: bool,
    },
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("say yes or no".to_owned()),
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    match &arguments.verb {
        Verb::Create { name, summary, public, target } => {
            let asked = ProjectAsked {
                name: name.clone(),
                summary: summary.clone(),
                is_public: *public,
                targets: target.clone(),
                settings: ProjectSettings::default(),
            };
            let made: Project = client.send(Method::POST, "/api/v1/projects", &asked)?;
            println!("{}/projects/{}", client.server, made.name);
        }
        Verb::List { json } => list(&client, *json)?,
        Verb::Show { name, json } => show(&client, name, *json)?,
        Verb::Set { name, summary, public, profile, weight, keep_snapshots, keep_days } => {
            let path = format!("/api/v1/projects/{name}");
            let is_set = profile.is_some() || keep_snapshots.is_some() || keep_days.is_some();
            let settings = match is_set {
                true => {
                    let old = client.get::<Project>(&path)?.settings;
                    Some(ProjectSettings {
                        profile: profile.clone().unwrap_or_else(|| old.profile.clone()),
                        keep_snapshots: keep_snapshots.unwrap_or(old.keep_snapshots),
                        keep_days: keep_days.unwrap_or(old.keep_days),
                        ..old.clone()
                    })
                }
                false => None,
            };
            let change = ProjectChange {
                summary: summary.clone(),
                is_public: *public,
                settings,
                weight: *weight,
            };
            let _: Project = client.send(Method::PATCH, &path, &change)?;
        }
        Verb::Member { name, user, role } => {
            let path = format!("/api/v1/projects/{name}/members/{user}");
            match role.as_str() {
                "none" => client.tell(Method::DELETE, &path, None::<&()>)?,
                role => {
                    let change = MemberChange { role: role.to_owned() };
                    client.tell(Method::PUT, &path, Some(&change))?;
                }
            }
        }
        Verb::Target { name, target, drop } => {
            let path = format!("/api/v1/projects/{name}/targets/{target}");
            let method = if *drop { Method::DELETE } else { Method::PUT };
            client.tell(method, &path, None::<&()>)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let mut projects: Vec<Project> = Vec::new();
    let mut after = String::new();
    loop {
        let page: Page<Project> = client.get(&format!("/api/v1/projects?after={after}"))?;
        projects.extend(page.items);
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    let row = |one: &Project| {
        let kind = if one.is_public { "public" } else { "private" };
        let role = one.role.clone().unwrap_or_default();
        vec![one.name.clone(), kind.to_owned(), role, one.summary.clone()]
    };
    print(json, &projects, || projects.iter().map(row).collect());
    Ok(())
}

fn show(client: &Client, name: &str, json: bool) -> Result<(), Failure> {
    let project: Project = client.get(&format!("/api/v1/projects/{name}"))?;
    print(json, &project, || {
        let kind = if project.is_public { "public" } else { "private" };
        let mut rows = vec![vec![project.name.clone(), kind.to_owned(), project.summary.clone()]];
        for repo in &project.repos {
            let state = match (repo.is_enabled, repo.snapshot) {
                (false, _) => "not built for any more".to_owned(),
                (true, 0) => "nothing published yet".to_owned(),
                (true, number) => format!("snapshot {number}"),
            };
            rows.push(vec![format!("  {}", repo.target), state, repo.url.clone()]);
        }
        for member in &project.members {
            rows.push(vec![format!("  {}", member.name), member.role.clone()]);
        }
        rows
    });
    Ok(())
}
