use std::fs;
use std::path::{Path, PathBuf};

use kiln_parse::mock_config::import;
use kiln_parse::target::write;

use super::{print_text, read_text};
use crate::Failure;
use crate::failure::doing;

/// Where mock has its configurations, and what includes are written relative to.
const MOCK: &str = "/etc/mock";

/// The most bytes of a configuration file.
const CAP: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file, as /etc/mock/fedora-43-x86_64.cfg
    file: PathBuf,
    /// Write the target to this file; without it, to standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { file, output } = arguments;
    let name = file.display().to_string();
    let text = read_text(file, CAP).map_err(|cause| {
        let mut failure = Failure::caller(format!("{name} cannot be read"), None);
        failure.0.causes.push(cause);
        failure
    })?;
    let imported = import(&name, &text, &mut |path| include(file, path))?;
    let toml = write(&imported.target);
    match output {
        Some(output) => {
            fs::write(output, toml).map_err(doing(format!("writing {}", output.display())))?;
        }
        None => print_text(&toml)?,
    }
    for left_out in &imported.left_out {
        eprintln!("{left_out}");
    }
    let (repos, left_out) = (imported.target.repos.len(), imported.left_out.len());
    eprintln!("{}: {repos} repositories; left out: {left_out}", imported.target.name);
    Ok(())
}

/// The text of a file that a configuration includes: as mock looks for it, and beside the
/// configuration, wherever that lies.
fn include(file: &Path, path: &str) -> Result<String, String> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let inside = path.strip_prefix(MOCK).map_or(path, |rest| rest.trim_start_matches('/'));
    let places = [
        PathBuf::from(path),
        folder.join(inside),
        folder.join("..").join(inside),
        Path::new(MOCK).join(inside),
    ];
    let place = places.iter().find(|place| place.is_file()).ok_or("there is no such file")?;
    read_text(place, CAP)
}
