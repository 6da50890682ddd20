//! The guest: tries one thing, prints `reached` or `held: why`.

use std::process::ExitCode;

pub(crate) fn main(what: &str) -> ExitCode {
    let result = match what {
        "nothing" => Ok(()),
        _ => return ExitCode::from(2),
    };
    let result: std::io::Result<()> = result;
    match result {
        Ok(()) => println!("reached"),
        Err(error) => println!("held: {error}"),
    }
    ExitCode::SUCCESS
}
