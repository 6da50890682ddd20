//! Running a program of the host's.

use std::ffi::OsStr;
use std::io::Read;
use std::process::{Command, Stdio};

use kiln_model::Foreign;

use crate::error::DebrpmError;

/// Runs `command` and gives what it wrote to its standard output. Where it fails, the error
/// carries the last lines that it wrote to its standard error.
pub(crate) fn run(command: &mut Command, doing: &'static str) -> Result<Vec<u8>, DebrpmError> {
    let failed = |said: &[u8]| DebrpmError::Apt { doing, said: last_lines(said) };
    let mut child = command
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("{}: {error}", name(command)).as_bytes()))?;
    let mut errors = child.stderr.take().expect("it is piped");
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = errors.read_to_end(&mut said);
        said
    });
    let mut written = Vec::new();
    let read = child.stdout.take().expect("it is piped").read_to_end(&mut written);
    let said = reader.join().unwrap_or_default();
    let status = child.wait().map_err(|error| failed(error.to_string().as_bytes()))?;
    if status.success() && read.is_ok() { Ok(written) } else { Err(failed(&said)) }
}

fn name(command: &Command) -> String {
    let program: &OsStr = command.get_program();
    program.to_string_lossy().into_owned()
}

fn last_lines(said: &[u8]) -> Foreign {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Foreign::new(&lines[lines.len().saturating_sub(2)..].join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_quoted_and_one_that_is_missing_is_named() {
        let error =
            run(Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]), "trying")
                .expect_err("it fails");
        assert!(error.to_string().contains("two"), "{error}");
        let error = run(&mut Command::new("/no/such/program"), "trying").expect_err("missing");
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }
}
