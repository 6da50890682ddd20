//! `kiln cache`: what kiln keeps on this machine, and throwing away what nothing needs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use indicatif::HumanBytes;
use kiln_agent::{Folders as WorkerFolders, KeptRoot, Layers};
use kiln_cas::Cas;
use kiln_jail::{Cancel, Controllers, IdMap, Launcher, Plan};
use kiln_model::Digest;
use kiln_store::{Kept as KeptByStore, Store};
use serde::Serialize;

use crate::control::now;
use crate::failure::{Failure, doing};
use crate::folders::Folders;
use crate::role;

/// What only the folder of a service has.
const SERVICE: &str = "boot";

/// What `kiln cache` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What is kept, and how much room it takes
    Ls {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove layers and kept buildroots that were not used for a while, and blobs that no kept
    /// build, lock or snapshot names
    Gc {
        /// Layers and kept buildroots that were not used for so many days
        #[arg(long, value_name = "DAYS", default_value_t = 14)]
        unused: u32,
        /// Forget builds older than so many days: what only they name goes too
        #[arg(long, value_name = "DAYS")]
        forget: Option<u32>,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let folders = Folders::find()?;
    match &arguments.verb {
        Verb::Ls { json } => list(&folders, *json)?,
        Verb::Gc { unused, forget, dry_run } => collect(&folders, *unused, *forget, *dry_run)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize)]
struct Kept {
    what: &'static str,
    count: u64,
    bytes: u64,
}

fn list(folders: &Folders, json: bool) -> Result<(), Failure> {
    let names = [
        ("blobs", "blobs.v1"),
        ("layers", "layers.v1"),
        ("snapshots", "snapshots.v1"),
        ("solutions", "solved.v1"),
        ("logs", "logs.v1"),
        ("kept roots", "kept.v1"),
    ];
    let kept: Vec<Kept> = names
        .iter()
        .map(|(what, folder)| {
            let (count, bytes) = weigh(&folders.data().join(folder));
            Kept { what, count, bytes }
        })
        .collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&kept).expect("types of our own serialise"));
        return Ok(());
    }
    println!("{}", folders.data().display());
    for one in &kept {
        println!("  {:<10} {:>9} files {:>12}", one.what, one.count, HumanBytes(one.bytes));
    }
    Ok(())
}

/// Files and bytes below a folder. Layers belong to the jails' ids, and what is closed in them
/// is not counted.
fn weigh(folder: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let mut todo = vec![folder.to_owned()];
    let (mut count, mut bytes) = (0, 0);
    while let Some(folder) = todo.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                todo.push(entry.path());
            } else {
                count += 1;
                bytes += about.blocks() * 512;
            }
        }
    }
    (count, bytes)
}

fn collect(
    folders: &Folders,
    unused: u32,
    forget: Option<u32>,
    dry_run: bool,
) -> Result<(), Failure> {
    let _alone = folders.alone()?;
    let day = Duration::from_secs(24 * 3600);
    if !dry_run {
        // Nobody builds, so nobody is in a chain.
        let _ = fs::remove_dir_all(folders.chains());
    }
    let (layers, freed) = collect_layers(folders, day * unused, dry_run)?;
    let word = if dry_run { "would remove" } else { "removed" };
    println!("{word} {layers} layers, {}", HumanBytes(freed));
    let roots = collect_kept_roots(folders, day * unused, dry_run)?;
    println!("{word} {roots} kept buildroots");
    if folders.data().join(SERVICE).exists() {
        // What they are for may stand in another database than the one in this folder.
        println!(
            "blobs are the service's: it sweeps them itself, and 'kiln sweep' does it at once"
        );
        return Ok(());
    }
    let (blobs, freed) = collect_blobs(folders, forget, dry_run)?;
    println!("{word} {blobs} blobs, {}", HumanBytes(freed));
    Ok(())
}

fn collect_layers(
    folders: &Folders,
    unused: Duration,
    dry_run: bool,
) -> Result<(u64, u64), Failure> {
    let worker = WorkerFolders::open(folders.data()).map_err(doing("opening kiln's folders"))?;
    let layers = Layers::open(&worker.layers())?;
    let launcher =
        Launcher::new(role::OWN_PROGRAM.into(), vec![role::KEEPER.to_owned()], Controllers::None);
    let now = SystemTime::now();
    let (mut count, mut freed) = (0, 0);
    for (key, used) in layers.list()? {
        if now.duration_since(used).unwrap_or_default() < unused {
            continue;
        }
        let bytes = weigh(&worker.layers().join(key.hex())).1;
        if !dry_run {
            let Some(retired) = layers.retire(key)? else { continue };
            remove_layer(&retired, &launcher)?;
        }
        count += 1;
        freed += bytes;
    }
    Ok((count, freed))
}

