//! `kiln hook`: forges that have something built; `kiln notify`: who is told what becomes of it.

use std::io::BufRead as _;
use std::process::ExitCode;

use kiln_api::{Hook, HookAsked, Listener, ListenerAsked};
use reqwest::Method;

use super::{Client, ago, print};
use crate::failure::{Failure, doing};

/// What `kiln hook` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct HookArguments {
    #[command(subcommand)]
    verb: HookVerb,
}

#[derive(Debug, clap::Subcommand)]
enum HookVerb {
    /// Let a forge have a repository built; prints what to tell the forge
    Add(Add),
    /// List the hooks of a project
    List(Of),
    /// Remove one
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The project
    project: String,

    /// The repository: https://…
    url: String,

    /// github, gitlab or forgejo (Gitea is one)
    #[arg(long)]
    forge: String,

    /// The folder with the spec; the top one, as a rule
    #[arg(long)]
    folder: Option<String>,

    /// Build pushes to these branches, '*' allowed
    #[arg(long, default_value = "")]
    branches: String,

    /// Build these tags, '*' allowed
    #[arg(long, default_value = "")]
    tags: String,

    /// Tell the forge the state of commits, by a token that is read from standard input
    #[arg(long)]
    token_stdin: bool,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What `kiln notify` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct NotifyArguments {
    #[command(subcommand)]
    verb: NotifyVerb,
}

#[derive(Debug, clap::Subcommand)]
enum NotifyVerb {
    /// Tell an address what becomes of the jobs of a project; prints what it is signed with
    Add(To),
    /// List who is told
    List(Of),
    /// Tell one of them nothing more
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
struct To {
    /// The project
    project: String,

    /// Where: https://…
    url: String,

    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Of {
    /// The project
    project: String,

    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Remove {
    /// The project
    project: String,

    /// Its number
    number: i64,
}

pub(crate) fn hooks(arguments: &HookArguments) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    match &arguments.verb {
        HookVerb::Add(add) => {
            let made = make(&client, add)?;
            print(add.json, &made, || {
                let row = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
                vec![
                    row("address", &made.address),
                    row("secret", made.secret.as_deref().unwrap_or_default()),
                    row("content type", "application/json"),
                ]
            });
        }
        HookVerb::List(of) => {
            let hooks: Vec<Hook> = client.get(&hooks_of(&of.project))?;
            print(of.json, &hooks, || {
                let row = |hook: &Hook| {
                    let Hook { id, forge, url, folder, branches, tags, .. } = hook.clone();
                    let folder = folder.unwrap_or_default();
                    vec![id.to_string(), forge, url, folder, branches, tags]
                };
                hooks.iter().map(row).collect()
            });
        }
        HookVerb::Remove(it) => {
            let path = format!("{}/{}", hooks_of(&it.project), it.number);
            client.tell(Method::DELETE, &path, None::<&()>)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn make(client: &Client, add: &Add) -> Result<Hook, Failure> {
    let mut token = None;
    if add.token_stdin {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.map_err(doing("reading the token"))?;
        token = Some(line.trim().to_owned());
    }
    let asked = HookAsked {
        forge: add.forge.clone(),
        url: add.url.clone(),
        folder: add.folder.clone(),
        branches: add.branches.clone(),
        tags: add.tags.clone(),
        token,
    };
    client.send(Method::POST, &hooks_of(&add.project), &asked)
}

pub(crate) fn notify(arguments: &NotifyArguments) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    match &arguments.verb {
        NotifyVerb::Add(to) => {
            let asked = ListenerAsked { url: to.url.clone() };
            let made: Listener = client.send(Method::POST, &listeners_of(&to.project), &asked)?;
            print(to.json, &made, || {
                vec![vec!["secret".to_owned(), made.secret.clone().unwrap_or_default()]]
            });
        }
        NotifyVerb::List(of) => {
            let all: Vec<Listener> = client.get(&listeners_of(&of.project))?;
            print(of.json, &all, || {
                let row = |one: &Listener| {
                    let state = match (one.disabled_at, one.failing_at) {
                        (Some(at), _) => format!("told nothing any more; given up {}", ago(at)),
                        (None, Some(at)) => format!("nothing arrives; it first failed {}", ago(at)),
                        (None, None) => String::new(),
                    };
                    vec![one.id.to_string(), one.url.clone(), state]
                };
                all.iter().map(row).collect()
            });
        }
        NotifyVerb::Remove(it) => {
            let path = format!("{}/{}", listeners_of(&it.project), it.number);
            client.tell(Method::DELETE, &path, None::<&()>)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn hooks_of(project: &str) -> String {
    format!("/api/v1/projects/{project}/hooks")
}

fn listeners_of(project: &str) -> String {
    format!("/api/v1/projects/{project}/listeners")
}
