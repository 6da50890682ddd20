//! The hosted service, as its users meet it: the program itself, started, spoken to by its own
//! command line, and killed.
//!
//! Zone: tests.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test tells is printed")]

mod dice;
mod dnf;
mod forge;
mod http;
mod provider;
mod reader;

pub use dice::Dice;
pub use dnf::Dnf;
pub use http::{Answer, Http};
pub use provider::{Page, Provider, Visitor, free_address};
pub use reader::{Look, Reader};

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kiln_kit::{Ground, Trial};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub use forge::{Forge, Heard};

/// The target of the trial distribution.
pub const TARGET: &str = "trial-13-x86_64";

/// Of the operator, whose name is `ann`.
pub const PASSWORD: &str = "correct horse battery";

/// How long a service may take to come up or to go.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a job was built, and readers see what it made.
pub fn is_published(job: &Value) -> bool {
    job["state"] == "built" && job["snapshot"].is_i64()
}

/// A service that runs, with an operator who is signed in.
pub struct Service {
    ground: Arc<Ground>,
    kiln: PathBuf,
    data: PathBuf,
    /// Where it listens.
    pub url: String,
    arguments: Vec<String>,
    is_quiet: bool,
    /// By whom its certificate is.
    authority: Option<PathBuf>,
    process: Option<Child>,
}

impl Service {
    /// Starts one in a folder of its own, builds for the trial distribution.
    pub fn start(built: &Path, ground: Ground, trial: &Trial) -> Result<Self> {
        Self::start_with(built, ground, trial, 2)
    }

    /// As [`Service::start`], with a public project that is built for [`TARGET`]; nothing where
    /// this machine has not what it takes.
    pub fn with_project(built: &Path, project: &str) -> Option<Result<Self>> {
        let (ground, trial) = (Ground::or_skip()?, Trial::or_skip()?);
        Some(Self::start(built, ground, &trial).and_then(|service| {
            service.told(&["project", "create", project, "--public", "--target", TARGET])?;
            Ok(service)
        }))
    }

    /// As [`Service::start`], with so many attempts at once on its own host; none for 0.
    pub fn start_with(built: &Path, ground: Ground, trial: &Trial, workers: u32) -> Result<Self> {
        Self::start_as(built, ground, trial, &["--workers", &workers.to_string()])
    }

    /// As [`Service::start`], with these arguments of `kiln up`.
    pub fn start_as(built: &Path, ground: Ground, trial: &Trial, with: &[&str]) -> Result<Self> {
        let mut service = Self::prepare(built, ground, trial, with)?;
        service.begin()?;
        Ok(service)
    }

    /// Starts it for the first time, and signs its operator in.
    pub fn begin(&mut self) -> Result<()> {
        let ticket = self.up()?.context("a new service prints a ticket")?;
        let url = self.url.clone();
        self.say(&["login", &url, "--user", "ann", "--ticket", &ticket], PASSWORD)
    }

    /// A service that [`Service::begin`] starts.
    pub fn prepare(built: &Path, ground: Ground, trial: &Trial, with: &[&str]) -> Result<Self> {
        let kiln = ground.program(built)?;
        // Beside a certificate lies who made it.
        let certificate = with.iter().skip_while(|it| **it != "--tls-cert").nth(1);
        let authority = certificate.map(|path| Path::new(path).with_file_name("ca.pem"));
        let data = ground.own_folder("service")?;
        let ground = Arc::new(ground);
        let targets = data.join("config/targets");
        let made = ground.command(Path::new("mkdir")).arg("-p").arg(&targets).status()?;
        ensure!(made.success(), "making {}", targets.display());
        let name = targets.join(format!("{TARGET}.toml"));
        let mut link = ground.command(Path::new("ln"));
        let linked = link.arg("-s").arg(&trial.target).arg(name).status()?;
        ensure!(linked.success(), "linking the target");
        share_layers(&ground, trial, &data)?;
        let arguments = with.iter().map(|word| (*word).to_owned()).collect();
        let url = String::new();
        Ok(Self { ground, kiln, data, url, arguments, is_quiet: false, authority, process: None })
    }

    /// Another control process over the same folder, for [`Service::up`] to start: with a database
    /// that both can use.
    pub fn beside(&self, with: &[&str]) -> Self {
        let arguments = with.iter().map(|word| (*word).to_owned()).collect();
        Self {
            ground: Arc::clone(&self.ground),
            kiln: self.kiln.clone(),
            data: self.data.clone(),
            url: String::new(),
            arguments,
            is_quiet: self.is_quiet,
            authority: self.authority.clone(),
            process: None,
        }
    }

    /// A service in another folder, at the same address: for when this one is down.
    pub fn elsewhere(&self, name: &str, with: &[&str]) -> Self {
        let data = self.ground.path().join(name);
        let mut other = self.beside(with);
        other.data = data;
        other.url = self.url.clone();
        other
    }

