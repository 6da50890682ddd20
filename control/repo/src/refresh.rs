//! How a repository's newest generation becomes a snapshot, step by step.

use std::io::{self, Read};

use kiln_cas::Cas;
use kiln_fetch::{Answer, Progress, Small, Validator, Wanted};
use kiln_model::{Digest, Foreign, RepoSpec};
use kiln_parse::compression::{Compression, unpack};
use kiln_parse::modules::{MODULES_CAP, Modules, ModulesError};
use kiln_parse::place;
use kiln_parse::repomd::{Kind, REPOMD_CAP, Record, Repomd};

use crate::error::{Refusal, RefusalReason};
use crate::folder::Head;
use crate::keyring::{Keyring, SIGNATURE_CAP, SignatureError};
use crate::mirrors::Mirrors;
use crate::repos::{Repos, lost};
use crate::{MetadataBlob, MetadataRef, RepoError, Snapshot};

/// Where `repomd.xml` lies in a repository.
const REPOMD: &str = "repodata/repomd.xml";

/// The most bytes of one piece of metadata as it is fetched. Fedora's file lists have 60 MB.
const PACKED_CAP: u64 = 2 << 30;

/// The most bytes of one piece unpacked. Fedora's file lists have 800 MB.
const OPEN_CAP: u64 = 8 << 30;

/// Enough of the packages' metadata to see how many there are.
const GLANCE: u64 = 4096;

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// The narrator: from what is known, over the places, to a snapshot.
pub(crate) async fn refresh(
    repos: &Repos,
    repo: &RepoSpec,
    now: u64,
    progress: &Progress,
) -> Result<Snapshot, RepoError> {
    let head = repos.folder.head(repo)?;
    let known = match &head {
        Some(head) => kept(repos, repo, head)?,
        None => None,
    };
    let offline = repos.options.offline && !is_of_this_machine(repo);
    if let (Some(head), Some(snapshot)) = (&head, &known)
        && (offline || is_fresh(repos, snapshot, head, now))
    {
        if !offline {
            check_age(repos, repo, snapshot.made, now)?;
        }
        return exclude(repos, repo, snapshot.clone()).await;
    }
    if offline {
        return Err(RepoError::Offline { repo: repo.id.clone() });
    }
    let mirrors = Mirrors::find(&repos.fetcher, repo, head.as_ref()).await?;
    let seen = Seen { head: head.as_ref(), known: known.as_ref(), mirrors: &mirrors };
    let mut found = find_repomd(repos, repo, &seen, now).await?;
    check_age(repos, repo, found.repomd.made, now)?;
    let snapshot = match known.as_ref().filter(|known| known.repomd == found.digest) {
        Some(known) => settle(known.clone(), repo, &mirrors, &found.place)?,
        None => match take(repos, repo, &mirrors, &found, progress).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                // It may have moved on between its index and what the index names.
                let again = find_repomd(repos, repo, &seen, now).await?;
                if again.digest == found.digest || !matches!(error, RepoError::Fetch { .. }) {
                    return Err(error);
                }
                found = again;
                take(repos, repo, &mirrors, &found, progress).await?
            }
        },
    };
    repos.folder.save(repo, &snapshot)?;
    let validators = [(found.place, found.validator)].into_iter().collect();
    let head = Head { repomd: found.digest, seen: now, list: mirrors.list, validators };
    repos.folder.save_head(repo, &head)?;
    exclude(repos, repo, snapshot).await
}

/// The snapshot of the newest generation that was seen, if all of it is still here.
fn kept(repos: &Repos, repo: &RepoSpec, head: &Head) -> Result<Option<Snapshot>, RepoError> {
    let cas = repos.fetcher.cas();
    let kept = repos
        .folder
        .snapshot(repo, &head.repomd)?
        .filter(|kept| cas.has(&kept.repomd) && cas.has(&kept.primary.digest))
        .filter(|kept| kept.modules.as_ref().is_none_or(|modules| cas.has(&modules.digest)));
    // What the target says may have changed since.
    Ok(kept.map(|kept| Snapshot { repo: repo.id.clone(), priority: repo.priority, ..kept }))
}

