//! The real dnf, as a reader of a project's repository.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use kiln_kit::Trial;
use rustix::process::geteuid;

use crate::{Service, TARGET};

/// dnf with a configuration, a cache and a root of its own.
pub struct Dnf {
    place: PathBuf,
}

impl Dnf {
    /// One that reads the project's repository, with both signatures checked, and the trial
    /// distribution; nothing where dnf is not installed.
    pub fn new(
        service: &Service,
        name: &str,
        project: &str,
        trial: &Trial,
    ) -> Result<Option<Self>> {
        if Command::new("dnf").arg("--version").output().is_err() {
            kiln_kit::skip("dnf is not installed");
            return Ok(None);
        }
        let place = service.ground().path().join(format!("dnf-{name}"));
        fs::create_dir_all(place.join("repos"))?;
        let repo = service.told(&["repo", "enable", project, TARGET])?;
        ensure!(repo.contains("gpgcheck=1\nrepo_gpgcheck=1"), "{repo}");
        fs::write(place.join("repos/project.repo"), repo)?;
        let base = trial.packages();
        let base = base.parent().context("the folder of the repository")?.display();
        let base = format!("[trial]\nname=trial\nbaseurl=file://{base}\ngpgcheck=0\nenabled=1\n");
        fs::write(place.join("repos/trial.repo"), base)?;
        let at = place.display();
        let conf = format!(
            "[main]\nreposdir={at}/repos\ncachedir={at}/cache\nlogdir={at}\npersistdir={at}\n\
             retries=1\n"
        );
        fs::write(place.join("dnf.conf"), conf)?;
        Ok(Some(Self { place }))
    }

    /// What dnf does and says.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        let output = as_root("dnf")
            .args(["-y", "-q", "--releasever=13", "--setopt=install_weak_deps=False", "-c"])
            .arg(self.place.join("dnf.conf"))
            .arg(format!("--installroot={}/root", self.place.display()))
            .args(arguments)
            .output()?;
        Ok(output)
    }

    /// The names of the packages that the project's repository has now, or what dnf said instead.
    pub fn names(&self, project: &str) -> Result<Result<Vec<String>, String>> {
        let repo = format!("kiln-{project}");
        // Its folder of logs is one of the root that it installs into.
        let inside = self.place.strip_prefix("/").unwrap_or(&self.place);
        let log = self.place.join("root").join(inside).join("dnf.librepo.log");
        let logged = fs::metadata(&log).map_or(0, |about| about.len() as usize);
        let query = ["--refresh", "--disablerepo=*", "--enablerepo", &repo, "repoquery"];
        let output = self.run(&[&query[..], &["--qf", "%{name}\n"]].concat())?;
        let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            // It says what it could not have; why stands in its log.
            let log = fs::read(&log).unwrap_or_default();
            let why = told(log.get(logged..).unwrap_or_default());
            return Ok(Err(format!("{}\n{why}", told(&output.stderr))));
        }
        let mut names: Vec<String> = told(&output.stdout)
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        names.sort();
        Ok(Ok(names))
    }

    /// Installs a package into the root, and runs the program of its name there; what it prints.
    pub fn install(&self, package: &str) -> Result<String> {
        let output = self.run(&["--refresh", "install", package])?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "dnf: {told}");
        let output = as_root("chroot").arg(self.place.join("root")).arg(package).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn as_root(program: &str) -> Command {
    let mut command = Command::new(if geteuid().is_root() { program } else { "unshare" });
    if !geteuid().is_root() {
        command.args(["--map-root-user", "--", program]);
    }
    // Where chroot is, which an ordinary user's path often lacks.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}
