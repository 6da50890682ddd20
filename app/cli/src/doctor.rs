//! `kiln doctor`: what this host offers and lacks, each with the command that mends it.

mod checks;
mod log;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;

use console::style;
use serde::Serialize;

use crate::failure::Failure;
use crate::folders::Folders;

/// What `kiln doctor` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Look at the service whose data are in this folder, in place of what builds need of a host
    #[arg(long, value_name = "DIR")]
    server_folder: Option<PathBuf>,

    /// Its database, where it is not an SQLite file in that folder
    #[arg(long, value_name = "URL", env = "KILN_DATABASE", hide_env_values = true)]
    database: Option<String>,

    /// Where it is reached, to be looked at as its users see it
    #[arg(long, value_name = "URL", env = "KILN_URL")]
    url: Option<String>,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// How a thing that was looked at stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// As it should be.
    Fine,
    /// kiln works without it, but holds less well or is slower.
    Weaker,
    /// kiln does not work without it.
    Missing,
}

/// A thing that was looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    /// What.
    pub(crate) what: &'static str,
    /// How it stands.
    pub(crate) standing: Standing,
    /// What was found.
    pub(crate) found: String,
    /// What mends it: a command, or a sentence where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mend: Option<String>,
}

impl Finding {
    pub(crate) fn fine(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, standing: Standing::Fine, found: found.into(), mend: None }
    }

    pub(crate) fn weaker(
        what: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let mend = Some(mend.into());
        Self { what, standing: Standing::Weaker, found: found.into(), mend }
    }

    pub(crate) fn missing(
        what: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let mend = Some(mend.into());
        Self { what, standing: Standing::Missing, found: found.into(), mend }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let findings = match &arguments.server_folder {
        Some(folder) => {
            let Arguments { database, url, .. } = arguments;
            server::all(&server::Asked {
                folder,
                database: database.as_deref(),
                url: url.as_deref(),
            })?
        }
        None => checks::all(&Folders::find()?),
    };
    let works = findings.iter().all(|finding| finding.standing != Standing::Missing);
    if arguments.json {
        let text = serde_json::to_string_pretty(&findings);
        println!("{}", text.expect("types of our own always serialise"));
    } else {
        findings.iter().for_each(tell);
        println!();
        match (works, &arguments.server_folder) {
            (true, None) => println!("kiln works on this host."),
            (true, Some(_)) => println!("The service has what it needs."),
            (false, _) => println!("It does not work until what is missing is mended."),
        }
    }
    Ok(if works { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn tell(finding: &Finding) {
    let word = match finding.standing {
        Standing::Fine => style("fine   ").green(),
        Standing::Weaker => style("weaker ").yellow(),
        Standing::Missing => style("missing").red().bold(),
    };
    println!("{word}  {:<22} {}", finding.what, finding.found);
    if let Some(mend) = &finding.mend {
        println!("         {:<22} {} {mend}", "", style("mend:").cyan());
    }
}
