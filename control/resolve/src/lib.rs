//! Requirements become a lock: which RPMs a buildroot is made of, and why each is there.
//!
//! Zone: `control`, TRUSTED: it runs no program and reads no stranger's metadata itself; both
//! happen in a confined child that the app starts for it ([`SolverSpawn`]). What does not belong
//! here: fetching (`control/repo`, `control/fetch`), and what is done with a lock.

mod answer;
mod ask;
mod child;
mod difference;
mod error;
mod folder;
mod hint;
mod lists;
mod pools;
mod question;
mod spawn;
mod tell;
mod why;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use kiln_cas::Cas;
use kiln_model::Foreign;
use kiln_wire::solver::Wanted;

use crate::answer::Step;
use crate::folder::Folder;
use crate::pools::Pools;
use crate::question::{Found, Question};

pub use ask::{Ask, FileLists, Refusal, RepoUse, Resolution, Trust};
pub use difference::{Changes, Difference, difference};
pub use error::{Fetching, ResolveError, Unsolvable};
pub use hint::{Hint, Style};
pub use spawn::{SolverLink, SolverSpawn};
pub use why::{Step as WhyStep, why};

/// How often one answer may hang on file lists: each time some paths become known for good, so
/// more than a few means that somebody plays with us.
const ROUNDS: usize = 16;

/// Turns requirements into locks. Cheap to clone; every clone shares the warm children.
#[derive(Clone)]
pub struct Resolver {
    pools: Arc<Pools>,
}

impl Resolver {
    /// A resolver that keeps its caches in `folder`, reads metadata from `cas` and has its
    /// children started by `spawn`.
    pub fn open(
        folder: &Path,
        cas: Cas,
        spawn: Arc<dyn SolverSpawn>,
    ) -> Result<Self, ResolveError> {
        Ok(Self { pools: Arc::new(Pools::new(Folder::open(folder)?, cas, spawn)) })
    }

    /// Resolves the base lock and the full lock of what is asked, in one question to the solver;
    /// in none where the same was asked before.
    pub async fn resolve(
        &self,
        ask: &Ask<'_>,
        lists: &impl FileLists,
    ) -> Result<Resolution, ResolveError> {
        let question = Arc::new(Question::of(ask)?);
        if let Some((base, whole)) = self.blocking(&question, known).await? {
            return Ok(resolution(&question, &base, &whole, true));
        }
        for _ in 0..ROUNDS {
            match self.blocking(&question, step).await? {
                Step::Done(answers) => {
                    return Ok(resolution(&question, &answers.0, &answers.1, false));
                }
                Step::Unlisted(paths) => {
                    let fetched = lists::fetch(ask, lists).await?;
                    let wanted: Vec<Wanted> = paths.into_iter().map(Wanted::Path).collect();
                    let search = move |pools: &Pools, question: &Question| {
                        lists::search(pools, question, &fetched, &wanted)
                    };
                    self.blocking(&question, search).await?;
                }
            }
        }
        Err(ResolveError::TooComplex(Foreign::new("it hangs on too many unlisted paths")))
    }

    /// Removes caches that nobody used since `before`; tells how many bytes that frees.
    pub fn sweep(&self, before: SystemTime) -> Result<u64, ResolveError> {
        self.pools.folder.sweep(before)
    }

    /// Does what waits for a child or for the disk where it is in nobody's way.
    async fn blocking<T: Send + 'static>(
        &self,
        question: &Arc<Question>,
        work: impl FnOnce(&Pools, &Question) -> Result<T, ResolveError> + Send + 'static,
    ) -> Result<T, ResolveError> {
        let (pools, question) = (self.pools.clone(), question.clone());
        let lost = |_| ResolveError::Nonsense("a thread was lost".to_owned());
        tokio::task::spawn_blocking(move || work(&pools, &question)).await.map_err(lost)?
    }
}

/// The answers, where the same was asked before of the same solver.
fn known(pools: &Pools, question: &Question) -> Result<Option<(Found, Found)>, ResolveError> {
    let Some(solver) = pools.folder.solver() else { return Ok(None) };
    let base = pools.folder.answer(&question.base_key(&solver));
    let whole = match question.build.is_empty() {
        true => base.clone(),
        false => pools.folder.answer(&question.full_key(&solver)),
    };
    Ok(base.zip(whole))
}

/// Asks the solver for what is not known.
fn step(pools: &Pools, question: &Question) -> Result<Step, ResolveError> {
    pools.with(question, |warm| {
        let (base_key, full_key) =
            (question.base_key(warm.solver.version()), question.full_key(warm.solver.version()));
        let base = pools.folder.answer(&base_key);
        let step = answer::ask(warm, question, base.as_ref())?;
        if let Step::Done(answers) = &step {
            if base.is_none() {
                pools.folder.set_answer(&base_key, &answers.0)?;
            }
            pools.folder.set_answer(&full_key, &answers.1)?;
        }
        Ok(step)
    })
}

fn resolution(question: &Question, base: &Found, whole: &Found, cached: bool) -> Resolution {
    Resolution {
        base: question.base_lock(base),
        lock: question.full_lock(whole),
        refused: whole.refused.clone(),
        cached,
    }
}