    /// The service's folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Starts the process, where none runs; the ticket that it prints, if it does.
    pub fn up(&mut self) -> Result<Option<String>> {
        let listen = match self.url.strip_prefix("http://") {
            Some(address) => address.to_owned(),
            None => "127.0.0.1:0".to_owned(),
        };
        let mut child = self
            .command()
            .args(["up", "--listen", &listen])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(self.log_to()?)
            .spawn()?;
        let mut ticket = None;
        let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        for line in lines {
            let line = line?;
            if let Some((_, secret)) = line.rsplit_once("--ticket ") {
                ticket = Some(secret.to_owned());
            }
            if let Some(url) = line.strip_prefix("kiln is up: ") {
                self.url = url.to_owned();
                self.process = Some(child);
                return Ok(ticket);
            }
        }
        bail!("the service ended: {}\n{}", child.wait()?, self.last_words())
    }

    /// What the service and its children wrote lately.
    pub fn last_words(&self) -> String {
        const SHOWN: usize = 40;
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    /// Keeps what it writes in a file from the next start on: much is said where much is killed.
    pub fn be_quiet(&mut self) {
        self.is_quiet = true;
    }

    fn log_to(&self) -> Result<Stdio> {
        if !self.is_quiet {
            return Ok(Stdio::inherit());
        }
        Ok(fs::OpenOptions::new().create(true).append(true).open(self.log())?.into())
    }

    fn log(&self) -> PathBuf {
        self.ground.path().join("service.log")
    }

    /// The way to it as its operator, by a token made for the occasion.
    pub fn http(&self) -> Result<Http> {
        let token = self.told(&["token", "create", "test", "--scope", "all"])?;
        let address = self.url.strip_prefix("http://").context("an address")?.to_owned();
        Ok(Http { address, token: token.trim().to_owned() })
    }

    /// Ends the process as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.process.take().context("it runs")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks the process to end; whether it did so in good order.
    pub fn stop(&mut self) -> Result<bool> {
        let mut child = self.process.take().context("it runs")?;
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM)?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = child.try_wait()? {
                return Ok(status.success());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill()?;
        child.wait()?;
        Ok(false)
    }

    /// The process that is control.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("it runs")?.id())
    }

