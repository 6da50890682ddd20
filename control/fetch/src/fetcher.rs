use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use kiln_cas::Cas;
use kiln_model::{Digest, Foreign};
use kiln_parse::checksum::Checksum;
use tokio::task::JoinSet;

use crate::client::Clients;
use crate::place::{self, Trouble};
use crate::sink::SinkError;
use crate::{Blame, FetchError, Options, PlaceFault};

/// Failures in a row after which a server is asked last.
const DISTRUST: u32 = 2;

/// A file that is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What it is called, to people.
    pub name: Arc<str>,
    /// What its bytes must hash to.
    pub checksum: Checksum,
    /// Their number, where it is known. Without it no download can be taken up again.
    pub size: Option<u64>,
    /// Where it can be had, best first.
    pub places: Vec<String>,
}

/// A file that is in the Cas now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its sha256.
    pub digest: Digest,
    /// Its size in bytes; 0 where it was here before and nobody said.
    pub size: u64,
    /// The place that gave it; `None`: it was here before.
    pub place: Option<String>,
}

/// What happens to a download. Files are told apart by the name they are wanted by.
#[derive(Debug)]
pub enum Event {
    /// A place begins to send it.
    Begin {
        /// Which file.
        name: Arc<str>,
        /// Its size in bytes, where that is known.
        size: Option<u64>,
        /// How much of it was there already.
        have: u64,
    },
    /// More of it is here.
    Bytes {
        /// Which file.
        name: Arc<str>,
        /// How many bytes more.
        count: u64,
    },
    /// A place failed; others are tried, if there are any.
    Blamed {
        /// Which file.
        name: Arc<str>,
        /// Which place and why.
        blame: String,
    },
    /// It is here, whole and verified.
    End {
        /// Which file.
        name: Arc<str>,
    },
}

/// Who hears of [`Event`]s. Called from several threads.
pub type Progress = Arc<dyn Fn(&Event) + Send + Sync>;

/// Fetches files into a Cas. Cheap to clone; what it learns of servers is shared.
///
/// Every future of it can be dropped at any time: what has come of a file stays for the next try.
#[derive(Debug, Clone)]
pub struct Fetcher {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cas: Cas,
    options: Options,
    clients: Clients,
    /// Failures in a row by server.
    failures: Mutex<BTreeMap<String, u32>>,
}

impl Fetcher {
    /// A fetcher into `cas`.
    pub fn new(cas: Cas, options: Options) -> Result<Self, FetchError> {
        let clients = Clients::new(&options)?;
        let failures = Mutex::default();
        Ok(Self { inner: Arc::new(Inner { cas, options, clients, failures }) })
    }

    /// The store that files go to.
    pub fn cas(&self) -> &Cas {
        &self.inner.cas
    }

    /// How it goes about it.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.inner.clients
    }

    /// Fetches all of them, several at a time; gives back what came, in their order. The first
    /// that no place gives ends the rest.
    pub async fn fetch_all(
        &self,
        wanted: &[Wanted],
        progress: &Progress,
    ) -> Result<Vec<Fetched>, FetchError> {
        let mut first_of = BTreeMap::new();
        for (index, file) in wanted.iter().enumerate() {
            first_of.entry(file.checksum.to_string()).or_insert(index);
        }
        let mut waiting: Vec<usize> = first_of.values().copied().collect();
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        let mut fetched: BTreeMap<usize, Fetched> = BTreeMap::new();
        let mut running = JoinSet::new();
        loop {
            while running.len() < self.inner.options.parallel.max(1)
                && let Some(index) = waiting.pop()
            {
                let (fetcher, file) = (self.clone(), wanted[index].clone());
                let progress = Arc::clone(progress);
                running.spawn(async move { (index, fetcher.fetch(&file, &progress).await) });
            }
            let Some(done) = running.join_next().await else { break };
            let lost = |_| FetchError::Lost(Foreign::new("one of several files"));
            let (index, result) = done.map_err(lost)?;
            fetched.insert(index, result?);
        }
        let first = |file: &Wanted| first_of[&file.checksum.to_string()];
        Ok(wanted.iter().map(|file| fetched[&first(file)].clone()).collect())
    }

    /// Fetches one file: its places in turn, and again with longer and longer pauses for as
    /// long as one of them might do better.
    pub async fn fetch(&self, wanted: &Wanted, progress: &Progress) -> Result<Fetched, FetchError> {
        if let Checksum::Sha256(digest) = wanted.checksum
            && self.inner.cas.has(&digest)
        {
            progress(&Event::End { name: Arc::clone(&wanted.name) });
            let size = wanted.size.unwrap_or_default();
            return Ok(Fetched { digest, size, place: None });
        }
        let mut blames = Vec::new();
        let mut hopeless = BTreeSet::new();
        for round in 0..self.inner.options.rounds.max(1) {
            if round > 0 {
                tokio::time::sleep(self.inner.options.backoff * (1 << (round - 1).min(10))).await;
            }
            let places = self.in_order(&wanted.places);
            for at in places.into_iter().filter(|at| !hopeless.contains(*at)).collect::<Vec<_>>() {
                let fault = match self.attempt(wanted, at, progress).await? {
                    Ok(fetched) => {
                        progress(&Event::End { name: Arc::clone(&wanted.name) });
                        return Ok(fetched);
                    }
                    Err(fault) => fault,
                };
                if !fault.may_pass() {
                    hopeless.insert(at);
                }
                let blame = Blame { place: Foreign::new(at), fault };
                tracing::debug!(name = %Foreign::new(&wanted.name), %blame, "a place failed");
                let name = Arc::clone(&wanted.name);
                progress(&Event::Blamed { name, blame: blame.to_string() });
                blames.push(blame);
            }
            if hopeless.len() >= wanted.places.len().min(self.inner.options.places) {
                break;
            }
        }
        Err(FetchError::Failed { name: Foreign::new(&wanted.name), blames })
    }

    async fn attempt(
        &self,
        wanted: &Wanted,
        at: &str,
        progress: &Progress,
    ) -> Result<Result<Fetched, PlaceFault>, FetchError> {
        let trouble = match place::fetch(self, wanted, at, progress).await {
            Ok(fetched) => {
                self.note(at, true);
                return Ok(Ok(fetched));
            }
            Err(trouble) => trouble,
        };
        let name = Foreign::new(&wanted.name);
        match trouble {
            Trouble::Place(fault) => {
                self.note(at, false);
                Ok(Err(fault))
            }
            Trouble::Store(SinkError::Store(source)) => Err(FetchError::Store { name, source }),
            Trouble::Store(_) => Err(FetchError::Lost(name)),
        }
    }

    /// The places to try: those of servers that failed of late come last.
    fn in_order<'a>(&self, places: &'a [String]) -> Vec<&'a str> {
        let failures = self.inner.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let distrusted =
            |at: &&str| failures.get(server(at)).is_some_and(|count| *count >= DISTRUST);
        let mut order: Vec<&str> = places.iter().map(String::as_str).collect();
        order.sort_by_key(distrusted);
        order.truncate(self.inner.options.places);
        order
    }

    fn note(&self, at: &str, good: bool) {
        let mut failures = self.inner.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match good {
            true => drop(failures.remove(server(at))),
            false => *failures.entry(server(at).to_owned()).or_default() += 1,
        }
    }
}

/// The part of a place that stands for its server: scheme, host and port.
fn server(place: &str) -> &str {
    let host = place.find("://").map_or(0, |at| at + 3);
    let end = place[host..].find('/').map_or(place.len(), |at| host + at);
    &place[..end]
}
