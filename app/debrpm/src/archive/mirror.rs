//! A given mirror: what its keys vouch for is trusted, and nothing else.
//!
//! A suite is described by `Release`, which `Release.gpg` signs; `InRelease` is the same two in
//! one file. `Release` has the digests of the indexes, those have the digests of the packages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kiln_cas::Cas;
use kiln_fetch::{Answer, Event, FetchError, Fetcher, Options, PlaceFault, Wanted};
use kiln_model::{Digest, Foreign};
use kiln_parse::checksum::Checksum;
use kiln_repo::Keyring;
use tokio::runtime::Runtime;

use super::{Index, release};
use crate::arch::Arch;
use crate::deb::unpack;
use crate::debian::stanzas;
use crate::error::{DebrpmError, io_error};
use crate::plan::{Package, Release};
use crate::progress::Progress;

/// The most bytes of a `Release` and of its signature.
const RELEASE_CAP: u64 = 8 << 20;
/// What a release may be followed by: each is taken where the mirror has it.
const SUFFIXES: &[&str] = &["", "-updates", "-security"];
/// How indexes are packed, best first.
const PACKINGS: &[&str] = &["xz", "gz"];

/// Mirrors of a suite, and the keys that they must be signed with.
#[derive(Debug)]
pub(crate) struct Mirror {
    urls: Vec<String>,
    suite: String,
    arch: Arch,
    keyring: Keyring,
    /// Where indexes are kept.
    lists: PathBuf,
    /// Seconds since 1970: signatures of the future do not count.
    now: u64,
}

/// One file that a release vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Vouched {
    digest: Digest,
    size: u64,
}

impl Mirror {
    /// Sets up the mirrors; `keyring` is a file of keys, `work` where indexes are kept.
    pub(crate) fn new(
        urls: &[String],
        keyring: &Path,
        suite: &str,
        arch: Arch,
        work: &Path,
    ) -> Result<Self, DebrpmError> {
        let bytes = std::fs::read(keyring).map_err(io_error("reading", keyring))?;
        let mut keys = Keyring::default();
        keys.add(&bytes, None).map_err(|error| DebrpmError::Keyring {
            path: keyring.to_owned(),
            why: error.to_string(),
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(Self {
            urls: urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
            suite: suite.to_owned(),
            arch,
            keyring: keys,
            lists: work.join("lists.v1"),
            now,
        })
    }

    /// Reads the suite's indexes, and those of its updates where the mirrors have them.
    pub(crate) fn index(&self) -> Result<Index, DebrpmError> {
        let runtime = runtime()?;
        let fetcher = fetcher(Cas::open(&self.lists)?)?;
        let mut index = Index { releases: Vec::new(), packages: Vec::new() };
        for suffix in SUFFIXES {
            let name = format!("{}{suffix}", self.suite);
            for url in &self.urls {
                if let Some((release, packages)) =
                    runtime.block_on(self.read_suite(&fetcher, url, &name))?
                {
                    index.releases.push(release);
                    index.packages.extend(packages);
                }
            }
            if suffix.is_empty() && index.releases.is_empty() {
                return Err(DebrpmError::Mirror {
                    what: Foreign::new(&format!("dists/{name}/Release")),
                    why: "no mirror has it".to_owned(),
                });
            }
        }
        Ok(index)
    }

    /// One suite of one mirror; `None` where the mirror does not have it.
    async fn read_suite(
        &self,
        fetcher: &Fetcher,
        url: &str,
        name: &str,
    ) -> Result<Option<(Release, Vec<Package>)>, DebrpmError> {
        let base = format!("{url}/dists/{name}");
        let Some(text) = get(fetcher, &format!("{base}/Release")).await? else { return Ok(None) };
        let signature = get(fetcher, &format!("{base}/Release.gpg")).await?.unwrap_or_default();
        let untrusted = |why: String| DebrpmError::Untrusted {
            what: Foreign::new(&format!("dists/{name}/Release")),
            why,
        };
        self.keyring
            .verify(&signature, &text, self.now)
            .map_err(|error| untrusted(error.to_string()))?;
        let release = release::read(&text).ok_or_else(|| untrusted("it has no name".into()))?;
        let listing = String::from_utf8_lossy(&text);
        let vouched = vouched(&listing);
        let mut packages = Vec::new();
        for component in ["main", "universe"] {
            let folder = format!("{component}/binary-{}", self.arch.debian);
            let found = PACKINGS.iter().find_map(|packing| {
                let path = format!("{folder}/Packages.{packing}");
                vouched.get(path.as_str()).map(|file| (path, *file))
            });
            let Some((path, file)) = found else { continue };
            let bytes = self.fetch_index(fetcher, &base, &path, file).await?;
            let text = unpack_index(&path, &bytes)?;
            packages.extend(stanzas(&text).filter_map(|stanza| Package::read(&stanza)));
        }
        Ok(Some((release, packages)))
    }

    async fn fetch_index(
        &self,
        fetcher: &Fetcher,
        base: &str,
        path: &str,
        file: Vouched,
    ) -> Result<Vec<u8>, DebrpmError> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let by_hash = format!("{base}/{folder}/by-hash/SHA256/{}", file.digest.hex());
        let wanted = Wanted {
            name: Arc::from(path),
            checksum: Checksum::Sha256(file.digest),
            size: Some(file.size),
            places: vec![format!("{base}/{path}"), by_hash],
        };
        let silent: kiln_fetch::Progress = Arc::new(|_: &Event| {});
        fetcher.fetch(&wanted, &silent).await.map_err(failed)?;
        Ok(fetcher.cas().read_to_vec(&file.digest, file.size)?)
    }

    /// Fetches packages into `debs`.
    pub(crate) fn fetch(
        &self,
        packages: &[&Package],
        debs: &Cas,
        progress: &Progress,
    ) -> Result<(), DebrpmError> {
        let fetcher = fetcher(debs.clone())?;
        let wanted: Vec<Wanted> = packages
            .iter()
            .map(|package| Wanted {
                name: Arc::from(package.name.as_str()),
                checksum: Checksum::Sha256(package.digest),
                size: Some(package.size),
                places: self.urls.iter().map(|url| format!("{url}/{}", package.filename)).collect(),
            })
            .collect();
        let bar = progress.clone();
        let told: kiln_fetch::Progress = Arc::new(move |event: &Event| match event {
            Event::Begin { have, .. } => bar.advance(*have),
            Event::Bytes { count, .. } => bar.advance(*count),
            Event::Blamed { .. } | Event::End { .. } => {}
        });
        runtime()?.block_on(fetcher.fetch_all(&wanted, &told)).map_err(failed)?;
        Ok(())
    }
}

fn runtime() -> Result<Runtime, DebrpmError> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.map_err(io_error("starting threads for", Path::new("downloads")))
}

