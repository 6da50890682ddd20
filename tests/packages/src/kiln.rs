//! kiln, as it is typed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kiln_kit::begun_by;
use serde::{Deserialize, Serialize};

use crate::place::Place;

/// kiln, with one folder to keep things in.
#[derive(Debug, Clone)]
pub struct Kiln<'a> {
    place: &'a Place,
    folder: PathBuf,
}

/// How something is built, and what surrounds the build.
#[derive(Debug, Clone, Default)]
pub struct How {
    /// `-j`; kiln's own choice where there is none.
    pub jobs: Option<u32>,
    /// Macros: name and body.
    pub define: Vec<(String, String)>,
    /// Sources that are built before, in one chain.
    pub before: Vec<PathBuf>,
    /// The name that the host has, for who asks the kernel. Only root can change it.
    pub hostname: Option<String>,
    /// What the caller's environment holds besides.
    pub env: Vec<(String, String)>,
    /// Whether files are left as the package makes them.
    pub is_raw: bool,
    /// What stands between the build and the host; kiln's own choice where there is none.
    pub isolation: Option<&'static str>,
}

/// What `kiln verify --json` says, as far as it is looked at.
#[derive(Debug, Clone, Deserialize)]
pub struct Proof {
    /// What it comes to.
    pub verdict: String,
    /// How many times it was built again.
    pub rebuilds: u32,
    /// What makes a difference on its own.
    #[serde(default)]
    pub culprits: Vec<String>,
    /// Whether it differs with nothing made different around it.
    #[serde(default)]
    pub is_unstable: bool,
    /// In what it differs.
    pub comparison: Option<serde_json::Value>,
    /// Why it wasn't built again.
    pub trouble: Option<Report>,
}

impl Proof {
    /// Whether every byte came out the same.
    pub fn is_reproduced(&self) -> bool {
        self.verdict == "reproduced"
    }

    /// What probably makes it differ, each once; the one with the most evidence first.
    pub fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = Vec::new();
        let artifacts = self.comparison.iter().flat_map(|it| it["artifacts"].as_array());
        let found = artifacts.flatten().filter_map(|one| one["differences"]["causes"].as_array());
        for cause in found.flatten().filter_map(|cause| cause["kind"].as_str()) {
            if !causes.iter().any(|known| known == cause) {
                causes.push(cause.to_owned());
            }
        }
        causes
    }

    /// The files in packages that differ.
    pub fn files(&self) -> Vec<String> {
        let artifacts = self.comparison.iter().flat_map(|it| it["artifacts"].as_array());
        let found = artifacts.flatten().filter_map(|one| one["differences"]["files"].as_array());
        found.flatten().filter_map(|file| Some(file["path"].as_str()?.to_owned())).collect()
    }
}

/// `result.json`, as far as it is looked at.
#[derive(Debug, Clone, Deserialize)]
pub struct Outcome {
    /// `built`, `failed` or `cancelled`.
    pub state: String,
    /// Why it failed.
    pub report: Option<Report>,
    /// What was built.
    pub artifacts: Vec<Made>,
    /// What each stage took.
    pub stages: Vec<Took>,
    /// From submission to end, in milliseconds.
    pub wall_ms: u64,
    /// In jails, in milliseconds.
    pub cpu_ms: u64,
    /// Where the results are.
    pub folder: PathBuf,
}

/// Why a build failed.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Report {
    /// Whose fault it is.
    pub fault: String,
    /// What happened.
    pub error: String,
    /// Why, the nearest first.
    #[serde(default)]
    pub causes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// A file that was built.
#[derive(Debug, Clone, Deserialize)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// As kiln says it: `sha256:…`.
    pub digest: String,
}

/// What a stage took.
#[derive(Debug, Clone, Deserialize)]
pub struct Took {
    /// Its name.
    pub stage: String,
    /// In milliseconds.
    pub wall_ms: u64,
    /// What there is to say of it.
    #[serde(default)]
    pub note: String,
}

/// A build that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: std::thread::JoinHandle<std::io::Result<Vec<u8>>>,
    err: std::thread::JoinHandle<std::io::Result<Vec<u8>>>,
}

impl Outcome {
    /// Whether it was built.
    pub fn is_built(&self) -> bool {
        self.state == "built"
    }

    /// The RPMs, source package and all, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            self.artifacts.iter().map(|made| self.folder.join(&made.name)).collect();
        files.sort();
        files
    }

    /// Whether no layer had to be made for it.
    pub fn was_warm(&self) -> bool {
        let made = |took: &Took| took.stage == "materialise" && took.note.contains("made");
        !self.stages.iter().any(made)
    }

    /// Why it failed, in one line.
    pub fn trouble(&self) -> String {
        match &self.report {
            None => self.state.clone(),
            Some(Report { error, causes, hint, .. }) => {
                let hint = hint.as_ref().map(|hint| format!("hint: {hint}"));
                let parts = std::iter::once(error).chain(causes).cloned().chain(hint);
                parts.collect::<Vec<_>>().join("; ")
            }
        }
    }
}

