//! The hosted service, as its users meet it: the program itself, started, spoken to by its own
//! command line, and killed.
//!
//! Zone: tests.

mod forge;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kiln_kit::{Ground, Trial};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub use forge::{Forge, Heard};

/// The target of the trial distribution.
pub const TARGET: &str = "trial-13-x86_64";

const PASSWORD: &str = "correct horse battery";

/// How long a service may take to come up or to go.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service that runs, with an operator who is signed in.
pub struct Service {
    ground: Ground,
    kiln: PathBuf,
    data: PathBuf,
    /// Where it listens.
    pub url: String,
    workers: u32,
    /// What 'kiln up' is told besides.
    options: Vec<String>,
    /// By whom its certificate is.
    authority: Option<PathBuf>,
    process: Option<Child>,
}

impl Service {
    /// Starts one in a folder of its own, builds for the trial distribution.
    pub fn start(built: &Path, ground: Ground, trial: &Trial) -> Result<Self> {
        Self::start_with(built, ground, trial, 2)
    }

    /// As [`Service::start`], with more options of `kiln up`.
    pub fn start_as(built: &Path, ground: Ground, trial: &Trial, options: &[&str]) -> Result<Self> {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Self::begin(built, ground, trial, 2, options)
    }

    /// As [`Service::start`], with so many attempts at once on its own host; none for 0.
    pub fn start_with(built: &Path, ground: Ground, trial: &Trial, workers: u32) -> Result<Self> {
        Self::begin(built, ground, trial, workers, Vec::new())
    }

    fn begin(
        built: &Path,
        ground: Ground,
        trial: &Trial,
        workers: u32,
        options: Vec<String>,
    ) -> Result<Self> {
        let kiln = ground.program(built)?;
        // Beside a certificate lies who made it.
        let certificate = options.iter().skip_while(|it| *it != "--tls-cert").nth(1);
        let authority = certificate.map(|path| Path::new(path).with_file_name("ca.pem"));
        let data = ground.own_folder("service")?;
        let targets = data.join("config/targets");
        let made = ground.command(Path::new("mkdir")).arg("-p").arg(&targets).status()?;
        ensure!(made.success(), "making {}", targets.display());
        let name = targets.join(format!("{TARGET}.toml"));
        let mut link = ground.command(Path::new("ln"));
        let linked = link.arg("-s").arg(&trial.target).arg(name).status()?;
        ensure!(linked.success(), "linking the target");
        let url = String::new();
        let mut service =
            Self { ground, kiln, data, url, workers, options, authority, process: None };
        let ticket = service.up()?.context("a new service prints a ticket")?;
        let url = service.url.clone();
        service.say(&["login", &url, "--user", "ann", "--ticket", &ticket], PASSWORD)?;
        Ok(service)
    }

    /// Starts the process, where none runs; the ticket that it prints, if it does.
    pub fn up(&mut self) -> Result<Option<String>> {
        let listen = match self.url.strip_prefix("http://") {
            Some(address) => address.to_owned(),
            None => "127.0.0.1:0".to_owned(),
        };
        let mut child = self
            .command()
            .args(["up", "--listen", &listen, "--workers", &self.workers.to_string()])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
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
        bail!("the service ended: {}", child.wait()?)
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
        let text = format!(
            "Name: {name}\nVersion: 1\nRelease: {release}\nSummary: A test\nLicense: MIT\n\
             BuildArch: noarch\n%description\nA test.\n%build\n{build}\n%install\n\
             mkdir -p %{{buildroot}}/usr/bin\n\
             printf '#!/bin/sh\\necho {name} {release}\\n' > %{{buildroot}}/usr/bin/{name}\n\
             chmod 755 %{{buildroot}}/usr/bin/{name}\n%files\n/usr/bin/{name}\n\
             %changelog\n* Sun Nov 01 2026 A Test <test@example.org> - 1-{release}\n- Made.\n"
        );
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

impl Drop for Service {
    fn drop(&mut self) {
        if self.process.is_some() {
            // In good order, so that its worker cleans up; a test that failed has said so already.
            let _ = self.stop();
        }
    }
}