fn fetcher(cas: Cas) -> Result<Fetcher, DebrpmError> {
    Fetcher::new(cas, Options::default()).map_err(failed)
}

fn failed(error: FetchError) -> DebrpmError {
    DebrpmError::Fetch(Box::new(error))
}

/// A small file; `None` where the mirror does not have it.
async fn get(fetcher: &Fetcher, place: &str) -> Result<Option<Vec<u8>>, DebrpmError> {
    match fetcher.get(place, RELEASE_CAP, None).await {
        Ok(Answer::New(small)) => Ok(Some(small.bytes)),
        Ok(Answer::Same) => Ok(None),
        Err(blame) if matches!(blame.fault, PlaceFault::Status(404) | PlaceFault::File(_)) => {
            Ok(None)
        }
        Err(blame) => {
            Err(DebrpmError::Mirror { what: Foreign::new(place), why: blame.fault.to_string() })
        }
    }
}

/// The files that a release names under `SHA256`.
fn vouched(release: &str) -> BTreeMap<&str, Vouched> {
    let Some(stanza) = stanzas(release).next() else { return BTreeMap::new() };
    let lines = stanza.field("SHA256").unwrap_or_default().lines();
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let digest = Digest::from_hex(words.next()?).ok()?;
            let size = words.next()?.parse().ok()?;
            Some((words.next()?, Vouched { digest, size }))
        })
        .collect()
}

fn unpack_index(path: &str, bytes: &[u8]) -> Result<String, DebrpmError> {
    let broken = |why: String| DebrpmError::Untrusted { what: Foreign::new(path), why };
    let unpacked = unpack::whole(path, bytes).map_err(broken)?;
    String::from_utf8(unpacked).map_err(|_| broken("it is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_names_files_with_their_digests() {
        let hex = "ab".repeat(32);
        let text = format!(
            "Suite: x\nMD5Sum:\n 00 1 main/a\nSHA256:\n {hex} 12 main/binary-amd64/Packages.xz\n nonsense\n"
        );
        let files = vouched(&text);
        let file = files["main/binary-amd64/Packages.xz"];
        assert_eq!((file.size, file.digest.hex()), (12, hex));
        assert_eq!(files.len(), 1);
    }
}