impl<'a> Kiln<'a> {
    pub(crate) fn new(place: &'a Place, folder: PathBuf) -> Self {
        Self { place, folder }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Builds what lies in a folder, with the profile in which nothing is there that was not
    /// asked for; results go into a folder of that name.
    pub fn build(&self, source: &Path, results: &str, how: &How) -> Result<Outcome> {
        self.start(source, results, how)?.wait()
    }

    /// Begins to.
    pub fn start(&self, source: &Path, results: &str, how: &How) -> Result<Running> {
        let results = self.place.ground.own_folder("results")?.join(results);
        let mut command = self.command(how)?;
        command.args(["build", "--local", "--json", "--profile", "strict", "--target"]);
        command.arg(&self.place.trial.target).arg("--results").arg(results);
        if let Some(jobs) = how.jobs {
            command.arg(format!("--jobs={jobs}"));
        }
        if how.is_raw {
            command.arg("--no-normalise");
        }
        if let Some(isolation) = how.isolation {
            command.args(["--isolation", isolation]);
        }
        for (name, body) in &how.define {
            command.arg("--define").arg(format!("{name} {body}"));
        }
        if !how.before.is_empty() {
            command.arg("--chain").args(&how.before);
        }
        command.arg(source).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting kiln")?;
        let out = drain(child.stdout.take().context("a pipe")?);
        let err = drain(child.stderr.take().context("a pipe")?);
        Ok(Running { child, out, err })
    }

    /// Verifies what lies in a folder of results; gives the proof, the size of its text, and how
    /// long it took, in milliseconds.
    pub fn verify(&self, results: &Path, arguments: &[&str]) -> Result<(Proof, usize, u64)> {
        let mut command = self.command(&How::default())?;
        command.args(["verify", "--local", "--json"]).args(arguments).arg(results);
        let began = Instant::now();
        let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output()?;
        let took = began.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let said = || format!("{status}: {}", String::from_utf8_lossy(&stderr));
        let proof: Proof = serde_json::from_slice(&stdout).with_context(said)?;
        let expected = match proof.verdict.as_str() {
            "reproduced" => 0,
            "equivalent" | "diverged" | "other-packages" => 1,
            "unbuilt" => 2,
            "unavailable" => 3,
            _ => 4,
        };
        if status.code() != Some(expected) {
            bail!("the verdict is {} and the code {status}", proof.verdict);
        }
        Ok((proof, stdout.len(), took))
    }

    /// Writes the bundle of what lies in a folder of results.
    pub fn export(&self, results: &Path, to: &Path) -> Result<()> {
        let mut command = self.command(&How::default())?;
        command.args(["export", "--local", "--output"]).arg(to).arg(results);
        let Output { status, stderr, .. } = command.stdin(Stdio::null()).output()?;
        if !status.success() {
            bail!("kiln export: {}", String::from_utf8_lossy(&stderr));
        }
        Ok(())
    }

    /// Removes every layer of its folder.
    pub fn drop_layers(&self) -> Result<()> {
        if !self.folder.join("layers.v1").exists() && !self.folder.join("data").exists() {
            return Ok(());
        }
        let mut command = self.command(&How::default())?;
        let Output { status, stderr, .. } =
            command.args(["cache", "gc", "--unused", "0"]).output()?;
        if !status.success() {
            bail!("kiln cache gc: {}", String::from_utf8_lossy(&stderr));
        }
        Ok(())
    }

    /// Runs another verb for the target, to its end.
    pub fn run(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.command(&How::default())?;
        command.args(words).arg("--target").arg(&self.place.trial.target);
        command.stdin(Stdio::null()).output().context("running kiln")
    }

    fn command(&self, how: &How) -> Result<Command> {
        let ground = &self.place.ground;
        let mut command = match (&how.hostname, ground.user()) {
            (Some(name), Some(user)) => {
                // A namespace with another host name, made before root is given up.
                let mut command = Command::new("unshare");
                let script = "hostname \"$1\" && shift && exec setpriv \"$@\"";
                command.args(["--uts", "/bin/sh", "-c", script, "sh", name]);
                command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
                begun_by(command, &ground.command(&self.place.program))
            }
            _ => ground.command(&self.place.program),
        };
        command.env("KILN_DIR", &self.folder);
        if let Some(kernel) = std::env::var_os("KILN_GUEST_KERNEL") {
            command.env("KILN_GUEST_KERNEL", kernel);
        }
        command.envs(how.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

impl Running {
    /// kiln's process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// What came of it; of a chain, what came of its last.
    pub fn wait(mut self) -> Result<Outcome> {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if began.elapsed() > LONGEST {
                self.child.kill()?;
                bail!("kiln did not end within {} minutes", LONGEST.as_secs() / 60);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let joined = |handle: std::thread::JoinHandle<std::io::Result<Vec<u8>>>| {
            handle.join().map_err(|_| anyhow::anyhow!("reading kiln's output"))?.map_err(Into::into)
        };
        let (out, err): (Result<Vec<u8>>, Result<Vec<u8>>) = (joined(self.out), joined(self.err));
        let (out, err) = (out?, err?);
        let said = || format!("{status}: {}", String::from_utf8_lossy(&err));
        let value: serde_json::Value = serde_json::from_slice(&out).with_context(said)?;
        let last = match value {
            serde_json::Value::Array(mut all) => all.pop().with_context(said)?,
            one => one,
        };
        Ok(serde_json::from_value(last)?)
    }
}

/// No package here takes nearly as long.
const LONGEST: Duration = Duration::from_secs(30 * 60);

fn drain(
    mut from: impl Read + Send + 'static,
) -> std::thread::JoinHandle<std::io::Result<Vec<u8>>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map(|_| bytes)
    })
}
