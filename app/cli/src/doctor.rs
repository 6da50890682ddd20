//! `kiln doctor`: what this host offers and lacks, each with the command that mends it.

mod checks;

use std::process::ExitCode;

use console::style;
use serde::Serialize;

use crate::failure::Failure;
use crate::folders::Folders;

/// What `kiln doctor` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
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
    let folders = Folders::find()?;
    let findings = checks::all(&folders);
    let works = findings.iter().all(|finding| finding.standing != Standing::Missing);
    if arguments.json {
        let text = serde_json::to_string_pretty(&findings);
        println!("{}", text.expect("types of our own always serialise"));
    } else {
        findings.iter().for_each(tell);
        println!();
        match works {
            true => println!("kiln works on this host."),
            false => println!("kiln does not work on this host until what is missing is mended."),
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
