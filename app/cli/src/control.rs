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
use kiln_prove::{ExaminerLink, ExaminerSpawn, Prover};
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
    let spawn = Arc::new(Starter::new(start_solver));
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

type Asked<L> = Sender<io::Result<L>>;

/// Starts children: this same program in another role. A thread of its own starts them, which
/// lives as long as this program: a child ends with the thread that started it (prctl(2),
/// PR_SET_PDEATHSIG), and those of a runtime come and go.
struct Starter<L> {
    asked: Mutex<Sender<Asked<L>>>,
}

impl<L: Send + 'static> Starter<L> {
    fn new(start: fn() -> io::Result<L>) -> Self {
        let (asked, asks) = mpsc::channel::<Asked<L>>();
        std::thread::spawn(move || {
            for answer in asks {
                // Who asked may have gone.
                let _ = answer.send(start());
            }
        });
        Self { asked: Mutex::new(asked) }
    }

    fn start(&self) -> io::Result<L> {
        let gone = || io::Error::other("the thread that starts children is gone");
        let (answer, answered) = mpsc::channel();
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.send(answer).map_err(|_| gone())?;
        drop(asked);
        answered.recv().map_err(|_| gone())?
    }
}

impl SolverSpawn for Starter<SolverLink> {
    fn spawn(&self) -> io::Result<SolverLink> {
        self.start()
    }
}

impl ExaminerSpawn for Starter<ExaminerLink> {
    fn spawn(&self) -> io::Result<ExaminerLink> {
        self.start()
    }
}

fn start_solver() -> io::Result<SolverLink> {
    let program = Path::new(role::OWN_PROGRAM);
    let (socket, child) = kiln_solver::start(program, &[role::SOLVER])?;
    Ok(SolverLink { socket, process: Some(child) })
}

fn start_examiner() -> io::Result<ExaminerLink> {
    let program = Path::new(role::OWN_PROGRAM);
    let (socket, child) = kiln_examiner::start(program, &[role::EXAMINER])?;
    Ok(ExaminerLink { socket, process: Some(child) })
}

/// What holds builds against each other.
pub(crate) fn prover(cas: &Cas) -> Prover {
    Prover::new(cas.clone(), Arc::new(Starter::new(start_examiner)))
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
