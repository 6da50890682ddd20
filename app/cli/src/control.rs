//! Control's parts, put together: the same for a build on one's own machine and for a service.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use kiln_cas::Cas;
use kiln_fetch::{Fetcher, Progress};
use kiln_flow::{Flow, FlowSettings, Logs};
use kiln_model::Target;
use kiln_repo::Repos;
use kiln_resolve::{Resolver, SolverLink, SolverSpawn};
use kiln_sign::{SignerLink, SignerSpawn};
use kiln_store::Store;

use crate::Failure;
use crate::failure::doing;
use crate::folders::Folders;
use crate::role;

/// What differs from one control to the other.
pub(crate) struct Parts {
    /// The truth about builds.
    pub(crate) store: Store,
    /// What can be built for.
    pub(crate) targets: Vec<Target>,
}

/// A flow over this user's folders; inside a runtime.
pub(crate) fn open_flow(
    folders: &Folders,
    cas: &Cas,
    parts: Parts,
    progress: Progress,
) -> Result<Flow, Failure> {
    let Parts { store, targets } = parts;
    let fetcher = Fetcher::new(cas.clone(), kiln_fetch::Options::default())?;
    let repos = Repos::open(fetcher, &folders.snapshots(), kiln_repo::Options::default())?;
    let spawn = Arc::new(SpawnSolver::new());
    let resolver = Resolver::open(&folders.data().join("solved.v1"), cas.clone(), spawn)?;
    let logs = Logs::open(&folders.data().join("logs.v1"))
        .map_err(|error| doing("opening the folder of logs")(io::Error::other(error)))?;
    let targets = targets.into_iter().map(|target| (target.name.clone(), target)).collect();
    let cas = cas.clone();
    Ok(Flow::new(FlowSettings { store, cas, repos, resolver, logs, targets, progress, now }))
}

/// The time, in milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(i64::MAX)
}

type Asked = Sender<io::Result<SolverLink>>;

/// Starts solvers: this same program in another role. A thread of its own starts them, which
/// lives as long as this program: a solver ends with the thread that started it (prctl(2),
/// PR_SET_PDEATHSIG), and those of a runtime come and go.
struct SpawnSolver {
    asked: Mutex<Sender<Asked>>,
}

impl SpawnSolver {
    fn new() -> Self {
        let (asked, asks) = mpsc::channel::<Asked>();
        std::thread::spawn(move || {
            for answer in asks {
                // Who asked may have gone.
                let _ = answer.send(start_solver());
            }
        });
        Self { asked: Mutex::new(asked) }
    }
}

impl SolverSpawn for SpawnSolver {
    fn spawn(&self) -> io::Result<SolverLink> {
        let gone = || io::Error::other("the thread that starts solvers is gone");
        let (answer, answered) = mpsc::channel();
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.send(answer).map_err(|_| gone())?;
        drop(asked);
        answered.recv().map_err(|_| gone())?
    }
}

fn start_solver() -> io::Result<SolverLink> {
    let program = Path::new(role::OWN_PROGRAM);
    let (socket, child) = kiln_solver::start(program, &[role::SOLVER])?;
    Ok(SolverLink { socket, process: Some(child) })
}

/// Starts the signer: this same program in a role that holds keys and nothing else, or that asks
/// a program of the operator's.
pub(crate) struct SpawnSigner {
    /// Where its keys are.
    pub(crate) folder: PathBuf,
    /// The operator's program and its arguments.
    pub(crate) program: Vec<String>,
}

impl SignerSpawn for SpawnSigner {
    fn spawn(&self) -> io::Result<SignerLink> {
        let own = Path::new(role::OWN_PROGRAM);
        let mut arguments = Vec::new();
        if self.program.is_empty() {
            arguments.push(role::SIGNER.to_owned());
        } else {
            arguments.push(kiln_signer::PROGRAM_ROLE.to_owned());
            arguments.extend(self.program.iter().cloned());
        }
        let (socket, process) = kiln_signer::start(own, &arguments, &self.folder)?;
        Ok(SignerLink { socket, process })
    }
}
