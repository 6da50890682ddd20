//! Warm solvers, one for each pool, and how a pool gets there.

use std::fs::File;
use std::io::Seek;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use kiln_cas::{Cas, CasError};
use kiln_model::{Digest, Foreign};
use kiln_wire::solver::{Answer, Compile, Load, Refused, Request};

use crate::child::Solver;
use crate::folder::Folder;
use crate::question::{FORMAT, Question, RepoPlan, key};
use crate::spawn::SolverSpawn;
use crate::{Refusal, ResolveError};

/// How many pools stay warm. One of a large distribution takes some 30 MB.
const WARM: usize = 6;

/// A solver with a pool in it.
#[derive(Debug)]
pub(crate) struct Warm {
    pub(crate) solver: Solver,
    pub(crate) refused: Vec<Refusal>,
}

/// How often a question is asked again whose solver somebody killed.
const TRIES: u32 = 3;

type Place = Arc<Mutex<Option<Warm>>>;

/// Everything that the resolver's clones share.
pub(crate) struct Pools {
    pub(crate) folder: Folder,
    pub(crate) cas: Cas,
    spawn: Arc<dyn SolverSpawn>,
    /// The most recently used last.
    places: Mutex<Vec<(Digest, Place)>>,
}

impl Pools {
    pub(crate) fn new(folder: Folder, cas: Cas, spawn: Arc<dyn SolverSpawn>) -> Self {
        Self { folder, cas, spawn, places: Mutex::new(Vec::new()) }
    }

    /// Asks something of the question's pool, in a warm solver or in a new one. A solver that
    /// ends while it is asked is not missed: where it was warm, a new one is asked once more.
    pub(crate) fn with<T>(
        &self,
        question: &Question,
        mut ask: impl FnMut(&mut Warm) -> Result<T, ResolveError>,
    ) -> Result<T, ResolveError> {
        let place = self.place(&question.pool_key);
        let mut place = lock(&place);
        let mut tries = 0;
        loop {
            let was_warm = place.is_some();
            let mut warm = match place.take() {
                Some(warm) => warm,
                None => match self.warm(question) {
                    Err(ResolveError::Killed) if tries < TRIES => {
                        tries += 1;
                        continue;
                    }
                    warmed => warmed?,
                },
            };
            match ask(&mut warm) {
                Err(ResolveError::Crashed(_)) if was_warm && tries == 0 => tries += 1,
                Err(ResolveError::Killed) if tries < TRIES => tries += 1,
                Err(error) if error.ends_child() => return Err(error),
                result => {
                    *place = Some(warm);
                    return result;
                }
            }
        }
    }

    fn place(&self, pool: &Digest) -> Place {
        let mut places = lock(&self.places);
        let at = places.iter().position(|(key, _)| key == pool);
        let entry = at.map(|at| places.remove(at)).unwrap_or_else(|| (*pool, Place::default()));
        let place = entry.1.clone();
        places.push(entry);
        if places.len() > WARM {
            // Ends with the last question that is still asked of it.
            places.remove(0);
        }
        place
    }

    /// Starts a solver and loads the pool. A cache that doesn't load is made anew, once.
    fn warm(&self, question: &Question) -> Result<Warm, ResolveError> {
        match self.load(question) {
            Err(ResolveError::Crashed(_)) => {
                let solver = Solver::start(&*self.spawn)?;
                for plan in &question.pool.repos {
                    self.folder.drop_pool(&cache_key(plan, solver.version()));
                }
                self.load(question)
            }
            result => result,
        }
    }

    fn load(&self, question: &Question) -> Result<Warm, ResolveError> {
        let mut solver = Solver::start(&*self.spawn)?;
        self.folder.set_solver(solver.version())?;
        let files = self.caches(&question.pool.repos, solver.version())?;
        let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        let load = Load {
            arch: question.pool.arch.clone(),
            repos: question.pool.repos.iter().map(|plan| plan.repo.clone()).collect(),
            known: self.folder.paths(&question.pool_key),
        };
        match solver.call(&Request::Load(load), &files)? {
            Answer::Loaded(loaded) => {
                let refused = loaded.refused.into_iter().map(refusal).collect();
                Ok(Warm { solver, refused })
            }
            _ => Err(ResolveError::Nonsense("an answer to something else".to_owned())),
        }
    }

