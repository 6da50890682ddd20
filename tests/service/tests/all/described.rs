//! The service does what the description of its API says.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test tells is printed")]

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kiln_kit::{Ground, Trial};
use kiln_service::{Service, TARGET};

/// What `scripts/schemathesis` ends with where there is no schemathesis to be had.
const UNAVAILABLE: i32 = 75;

#[test]
#[ignore = "takes minutes: 'make test-all' runs it"]
fn the_service_does_what_its_description_says() -> Result<()> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else { return Ok(()) };
    let program = env!("CARGO_BIN_EXE_kiln-service-program").as_ref();
    // More is asked of it in a second than of any other, and a refusal for that tries nothing.
    let with = ["--workers", "0", "--rate-user", "0", "--rate-address", "0"];
    let service = Service::start_as(program, ground, &trial, &with)?;
    // Something of each kind, so that not everything that is asked for is missing; and nothing
    // that goes on, so that nobody waits for its log.
    service.told(&["project", "create", "tools", "--target", TARGET])?;
    service.say(&["user", "create", "bob"], "correct horse battery")?;
    let folder = service.spec("kt-described", 1, ":")?;
    let folder = folder.to_str().context("a path")?;
    service.told(&["build", "--project", "tools", folder])?;
    service.told(&["cancel", "1"])?;
    // Among what is tried is to revoke tokens of low numbers.
    let mut token = String::new();
    for number in 0..12 {
        token = service.told(&["token", "create", &format!("tried {number}"), "--scope", "all"])?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/schemathesis");
    let mut tried = Command::new(script);
    let output = tried.arg(&service.url).env("KILN_TOKEN", token.trim()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(UNAVAILABLE) {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return Ok(());
    }
    let failed = || format!("{said}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}", failed());
    // A description that it cannot read, or nothing that it tries, is no success.
    ensure!(said.matches("Tested: ").count() == 3, "{}", failed());
    println!("{said}");
    Ok(())
}
