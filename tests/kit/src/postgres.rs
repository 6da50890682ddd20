use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::ground::{Ground, Skipped, skip};

/// How long a server may take to come up after it was killed: what it left has to end first.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it is left alone before it is looked at again.
const PAUSE: Duration = Duration::from_millis(20);

/// A PostgreSQL of one test's own: in a temporary folder, on a Unix socket there and nowhere
/// else. It ends with this.
#[derive(Debug)]
pub struct Postgres {
    ground: Ground,
    programs: PathBuf,
    /// How it is reached.
    pub url: String,
    child: Mutex<Option<Child>>,
}

impl Postgres {
    /// Makes a database cluster, and starts its server.
    pub fn start() -> Result<Self, Skipped> {
        let none = || Skipped("PostgreSQL is not installed".to_owned());
        let installed = fs::read_dir("/usr/lib/postgresql").ok();
        let newest = installed.and_then(|all| all.flatten().map(|entry| entry.path()).max());
        let programs = newest.ok_or_else(none)?.join("bin");
        let ground = Ground::new()?;
        let host = ground.path().display().to_string().replace('/', "%2F");
        let url = format!("postgres://kiln@{host}/postgres");
        let server = Self { ground, programs, url, child: Mutex::default() };
        let begun = server.make().and_then(|()| server.up());
        begun.map_err(|error| Skipped(format!("PostgreSQL does not start: {error:#}")))?;
        Ok(server)
    }

    /// As [`Postgres::start`]; prints why and gives nothing where that cannot be.
    #[must_use]
    pub fn or_skip() -> Option<Self> {
        match Self::start() {
            Ok(server) => Some(server),
            Err(Skipped(why)) => {
                skip(&why);
                None
            }
        }
    }

    fn make(&self) -> Result<()> {
        let mut initdb = self.command("initdb");
        run(initdb.arg("-D").arg(self.data()).args(["-U", "kiln", "-A", "trust", "-N"]))
    }

    /// Starts the server, where none runs. After a kill the processes that it left have to end
    /// first: waits for them.
    pub fn up(&self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        loop {
            let mut child = self
                .command("postgres")
                .arg("-D")
                .arg(self.data())
                .args(["-c", "listen_addresses=", "-k"])
                .arg(self.ground.path())
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log.try_clone()?)
                .spawn()?;
            while child.try_wait()?.is_none() {
                if self.answers()? {
                    *self.child() = Some(child);
                    return Ok(());
                }
                ensure!(Instant::now() < until, "the server does not answer");
                std::thread::sleep(PAUSE);
            }
            ensure!(Instant::now() < until, "{}", fs::read_to_string(self.log())?);
            std::thread::sleep(PAUSE);
        }
    }

    fn answers(&self) -> Result<bool> {
        let mut ask = self.command("pg_isready");
        Ok(ask.arg("-q").arg("-h").arg(self.ground.path()).status()?.success())
    }

    /// Kills the server as the machine's own failure would: `kill -9`. [`Postgres::up`] starts
    /// it again.
    pub fn kill(&self) -> Result<()> {
        let mut child = self.child().take().context("it runs")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> PathBuf {
        self.ground.path().join("log")
    }

    fn data(&self) -> PathBuf {
        self.ground.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        self.ground.command(&self.programs.join(program))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(mut child) = self.child().take() else { return };
        // "Immediate shutdown" (postgres(1)): nothing here is to be kept.
        let _ = kill_process(Pid::from_child(&child), Signal::QUIT);
        drop(child.wait());
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
