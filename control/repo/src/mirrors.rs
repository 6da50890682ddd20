//! Where a repository is: its places, and what its metalink vouches for.

use kiln_fetch::{Answer, Fetcher, Small};
use kiln_model::RepoSpec;
use kiln_parse::checksum::Checksum;
use kiln_parse::metalink::{METALINK_CAP, Metalink};
use kiln_parse::mirrorlist::{self, MIRRORLIST_CAP};
use kiln_parse::place;

use crate::RepoError;
use crate::folder::{Head, List};

/// Where a repository is at the moment.
#[derive(Debug)]
pub(crate) struct Mirrors {
    /// Its places, best first, each ending in `/`.
    pub(crate) places: Vec<String>,
    /// What its `repomd.xml` may be, newest first; empty where nobody says.
    pub(crate) generations: Vec<Checksum>,
    /// The list that says so.
    pub(crate) list: Option<List>,
}

impl Mirrors {
    /// Asks where `repo` is; with `head`, whether that has changed.
    pub(crate) async fn find(
        fetcher: &Fetcher,
        repo: &RepoSpec,
        head: Option<&Head>,
    ) -> Result<Self, RepoError> {
        if let Some(metalink) = &repo.metalink {
            let (bytes, list) =
                fetch_list(fetcher, repo, metalink, "metalink", METALINK_CAP, head).await?;
            let parsed = Metalink::parse(&bytes)
                .map_err(|source| RepoError::Metalink { repo: repo.id.clone(), source })?;
            let generations = parsed.generations.into_iter().map(|one| one.checksum).collect();
            return Ok(Self { places: parsed.places, generations, list: Some(list) });
        }
        if let Some(mirrorlist) = &repo.mirrorlist {
            let (bytes, list) =
                fetch_list(fetcher, repo, mirrorlist, "mirror list", MIRRORLIST_CAP, head).await?;
            let places = mirrorlist::parse(&bytes)
                .map_err(|source| RepoError::Mirrorlist { repo: repo.id.clone(), source })?;
            return Ok(Self { places, generations: Vec::new(), list: Some(list) });
        }
        let places = repo.baseurl.iter().map(|base| place::base(base));
        let places = places
            .collect::<Result<_, _>>()
            .map_err(|source| RepoError::Place { repo: repo.id.clone(), source })?;
        Ok(Self { places, generations: Vec::new(), list: None })
    }

    /// Whether a `repomd.xml` is one that may be there.
    pub(crate) fn vouch_for(&self, repomd: &[u8]) -> bool {
        self.generations.is_empty() || self.generations.iter().any(|sum| sum.matches(repomd))
    }

    /// Whether a `repomd.xml` is the newest, on the word of the metalink.
    pub(crate) fn call_newest(&self, repomd: &[u8]) -> bool {
        self.generations.first().is_some_and(|sum| sum.matches(repomd))
    }
}

async fn fetch_list(
    fetcher: &Fetcher,
    repo: &RepoSpec,
    at: &str,
    what: &'static str,
    cap: u64,
    head: Option<&Head>,
) -> Result<(Vec<u8>, List), RepoError> {
    let cas_error = |source| RepoError::Cas { repo: repo.id.clone(), source };
    let known =
        head.and_then(|head| head.list.as_ref()).filter(|list| fetcher.cas().has(&list.digest));
    let answer = fetcher
        .get(at, cap, known.map(|list| &list.validator))
        .await
        .map_err(|blame| RepoError::NoList { repo: repo.id.clone(), what, blame })?;
    match (answer, known) {
        (Answer::New(Small { bytes, validator }), _) => {
            let digest = fetcher.cas().insert_bytes(&bytes).map_err(cas_error)?;
            Ok((bytes, List { digest, validator }))
        }
        (Answer::Same, Some(list)) => {
            let bytes = fetcher.cas().read_to_vec(&list.digest, cap).map_err(cas_error)?;
            Ok((bytes, list.clone()))
        }
        (Answer::Same, None) => Err(RepoError::Lost { repo: repo.id.clone() }),
    }
}