/// Leaves out what the target excludes, and packages of module streams that don't count.
async fn exclude(
    repos: &Repos,
    repo: &RepoSpec,
    snapshot: Snapshot,
) -> Result<Snapshot, RepoError> {
    let mut exclude = repo.exclude.clone();
    if let Some(modules) = snapshot.modules.clone() {
        let (cas, chosen) = (repos.fetcher.cas().clone(), repo.modules.clone());
        let read = tokio::task::spawn_blocking(move || hidden(&cas, &modules, &chosen)).await;
        let hidden = read.map_err(|_| lost(&repo.id))?;
        exclude
            .extend(hidden.map_err(|source| RepoError::Modules { repo: repo.id.clone(), source })?);
    }
    Ok(Snapshot { exclude, ..snapshot })
}

fn hidden(
    cas: &Cas,
    modules: &MetadataBlob,
    chosen: &[String],
) -> Result<Vec<String>, ModulesError> {
    let blob =
        cas.read(&modules.digest).map_err(|error| ModulesError::Io(io::Error::other(error)))?;
    let (_, unpacked) =
        unpack(blob, modules.open_size.min(MODULES_CAP)).map_err(ModulesError::Io)?;
    let modules = Modules::parse(io::BufReader::new(unpacked))?;
    Ok(modules.hidden(chosen).iter().map(ToString::to_string).collect())
}

fn is_fresh(repos: &Repos, snapshot: &Snapshot, head: &Head, now: u64) -> bool {
    let moved = snapshot.places.iter().any(|place| place.starts_with("file:"));
    !moved && now.checked_sub(head.seen).is_some_and(|age| age < repos.options.max_age)
}

fn is_of_this_machine(repo: &RepoSpec) -> bool {
    !repo.baseurl.is_empty() && repo.baseurl.iter().all(|base| base.starts_with("file:"))
}

/// What is known before a place is asked.
struct Seen<'a> {
    head: Option<&'a Head>,
    known: Option<&'a Snapshot>,
    mirrors: &'a Mirrors,
}

/// A `repomd.xml` that holds.
struct Found {
    place: String,
    bytes: Vec<u8>,
    digest: Digest,
    repomd: Repomd,
    validator: Validator,
}

async fn find_repomd(
    repos: &Repos,
    repo: &RepoSpec,
    seen: &Seen<'_>,
    now: u64,
) -> Result<Found, RepoError> {
    let mut keys = match repo.check_metadata {
        true => Some(repos.keyring(repo, false).await?),
        false => None,
    };
    let mut keys_are_new = false;
    let mut refusals = Vec::new();
    for place in seen.mirrors.places.iter().take(repos.fetcher.options().places) {
        let mut result = ask(repos, seen, place, keys.as_ref(), now).await;
        let is_strange = matches!(
            result,
            Err(RefusalReason::Signature(
                SignatureError::Stranger(_) | SignatureError::Untimely { .. }
            ))
        );
        if is_strange && !keys_are_new {
            // The keys at hand may be out of date: new subkeys, a later end.
            keys = Some(repos.keyring(repo, true).await?);
            keys_are_new = true;
            result = ask(repos, seen, place, keys.as_ref(), now).await;
        }
        match result {
            Ok(found) => return Ok(found),
            Err(why) => refusals.push(Refusal { place: Foreign::new(place), why }),
        }
    }
    Err(RepoError::NoRepomd { repo: repo.id.clone(), refusals })
}