    /// The processes that the service started in a role: `worker`, `internal-signer`.
    pub fn children(&self, role: &str) -> Result<Vec<Pid>> {
        let parent = self.process.as_ref().context("it runs")?.id();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
            let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
            let is_ours = status.lines().any(|line| line == format!("PPid:\t{parent}"));
            let is_role = line.split(|byte| *byte == 0).nth(1) == Some(role.as_bytes());
            if let (true, true, Some(pid)) = (is_ours, is_role, Pid::from_raw(pid)) {
                found.push(pid);
            }
        }
        Ok(found)
    }

    /// Kills the processes that the service started in a role; how many there were.
    pub fn kill_children(&self, role: &str) -> Result<usize> {
        let children = self.children(role)?;
        for pid in &children {
            kill_process(*pid, Signal::KILL)?;
        }
        Ok(children.len())
    }

    /// The command line, as the operator.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command().args(arguments).stdin(Stdio::null()).output()?)
    }

    /// As [`Service::run`]; what it printed. That it fails is an error.
    pub fn told(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(text)
    }

    /// As [`Service::run`], with JSON as the answer, whatever the exit code.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.run(arguments)?;
        let what = || format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).with_context(what)
    }

    /// As [`Service::told`], with a line on standard input.
    pub fn say(&self, arguments: &[&str], line: &str) -> Result<()> {
        let mut child =
            self.command().args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        child.stdin.take().context("its input")?.write_all(format!("{line}\n").as_bytes())?;
        ensure!(child.wait()?.success(), "{arguments:?} failed");
        Ok(())
    }

    /// A folder with a spec that builds in a moment: a script in /usr/bin, and what `%build` does.
    pub fn spec(&self, name: &str, release: u32, build: &str) -> Result<PathBuf> {
        let folder = self.ground.own_folder(&format!("{name}-{release}-src"))?;
        let text = spec_text(name, release, build);
        let spec = folder.join(format!("{name}.spec"));
        let mut tee = self
            .ground
            .command(Path::new("tee"))
            .arg(&spec)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        tee.stdin.take().context("its input")?.write_all(text.as_bytes())?;
        ensure!(tee.wait()?.success(), "writing {}", spec.display());
        Ok(folder)
    }

    /// As [`Service::spec`], with `%dist` in its release, and asking for something.
    pub fn spec_that_needs(&self, name: &str, needs: &[&str], build: &str) -> Result<PathBuf> {
        let folder = self.spec(name, 1, build)?;
        let needs: String = needs.iter().map(|need| format!("BuildRequires: {need}\\n")).collect();
        let change = format!("s/^Release:.*/Release: 1%{{?dist}}\\n{needs}/");
        let spec = folder.join(format!("{name}.spec"));
        let mut sed = self.ground.command(Path::new("sed"));
        let changed = sed.args(["-i", &change]).arg(&spec).status()?;
        ensure!(changed.success(), "changing {}", spec.display());
        Ok(folder)
    }

    /// Submits a folder and waits; the only job, as JSON.
    pub fn build(&self, project: &str, folder: &Path) -> Result<Value> {
        let folder = folder.to_str().context("a path")?;
        let builds = self.json(&["build", "--project", project, "--wait", "--json", folder])?;
        Ok(builds[0]["jobs"][0].clone())
    }

    /// Says something to the service as whoever has a secret: the status, and the answer.
    pub fn ask(&self, method: &str, path: &str, secret: &str, body: &[u8]) -> Result<(u16, Value)> {
        let mut curl = Command::new("curl")
            .args(["-s", "-X", method, "--data-binary", "@-", "-w", "\n%{http_code}"])
            .args(["-H", &format!("Authorization: Bearer {secret}")])
            .arg(format!("{}{path}", self.url))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        curl.stdin.take().context("its input")?.write_all(body)?;
        let text = String::from_utf8_lossy(&curl.wait_with_output()?.stdout).into_owned();
        let (answer, status) = text.rsplit_once('\n').context("a status")?;
        Ok((status.parse()?, serde_json::from_str(answer).unwrap_or(Value::Null)))
    }

    /// What is at a path, as anybody gets it.
    pub fn read(&self, path: &str) -> Result<String> {
        let output =
            Command::new("curl").args(["-sSf", &format!("{}{path}", self.url)]).output()?;
        ensure!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What is at a path, as whoever has a secret gets it.
    pub fn text(&self, path: &str, secret: &str) -> Result<String> {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-f", "-H", &format!("Authorization: Bearer {secret}")]);
        let output = curl.arg(format!("{}{path}", self.url)).output()?;
        ensure!(output.status.success(), "{path}: {}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// As [`Service::json`], with a line on standard input.
    pub fn json_of(&self, arguments: &[&str], line: &str) -> Result<Value> {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        child.stdin.take().context("its input")?.write_all(format!("{line}\n").as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{arguments:?} failed");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Posts a body with these fields to an address of the service, as anybody.
    pub fn post(&self, url: &str, fields: &[(&str, &str)], body: &[u8]) -> Result<(u16, String)> {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--data-binary", "@-", "-w", "\n%{http_code}"]);
        for (name, value) in fields {
            curl.arg("-H").arg(format!("{name}: {value}"));
        }
        let mut curl = curl.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        curl.stdin.take().context("its input")?.write_all(body)?;
        let text = String::from_utf8_lossy(&curl.wait_with_output()?.stdout).into_owned();
        let (answer, status) = text.rsplit_once('\n').context("a status")?;
        Ok((status.parse()?, answer.to_owned()))
    }

    /// The ground that it stands on.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    fn command(&self) -> Command {
        let mut command = self.ground.command(&self.kiln);
        command.env("KILN_DIR", &self.data);
        if let Some(authority) = &self.authority {
            command.env("KILN_CA", authority);
        }
        command
    }
}

/// Layers are named by all that went into them, so every service of the tests may have the same: a
/// test need not make anew what another has made.
fn share_layers(ground: &Ground, trial: &Trial, data: &Path) -> Result<()> {
    let beside = trial.folder.parent().context("the trial lies in a folder")?;
    let shared = beside.join("kiln-test-layers");
    let mut make = ground.command(Path::new("mkdir"));
    let made = make.args(["-p", "-m", "0700"]).arg(&shared).status()?;
    let mut link = ground.command(Path::new("ln"));
    let linked = link.arg("-s").arg(&shared).arg(data.join("layers.v1")).status()?;
    ensure!(made.success() && linked.success(), "sharing {}", shared.display());
    Ok(())
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.process.is_some() {
            // In good order, so that its worker cleans up; a test that failed has said so already.
            let _ = self.stop();
        }
    }
}

/// A spec that builds in a moment: a script in /usr/bin, and what `%build` does.
pub fn spec_text(name: &str, release: u32, build: &str) -> String {
    format!(
        "Name: {name}\nVersion: 1\nRelease: {release}\nSummary: A test\nLicense: MIT\n\
         BuildArch: noarch\n%description\nA test.\n%build\n{build}\n%install\n\
         mkdir -p %{{buildroot}}/usr/bin\n\
         printf '#!/bin/sh\\necho {name} {release}\\n' > %{{buildroot}}/usr/bin/{name}\n\
         chmod 755 %{{buildroot}}/usr/bin/{name}\n%files\n/usr/bin/{name}\n\
         %changelog\n* Sun Nov 01 2026 A Test <test@example.org> - 1-{release}\n- Made.\n"
    )
}
