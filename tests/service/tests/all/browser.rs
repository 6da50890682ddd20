//! The whole service through a real browser: nothing is made up, from the one who signs in to the
//! package that a reader gets. Skipped where there is no chromedriver.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kiln_kit::{Browser, Ground, Trial};
use kiln_service::{PASSWORD, Service, TARGET};

/// How long a build may take whose buildroot is not there yet.
const A_BUILD: Duration = Duration::from_secs(180);

/// Hands in a folder's spec; the browser then shows the job.
fn submit(browser: &Browser, service: &Service, folder: &Path, name: &str) -> Result<()> {
    let spec = folder.join(format!("{name}.spec"));
    browser.open(&format!("{}/projects/kettle/submit", service.url));
    browser.fill("input[type=file]", spec.to_str().context("a path")?);
    browser.click("main form button");
    browser.click("tbody th a");
    Ok(())
}

/// What readers of the project get: the number of the snapshot that the mirror list names.
fn snapshot(service: &Service) -> Result<String> {
    let list = service.read(&format!("/repos/kettle/{TARGET}/mirrorlist"))?;
    let address = list.lines().next().context("an address")?;
    let number = address.trim_end_matches('/').rsplit('/').next().context("a number")?;
    Ok(number.to_owned())
}

#[test]
fn a_packager_needs_nothing_but_a_browser() -> Result<()> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else { return Ok(()) };
    let Some(browser) = Browser::or_skip() else { return Ok(()) };
    let program = Path::new(env!("CARGO_BIN_EXE_kiln-service-program"));
    let service = Service::start(program, ground, &trial)?;

    browser.open(&format!("{}/login", service.url));
    browser.fill("main input[name=name]", "ann");
    browser.fill("main input[name=password]", PASSWORD);
    browser.click("main form button");
    browser.sees("Sign out");

    browser.open(&format!("{}/projects", service.url));
    browser.fill("main input[name=name]", "kettle");
    browser.fill("main input[name=summary]", "Made in a browser");
    browser.click("input[name=public]");
    browser.click(&format!("input[value='{TARGET}']"));
    browser.click("main form button");
    browser.sees("Made in a browser");

    // The log is seen while the build goes on: it says the second only when the first was read.
    let slow =
        service.spec("kt-slow", 1, "echo 'the first ''line'; sleep 8; echo 'the sec''ond'")?;
    submit(&browser, &service, &slow, "kt-slow")?;
    browser.sees_within(A_BUILD, "the first line");
    let shown = browser.run("return document.querySelector('#log').innerText");
    ensure!(!shown.as_str().context("a log")?.contains("the second"), "{shown}");
    browser.sees_within(A_BUILD, "the second");
    browser.sees_within(A_BUILD, "published in snapshot 1");
    ensure!(snapshot(&service)? == "1");

    submit(&browser, &service, &service.spec("kt-slow", 2, ":")?, "kt-slow")?;
    browser.sees_within(A_BUILD, "published in snapshot 2");

    // What is missing is named, with what to write into the spec.
    let broken = service.spec("kt-broken", 1, "kt-slow")?;
    submit(&browser, &service, &broken, "kt-broken")?;
    browser.sees_within(A_BUILD, "BuildRequires: kt-slow");
    browser.sees("Fault: package");

    browser.open(&format!("{}/projects/kettle/{TARGET}", service.url));
    browser.click("button[aria-label='Roll back to snapshot 1']");
    browser.sees("rollback");
    ensure!(snapshot(&service)? == "3", "a new one, with the content of the first");
    let complaints = browser.complaints();
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}
