//! From a file to a package that dnf installs; and what happens when processes are killed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test tells is printed")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kiln_kit::Trial;
use kiln_service::{Dnf, Service, TARGET, is_published};

fn service() -> Option<Result<Service>> {
    Service::with_project(env!("CARGO_BIN_EXE_kiln-service-program").as_ref(), "tools")
}

#[test]
fn a_package_goes_from_a_file_to_dnf() -> Result<()> {
    let Some(service) = service() else { return Ok(()) };
    let service = service?;
    let trial = Trial::find().ok().context("a trial")?;
    let job = service.build("tools", &service.spec("kt-one", 1, ":")?)?;
    ensure!(is_published(&job), "{job}");
    let dnf = Dnf::new(&service, "one", "tools", &trial)?;
    if let Some(dnf) = &dnf {
        let said = dnf.install("kt-one")?;
        ensure!(said == "kt-one 1\n", "{said}");
    }
    // Everything is warm now: from the command to a snapshot that readers see.
    let folder = service.spec("kt-two", 1, ":")?;
    let began = Instant::now();
    let job = service.build("tools", &folder)?;
    println!("from 'kiln build' to a published snapshot, warm: {:?}", began.elapsed());
    ensure!(is_published(&job) && job["snapshot"] == 2, "{job}");
    if let Some(dnf) = &dnf {
        // All of dnf is in it, from the start of its program.
        let names = dnf.names("tools")?.map_err(anyhow::Error::msg)?;
        println!("until a dnf that is started then has read it: {:?}", began.elapsed());
        ensure!(names == ["kt-one", "kt-two"], "{names:?}");
    }
    Ok(())
}

#[test]
fn one_name_has_one_content_and_the_same_again_is_no_news() -> Result<()> {
    let Some(service) = service() else { return Ok(()) };
    let service = service?;
    let folder = service.spec("kt-once", 1, ":")?;
    ensure!(is_published(&service.build("tools", &folder)?));
    let again = service.build("tools", &folder)?;
    ensure!(is_published(&again), "the same bytes: {again}");
    let other = service.build("tools", &service.spec("kt-once", 1, "echo other")?)?;
    // The spec is in the source package alone: the binary package is the same.
    ensure!(is_published(&other), "{other}");
    let spec = service.spec("kt-once", 1, ":")?.join("kt-once.spec");
    let changed = format!("s/echo kt-once/echo another/ {}", spec.display());
    let [script, file] = changed.rsplitn(2, ' ').collect::<Vec<_>>()[..] else { unreachable!() };
    let sed = service.ground().command(Path::new("sed")).args(["-i", file, script]).status()?;
    ensure!(sed.success());
    let refused = service.build("tools", &folder)?;
    ensure!(refused["state"] == "failed", "{refused}");
    let told = refused["report"].to_string();
    ensure!(told.contains("with other bytes") && told.contains("raise the release"), "{told}");
    Ok(())
}

#[test]
fn a_chain_sees_what_came_before_and_ends_with_the_first_that_fails() -> Result<()> {
    let Some(service) = service() else { return Ok(()) };
    let service = service?;
    let first = service.spec("kt-first", 1, ":")?;
    let second = service.spec("kt-second", 1, "kt-first")?;
    let spec = second.join("kt-second.spec");
    let sed = service
        .ground()
        .command(Path::new("sed"))
        .args(["-i", "s/^License:/BuildRequires: kt-first\\nLicense:/"])
        .arg(&spec)
        .status()?;
    ensure!(sed.success());
    let broken = service.spec("kt-broken", 1, "exit 1")?;
    let last = service.spec("kt-last", 1, ":")?;
    let mut arguments = vec!["build", "--project", "tools", "--chain", "--wait", "--json"];
    let folders = [&first, &second, &broken, &last];
    arguments.extend(folders.iter().filter_map(|folder| folder.to_str()));
    let builds = service.json(&arguments)?;
    let state = |at: usize| builds[at]["jobs"][0].clone();
    ensure!(is_published(&state(0)) && is_published(&state(1)), "{builds}");
    ensure!(state(2)["state"] == "failed" && state(3)["state"] == "failed", "{builds}");
    let told = state(3)["report"].to_string();
    ensure!(told.contains("which it waits for"), "{told}");
    Ok(())
}

/// Waits until the log of a job says something: what is to be killed is at work then.
fn wait_for_log(service: &Service, job: &str, wanted: &str) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        if service.told(&["log", job]).is_ok_and(|log| log.contains(wanted)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("job {job} never said {wanted}")
}

#[test]
fn what_is_killed_loses_no_build() -> Result<()> {
    let Some(service) = service() else { return Ok(()) };
    let mut service = service?;
    // Warm the buildroot, so that what is killed is the build.
    ensure!(is_published(&service.build("tools", &service.spec("kt-warm", 1, ":")?)?));
    for (number, victim) in ["worker", "internal-signer", "control"].iter().enumerate() {
        let name = format!("kt-killed{number}");
        let folder = service.spec(&name, 1, "echo here we are; sleep 2")?;
        let path = folder.to_str().context("a path")?;
        let made = service.json(&["build", "--project", "tools", "--json", path])?;
        let job = made[0]["jobs"][0]["id"].to_string();
        wait_for_log(&service, &job, "here we are")?;
        match *victim {
            "control" => {
                service.kill()?;
                service.up()?;
            }
            role => drop(service.kill_children(role)?),
        }
        let until = Instant::now() + Duration::from_secs(120);
        let over = loop {
            let builds = service.json(&["builds", "--count", "50", "--json"])?;
            let all = builds.as_array().context("a list")?;
            let found = all.iter().find(|one| one["id"] == made[0]["id"]);
            let now = found.context("the build")?["jobs"][0].clone();
            if now["is_over"] == true || Instant::now() > until {
                break now;
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        ensure!(is_published(&over), "after the {victim} was killed: {over}");
    }
    ensure!(service.stop()?, "it ends in good order");
    Ok(())
}

#[test]
fn a_stranger_sees_no_private_project_and_a_bad_upload_is_refused() -> Result<()> {
    let Some(service) = service() else { return Ok(()) };
    let service = service?;
    service.told(&["project", "create", "secret", "--target", TARGET])?;
    let anonymous = |path: &str| -> Result<String> {
        let url = format!("{}{path}", service.url);
        let arguments = ["-s", "-o", "/dev/null", "-w", "%{http_code}", &url];
        let output = Command::new("curl").args(arguments).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    ensure!(anonymous("/api/v1/projects/secret")? == "404");
    ensure!(anonymous("/api/v1/projects/tools")? == "200");
    ensure!(anonymous(&format!("/repos/secret/{TARGET}/mirrorlist"))? == "404");
    ensure!(anonymous("/api/v1/audit")? == "401");
    let text = service.ground().own_folder("not")?.join("not.src.rpm");
    let made =
        service.ground().command(Path::new("cp")).arg("/etc/hostname").arg(&text).status()?;
    ensure!(made.success());
    let text = text.to_str().context("a path")?;
    let refused = service.run(&["build", "--project", "tools", text])?;
    ensure!(refused.status.code() == Some(2));
    Ok(())
}