async fn ask(
    repos: &Repos,
    seen: &Seen<'_>,
    place: &str,
    keys: Option<&Keyring>,
    now: u64,
) -> Result<Found, RefusalReason> {
    let fetcher = &repos.fetcher;
    let at = format!("{place}{REPOMD}");
    let before = seen.head.zip(seen.known).and_then(|(head, _)| {
        let bytes = fetcher.cas().read_to_vec(&head.repomd, REPOMD_CAP).ok()?;
        Some((bytes, head.validators.get(place)))
    });
    if let Some((bytes, _)) = &before
        && seen.mirrors.call_newest(bytes)
    {
        // The metalink says that nothing has changed: no mirror need be asked.
        return found(place, bytes.clone(), Validator::default());
    }
    let known = before.as_ref().and_then(|(_, validator)| *validator);
    let answer = fetcher.get(&at, REPOMD_CAP, known).await.map_err(RefusalReason::Fetch)?;
    let (bytes, validator) = match (answer, before) {
        (Answer::New(Small { bytes, validator }), _) => (bytes, validator),
        (Answer::Same, Some((bytes, Some(validator)))) => (bytes, validator.clone()),
        (Answer::Same, _) => return Err(RefusalReason::NotListed),
    };
    if !seen.mirrors.vouch_for(&bytes) {
        return Err(RefusalReason::NotListed);
    }
    let is_known = seen.known.is_some_and(|known| known.repomd == Digest::of(&bytes));
    if let Some(keys) = keys.filter(|_| !is_known) {
        let at = format!("{at}.asc");
        let signature = match fetcher.get(&at, SIGNATURE_CAP, None).await {
            Ok(Answer::New(small)) => small.bytes,
            Ok(Answer::Same) => return Err(RefusalReason::Signature(SignatureError::Unsigned)),
            Err(blame) => return Err(RefusalReason::NoSignature(blame)),
        };
        keys.verify(&signature, &bytes, now).map_err(RefusalReason::Signature)?;
    }
    let found = found(place, bytes, validator)?;
    let older = seen.known.is_some_and(|known| found.repomd.made < known.made);
    let trusted = repos.options.accept_older
        || place.starts_with("file:")
        || seen.mirrors.call_newest(&found.bytes);
    if older && !trusted { Err(RefusalReason::Older) } else { Ok(found) }
}

fn found(place: &str, bytes: Vec<u8>, validator: Validator) -> Result<Found, RefusalReason> {
    let mut repomd = Repomd::parse(&bytes).map_err(RefusalReason::Form)?;
    if repomd.made == 0 {
        repomd.made = repomd.revision.parse().unwrap_or(0);
    }
    Ok(Found { place: place.to_owned(), digest: Digest::of(&bytes), bytes, repomd, validator })
}

fn check_age(repos: &Repos, repo: &RepoSpec, made: u64, now: u64) -> Result<(), RepoError> {
    let Some(limit) = repo.stale_after_days.or(repos.options.stale_after_days) else {
        return Ok(());
    };
    let days = now.saturating_sub(made) / DAY;
    if days > u64::from(limit) {
        return Err(RepoError::Stale { repo: repo.id.clone(), days, limit });
    }
    Ok(())
}

/// Fetches a generation that is new here.
async fn take(
    repos: &Repos,
    repo: &RepoSpec,
    mirrors: &Mirrors,
    found: &Found,
    progress: &Progress,
) -> Result<Snapshot, RepoError> {
    let cas_error = |source| RepoError::Cas { repo: repo.id.clone(), source };
    let places = best_first(&mirrors.places, &found.place);
    let wanted = reference(repo, found.repomd.primary(), "primary")?;
    let primary = fetch_metadata(repos, &repo.id, "primary", &wanted, &places, progress).await?;
    let modules = match found.repomd.find(Kind::Modules) {
        Some(record) => {
            let wanted = reference(repo, record, "modules")?;
            let fetched =
                fetch_metadata(repos, &repo.id, "modules", &wanted, &places, progress).await?;
            Some(fetched)
        }
        None => None,
    };
    let filelists = found.repomd.find(Kind::Filelists);
    let filelists = filelists.map(|record| reference(repo, record, "filelists")).transpose()?;
    repos.fetcher.cas().insert_bytes(&found.bytes).map_err(cas_error)?;
    let snapshot = Snapshot {
        repo: repo.id.clone(),
        repomd: found.digest,
        revision: found.repomd.revision.clone(),
        made: found.repomd.made,
        packages: count(repos, repo, &primary).await?,
        primary,
        filelists,
        modules,
        places: Vec::new(),
        package_places: Vec::new(),
        package_prefix: "../".repeat(usize::from(repo.packages_above)),
        priority: repo.priority,
        exclude: Vec::new(),
    };
    settle(snapshot, repo, mirrors, &found.place)
}

