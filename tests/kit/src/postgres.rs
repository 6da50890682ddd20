use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::{Ground, Skipped};

/// A PostgreSQL of one test's own: in the test's folder, on a Unix socket there and nowhere else.
/// It ends with this.
pub struct Postgres {
    /// Where it is: `postgres://…`.
    pub url: String,
    stop: Command,
    _folder: TempDir,
}

impl Postgres {
    /// Starts one, as the user of the ground: PostgreSQL refuses root.
    pub fn start(ground: &Ground) -> Result<Self, Skipped> {
        let none = || Skipped("PostgreSQL is not installed ('scripts/setup test')".to_owned());
        let programs = programs().ok_or_else(none)?;
        let trouble = |error: anyhow::Error| Skipped(format!("PostgreSQL: {error:#}"));
        // Not in the test's folder: it may be gone before this ends.
        let made = ground.another_folder().map_err(trouble)?;
        let folder = made.path();
        let data = folder.join("data");
        let control = |what: &[&str]| {
            let mut command = ground.command(&programs.join("pg_ctl"));
            command.arg("-D").arg(&data).args(what).current_dir(folder);
            command
        };
        let mut init = ground.command(&programs.join("initdb"));
        init.arg("-D").arg(&data).args(["-U", "kiln", "--encoding", "UTF8", "--no-locale", "-N"]);
        run(&mut init)?;
        let options = format!("-c listen_addresses= -k {}", folder.display());
        let mut start = control(&["-w", "-o", &options, "-l"]);
        run(start.arg(folder.join("log")).arg("start"))?;
        let host = folder.display().to_string().replace('/', "%2F");
        let url = format!("postgres://kiln@{host}/postgres");
        Ok(Self { url, stop: control(&["-m", "immediate", "stop"]), _folder: made })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.stop.stdin(Stdio::null()).output();
    }
}

/// Where Debian has the programs of a server, or any.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    let folders = debian.chain([PathBuf::from("/usr/bin")]);
    folders.into_iter().find(|folder| has(folder, "initdb") && has(folder, "pg_ctl"))
}

fn has(folder: &Path, program: &str) -> bool {
    folder.join(program).is_file()
}

fn run(command: &mut Command) -> Result<(), Skipped> {
    let named = format!("{command:?}");
    let trouble = |what: &str| Skipped(format!("PostgreSQL: {named}: {what}"));
    // Its daemon would hold a pipe open for as long as it lives.
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = output.output().map_err(|error| trouble(&error.to_string()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(trouble(&String::from_utf8_lossy(&output.stderr))),
    }
}