/// Buildroots that nobody has entered for a while; tells how many.
fn collect_kept_roots(folders: &Folders, unused: Duration, dry_run: bool) -> Result<u64, Failure> {
    let Ok(entries) = fs::read_dir(folders.all_kept()) else { return Ok(0) };
    let launcher =
        Launcher::new(role::OWN_PROGRAM.into(), vec![role::KEEPER.to_owned()], Controllers::None);
    let mut count = 0;
    for entry in entries.flatten() {
        let place = entry.path();
        let used = fs::metadata(place.join("root.json")).and_then(|about| about.modified());
        let age = used.ok().and_then(|used| used.elapsed().ok()).unwrap_or_default();
        if age < unused {
            continue;
        }
        if !dry_run {
            let slot = KeptRoot::read(&place).map_or(0, |kept| kept.slot);
            empty_by_jail(&place.join("root"), slot, &launcher)?;
            fs::remove_dir_all(&place).map_err(doing(format!("removing {}", place.display())))?;
        }
        count += 1;
    }
    Ok(count)
}

/// A layer's files belong to the ids that all slots share: any slot will do.
fn remove_layer(retired: &Path, launcher: &Launcher) -> Result<(), Failure> {
    empty_by_jail(retired, 0, launcher)?;
    fs::remove_dir(retired).map_err(doing(format!("removing {}", retired.display())))
}

/// Files that belong to the jails' ids are removed by a jail's root.
fn empty_by_jail(folder: &Path, slot: u32, launcher: &Launcher) -> Result<(), Failure> {
    let ids = IdMap::of_slot(slot)
        .map_err(|error| doing("finding ids for a jail")(std::io::Error::other(error)))?;
    let plan = Plan::that_cleans(folder.to_owned(), ids);
    let never = Cancel::new().map_err(doing("preparing to clean"))?;
    launcher.run(&plan, &never, &mut |_| Ok(()))?;
    Ok(())
}

fn collect_blobs(
    folders: &Folders,
    forget: Option<u32>,
    dry_run: bool,
) -> Result<(u64, u64), Failure> {
    let cas = Cas::open(&folders.blobs())?;
    let kept = kept(folders, &cas, forget, dry_run)?;
    let (mut count, mut freed) = (0, 0);
    for (digest, size) in cas.list()? {
        if kept.contains(&digest) {
            continue;
        }
        if !dry_run {
            cas.remove(&digest)?;
        }
        count += 1;
        freed += size;
    }
    Ok((count, freed))
}

/// Everything that a kept build names, with what its lock names, and every kept snapshot's
/// metadata: what a rebuild would need.
fn kept(
    folders: &Folders,
    cas: &Cas,
    forget: Option<u32>,
    dry_run: bool,
) -> Result<BTreeSet<Digest>, Failure> {
    const LOCK_CAP: u64 = 64 << 20;
    let runtime = tokio::runtime::Runtime::new().map_err(doing("starting the runtime"))?;
    let KeptByStore { locks, blobs, lists } = runtime.block_on(async {
        let store = Store::open(&folders.data().join("kiln.db")).await?;
        if let (Some(days), false) = (forget, dry_run) {
            let day = 24 * 3600 * 1000;
            store.forget(now() - i64::from(days) * day).await?;
        }
        store.kept().await
    })?;
    let mut kept: BTreeSet<Digest> = blobs.into_iter().collect();
    for digest in lists {
        kept.extend(kiln_flow::named_by_list(cas, &digest)?);
        kept.insert(digest);
    }
    for digest in locks {
        // A lock that cannot be read names nothing that could be kept for it.
        let lock = cas.read_to_vec(&digest, LOCK_CAP).ok();
        if let Some(lock) = lock.and_then(|bytes| kiln_parse::lock::read(&bytes).ok()) {
            kept.extend(lock.every_package().map(|package| package.digest));
        }
        kept.insert(digest);
    }
    let fetcher = {
        let _inside = runtime.enter();
        kiln_fetch::Fetcher::new(cas.clone(), kiln_fetch::Options::default())?
    };
    let repos =
        kiln_repo::Repos::open(fetcher, &folders.snapshots(), kiln_repo::Options::default())?;
    kept.extend(repos.in_use()?);
    Ok(kept)
}