    /// The packages of each repository in the solver's form; those that are not there yet are
    /// made, side by side.
    fn caches(&self, plans: &[RepoPlan], version: &str) -> Result<Vec<File>, ResolveError> {
        let missing = |plan: &&RepoPlan| self.folder.pool(&cache_key(plan, version)).is_none();
        let missing: Vec<&RepoPlan> = plans.iter().filter(missing).collect();
        let sides = thread::available_parallelism().map_or(1, usize::from);
        for some in missing.chunks(sides) {
            thread::scope(|scope| {
                let made: Vec<_> = some
                    .iter()
                    .map(|plan| scope.spawn(|| self.compile(plan, &cache_key(plan, version))))
                    .collect();
                made.into_iter().try_for_each(|thread| {
                    let lost = || ResolveError::Nonsense("a thread was lost".to_owned());
                    thread.join().map_err(|_| lost())?
                })
            })?;
        }
        let open = |plan: &RepoPlan| {
            let gone = || ResolveError::Crashed(Foreign::new("a cache went away"));
            self.folder.pool(&cache_key(plan, version)).ok_or_else(gone)
        };
        plans.iter().map(open).collect()
    }

    /// Has a repository's packages written, by a solver that sees nothing else: whatever its
    /// metadata may do to that one, it can't write another repository's.
    fn compile(&self, plan: &RepoPlan, key: &Digest) -> Result<(), ResolveError> {
        let id = &plan.repo.id;
        let from = open_blob(&self.cas, &plan.primary)?;
        let to = self.folder.new_pool()?;
        let ask = Compile {
            digest: plan.primary,
            open_size: plan.open_size,
            prefix: plan.prefix.clone(),
        };
        let mut solver = Solver::start(&*self.spawn)?;
        match solver.call(&Request::Compile(ask), &[from.as_fd(), to.as_file().as_fd()]) {
            Ok(Answer::Compiled(compiled)) => {
                for (package, why) in compiled.examples.iter().take(3) {
                    tracing::warn!(
                        repo = id,
                        package = Foreign::new(package).as_str(),
                        why = Foreign::new(why).as_str(),
                        skipped = compiled.skipped,
                        "a package is left out"
                    );
                }
                self.folder.keep_pool(to, key)
            }
            Ok(_) => Err(ResolveError::Nonsense("an answer to something else".to_owned())),
            Err(ResolveError::TooComplex(why)) => {
                Err(ResolveError::Metadata { repo: Foreign::new(id), why })
            }
            Err(error) => Err(error.of_repo(id)),
        }
    }
}

/// Names a repository's packages as that solver writes them.
fn cache_key(plan: &RepoPlan, version: &str) -> Digest {
    key(&(FORMAT, version, &plan.primary, &plan.prefix))
}

/// A blob to hand to a solver, which checks its digest.
pub(crate) fn open_blob(cas: &Cas, digest: &Digest) -> Result<File, ResolveError> {
    let path = cas.path(digest);
    let mut file = File::open(&path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => ResolveError::Cas(CasError::Missing(*digest)),
        _ => ResolveError::Io { doing: "opening", path: path.clone(), source },
    })?;
    file.rewind().map_err(|source| ResolveError::Io { doing: "reading", path, source })?;
    Ok(file)
}

fn refusal(refused: Refused) -> Refusal {
    let Refused { package, repo, claim, owner } = refused;
    Refusal {
        package,
        repo,
        claim: Foreign::new(&claim).as_str().to_owned(),
        owner: Foreign::new(&owner).as_str().to_owned(),
    }
}

/// A mutex whose holder panicked holds nothing that is not checked anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
