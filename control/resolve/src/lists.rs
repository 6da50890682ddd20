//! File lists: fetched when an answer hangs on them, searched by the solver, remembered.

use std::os::fd::AsFd;

use kiln_model::Foreign;
use kiln_repo::MetadataBlob;
use kiln_wire::solver::{Answer, Found, KnownPath, Lists, Request, Search, Wanted};

use crate::error::Fetching;
use crate::pools::{Pools, open_blob};
use crate::question::Question;
use crate::{Ask, FileLists, ResolveError};

/// The file lists of one repository, in the Cas.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    repo: String,
    blob: MetadataBlob,
}

/// Fetches the file lists of every repository that has some.
pub(crate) async fn fetch(
    ask: &Ask<'_>,
    lists: &impl FileLists,
) -> Result<Vec<Fetched>, ResolveError> {
    let mut fetched = Vec::new();
    for used in ask.repos.iter().filter(|used| used.snapshot.filelists.is_some()) {
        let repo = used.snapshot.repo.clone();
        let failed =
            |source| ResolveError::Lists { repo: Foreign::new(&repo), source: Fetching(source) };
        if let Some(blob) = lists.fetch(used.snapshot).await.map_err(failed)? {
            fetched.push(Fetched { repo, blob });
        }
    }
    Ok(fetched)
}

/// Looks for paths; who has those that were named as a whole is remembered, in the solver and
/// on disk.
pub(crate) fn search(
    pools: &Pools,
    question: &Question,
    fetched: &[Fetched],
    wanted: &[Wanted],
) -> Result<Vec<Found>, ResolveError> {
    let found = pools.with(question, |warm| {
        let files = fetched
            .iter()
            .map(|one| open_blob(&pools.cas, &one.blob.digest))
            .collect::<Result<Vec<_>, _>>()?;
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let lists = fetched.iter().map(|Fetched { repo, blob }| Lists {
            repo: repo.clone(),
            digest: blob.digest,
            open_size: blob.open_size,
        });
        let ask = Search { lists: lists.collect(), wanted: wanted.to_vec() };
        match warm.solver.call(&Request::Search(ask), &files)? {
            Answer::Found(found) => Ok(found),
            _ => Err(ResolveError::Nonsense("an answer to something else".to_owned())),
        }
    })?;
    remember(pools, question, wanted, &found)?;
    Ok(found)
}

fn remember(
    pools: &Pools,
    question: &Question,
    wanted: &[Wanted],
    found: &[Found],
) -> Result<(), ResolveError> {
    let mut known = pools.folder.paths(&question.pool_key);
    let before = known.len();
    for (at, wanted) in wanted.iter().enumerate() {
        let Wanted::Path(path) = wanted else { continue };
        if known.iter().any(|known| known.path == *path) {
            continue;
        }
        let owners = found.iter().filter(|found| found.wanted == at);
        let owners = owners.map(|found| (found.package.repo.clone(), found.pkgid.clone()));
        known.push(KnownPath { path: path.clone(), owners: owners.collect() });
    }
    match known.len() == before {
        true => Ok(()),
        false => pools.folder.set_paths(&question.pool_key, &known),
    }
}
