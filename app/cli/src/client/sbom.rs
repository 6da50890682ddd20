//! `kiln sbom`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use super::Client;
use crate::failure::{Failure, doing};

/// What `kiln sbom` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A job, or a repository as PROJECT/TARGET, or a snapshot of it as PROJECT/TARGET/NUMBER
    of: String,

    /// spdx: SPDX 2.3; or cyclonedx: CycloneDX 1.6; both as JSON
    #[arg(long, default_value = "spdx", value_parser = ["spdx", "cyclonedx"])]
    format: String,

    /// Into this file; to standard output where nothing is said
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments { of, format, output } = arguments;
    let path = match of.split('/').collect::<Vec<_>>()[..] {
        [job] if job.parse::<i64>().is_ok() => format!("/api/v1/jobs/{job}/sbom/{format}"),
        [project, target] => of_snapshot(project, target, "current", format),
        [project, target, number] => of_snapshot(project, target, number, format),
        _ => {
            let hint = "as 12, tools/fedora-43-x86_64 or tools/fedora-43-x86_64/7";
            let error = format!("{of:?} is neither a job nor a repository");
            return Err(Failure::caller(error, Some(hint.to_owned())));
        }
    };
    let client = Client::find()?;
    let mut bytes = Vec::new();
    client.read(&path, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    match output {
        Some(path) => {
            std::fs::write(path, &bytes).map_err(doing(format!("writing {}", path.display())))?;
        }
        // Nobody listens any more: no failure.
        None => drop(std::io::stdout().write_all(&bytes)),
    }
    Ok(ExitCode::SUCCESS)
}

fn of_snapshot(project: &str, target: &str, number: &str, format: &str) -> String {
    format!("/api/v1/projects/{project}/targets/{target}/snapshots/{number}/sbom/{format}")
}
