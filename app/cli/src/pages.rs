//! `kiln completions` and `kiln man`: what shells and man(1) want to know of the command line.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use crate::failure::{Failure, doing};

/// What `kiln completions` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// For which shell
    shell: Shell,
}

/// What `kiln man` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The folder that the pages are written to
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn completions(arguments: &Completions, mut command: Command) -> ExitCode {
    clap_complete::generate(arguments.shell, &mut command, "kiln", &mut std::io::stdout());
    ExitCode::SUCCESS
}

/// A page for kiln and one for each verb: `kiln.1`, `kiln-build.1`, …
pub(crate) fn man(arguments: &Man, command: Command) -> Result<ExitCode, Failure> {
    let folder = &arguments.folder;
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command.disable_help_subcommand(true), folder))
        .map_err(doing(format!("writing manual pages to {}", folder.display())))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;

    /// The help of a command and of all below it, as one document.
    fn describe(command: &mut Command, path: &str, to: &mut String) {
        let help = command.render_long_help();
        writeln!(to, "\n## {path}\n\n```text\n{}\n```", help.to_string().trim_end())
            .expect("writing to a String");
        let below: Vec<String> = command
            .get_subcommands()
            .map(|one| one.get_name().to_owned())
            .filter(|name| name != "help")
            .collect();
        for name in below {
            let found = command.find_subcommand_mut(&name).expect("a name that was listed");
            describe(found, &format!("{path} {name}"), to);
        }
    }

    #[test]
    fn the_reference_of_the_command_line_is_up_to_date() {
        let mut command = crate::Arguments::command().term_width(100);
        command.build();
        let begins = "# The command line\n\nGenerated from the program's own help: \
                      `KILN_BLESS=1 cargo test -p kiln-cli reference` writes it anew.\n";
        let mut text = begins.to_owned();
        describe(&mut command, "kiln", &mut text);
        // Blanks that only pad a line tell nobody anything.
        let text: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
        if std::env::var_os("KILN_BLESS").is_some() {
            fs::write(&path, &text).expect("written");
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "docs/cli.md is stale: run the command that it names");
    }
}