/// Puts in where the repository is now.
fn settle(
    snapshot: Snapshot,
    repo: &RepoSpec,
    mirrors: &Mirrors,
    place: &str,
) -> Result<Snapshot, RepoError> {
    let places = best_first(&mirrors.places, place);
    let above = places.iter().map(|base| place::above(base, repo.packages_above));
    let package_places = above
        .collect::<Result<_, _>>()
        .map_err(|source| RepoError::Place { repo: repo.id.clone(), source })?;
    Ok(Snapshot { places, package_places, ..snapshot })
}

/// The places, the one that was found to hold before all others.
fn best_first(places: &[String], best: &str) -> Vec<String> {
    let others = places.iter().filter(|place| *place != best).cloned();
    std::iter::once(best.to_owned()).chain(others).collect()
}

fn reference(
    repo: &RepoSpec,
    record: &Record,
    what: &'static str,
) -> Result<MetadataRef, RepoError> {
    let huge = |cap| RepoError::Huge { repo: repo.id.clone(), what, cap };
    if record.size.is_some_and(|size| size > PACKED_CAP) {
        return Err(huge(PACKED_CAP));
    }
    if record.open_size.is_some_and(|size| size > OPEN_CAP) {
        return Err(huge(OPEN_CAP));
    }
    Ok(MetadataRef {
        location: record.location.clone(),
        checksum: record.checksum,
        size: record.size,
        open_size: record.open_size.unwrap_or(OPEN_CAP),
    })
}

/// Fetches a piece of metadata into the Cas and looks at how it is packed.
pub(crate) async fn fetch_metadata(
    repos: &Repos,
    repo: &str,
    what: &'static str,
    wanted: &MetadataRef,
    places: &[String],
    progress: &Progress,
) -> Result<MetadataBlob, RepoError> {
    let places = places.iter().map(|base| place::join(base, &wanted.location));
    let places = places
        .collect::<Result<_, _>>()
        .map_err(|source| RepoError::Place { repo: repo.to_owned(), source })?;
    let file = Wanted {
        name: format!("{repo}: {what}").into(),
        checksum: wanted.checksum,
        size: wanted.size,
        places,
    };
    let fetched = repos
        .fetcher
        .fetch(&file, progress)
        .await
        .map_err(|source| RepoError::Fetch { repo: repo.to_owned(), source })?;
    let path = repos.fetcher.cas().path(&fetched.digest);
    let (size, compression) = tokio::task::spawn_blocking(move || {
        let mut file = std::fs::File::open(path)?;
        let size = file.metadata()?.len();
        let mut first = Vec::new();
        (&mut file).take(8).read_to_end(&mut first)?;
        Ok::<_, io::Error>((size, Compression::of_magic(&first)))
    })
    .await
    .map_err(|_| lost(repo))?
    .map_err(|source| RepoError::Unpack { repo: repo.to_owned(), what, source })?;
    Ok(MetadataBlob { digest: fetched.digest, size, compression, open_size: wanted.open_size })
}

/// How many packages the metadata say there are: also the first look at whether they unpack.
async fn count(repos: &Repos, repo: &RepoSpec, blob: &MetadataBlob) -> Result<u64, RepoError> {
    let (cas, digest) = (repos.fetcher.cas().clone(), blob.digest);
    let counted = tokio::task::spawn_blocking(move || glance(&cas, &digest)).await;
    counted.map_err(|_| lost(&repo.id))?.map_err(|source| RepoError::Unpack {
        repo: repo.id.clone(),
        what: "primary",
        source,
    })
}

fn glance(cas: &Cas, digest: &Digest) -> io::Result<u64> {
    let file = cas.read(digest).map_err(io::Error::other)?;
    let (_, unpacked) = unpack(file, u64::MAX)?;
    let mut first = Vec::new();
    unpacked.take(GLANCE).read_to_end(&mut first)?;
    let text = String::from_utf8_lossy(&first);
    let Some((_, tag)) = text.split_once("<metadata") else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a <metadata> document"));
    };
    let tag = tag.split('>').next().unwrap_or_default();
    let digits = tag.split_once("packages=\"").and_then(|(_, rest)| rest.split('"').next());
    Ok(digits.and_then(|digits| digits.parse().ok()).unwrap_or(0))
}
