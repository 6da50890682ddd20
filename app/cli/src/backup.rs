//! `kiln backup` and `kiln restore`: a service's database, blobs, keys, logs and targets, into a
//! folder and out of it.

mod copy;
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::HumanBytes;
use kiln_cas::Cas;
use kiln_model::{Digest, Fault, Report};
use kiln_store::{Kept, Store};
use serde::{Deserialize, Serialize};

use crate::control::now;
use crate::failure::{Failure, doing};
use crate::folders::Folders;
use crate::local::refuse_root;

use copy::{copy_tree, sync_folder, sync_tree};

pub(crate) use restore::{Arguments as RestoreArguments, run as run_restore};

/// The form of what is written here.
const FORMAT: u32 = 1;

/// What says of a backup that it is whole, and what is in it.
const LIST: &str = "backup.json";

/// What `kiln backup` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where backups are kept; another one beside the first costs what is new
    folder: PathBuf,

    /// The database of the service: postgres://…; the SQLite file in kiln's folder where there is
    /// none
    #[arg(long, value_name = "URL", env = "KILN_DATABASE", hide_env_values = true)]
    database: Option<String>,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// A folder of backups.
///
/// ```text
/// FOLDER/                     0700: the keys are in it
///   blobs.v1/                 everything by its digest, of all backups
///   logs.v1/JOB-EPOCH/…       logs, of all backups
///   20261122T201500Z/         a backup: whole where backup.json is there
///     database.jsonl          the database, as text: goes into SQLite and PostgreSQL
///     blobs.txt               the digests of what it needs of blobs.v1
///     keys/                   the signer's folder
///     targets/                the target files of the service
///     backup.json             what is in it, by digest; written last
/// ```
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: u32,
    /// The version of the program that wrote it.
    kiln: String,
    /// When, in milliseconds since 1970.
    made_at: i64,
    /// Rows of the database.
    rows: u64,
    /// Blobs that it needs.
    blobs: u64,
    /// Its files, and their digests.
    files: BTreeMap<String, Digest>,
}

/// What is told of a backup.
#[derive(Debug, Serialize)]
struct Told {
    backup: PathBuf,
    rows: u64,
    blobs: u64,
    new_blobs: u64,
    new_bytes: u64,
    /// Of the new ones, those that are links to the service's own.
    linked: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    refuse_root()?;
    let folders = Folders::find()?;
    let runtime = tokio::runtime::Runtime::new().map_err(doing("starting the runtime"))?;
    let told = runtime.block_on(backup(&folders, arguments))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&told).expect("types of our own serialise"));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", told.backup.display());
    println!("  {} rows, {} blobs", told.rows, told.blobs);
    println!(
        "  new: {} blobs, {}; {} are links",
        told.new_blobs,
        HumanBytes(told.new_bytes),
        told.linked
    );
    Ok(ExitCode::SUCCESS)
}

async fn backup(folders: &Folders, arguments: &Arguments) -> Result<Told, Failure> {
    let store = open_store(folders, arguments.database.as_deref()).await?;
    let _in_use = folders.in_use()?;
    let cas = Cas::open(&folders.blobs())?;
    // Nothing is removed meanwhile: what the copy of the database names is there until the end.
    let _held = cas.hold()?;
    let top = std::path::absolute(&arguments.folder).map_err(doing("finding the folder"))?;
    private_folder(&top)?;
    let at = free_moment(&top).await;
    let place = top.join(name_of(at));
    let part = top.join(format!(".{}.part", name_of(at)));
    private_folder(&part)?;
    let rows = dump(&store, &part.join("database.jsonl")).await?;
    // What came after the copy was made is in here too, which does no harm.
    let named = named(&cas, store.kept().await?)?;
    store.close().await;
    let (new_blobs, new_bytes, linked) = copy_blobs(&cas, &top, &named)?;
    write_list(&part.join("blobs.txt"), &named)?;
    copy_tree(&folders.data().join("keys.v1"), &part.join("keys"), &is_key)?;
    copy_tree(&folders.targets(), &part.join("targets"), &|_| true)?;
    copy_tree(&folders.data().join("logs.v1"), &top.join("logs.v1"), &|_| true)?;
    let contents = Contents {
        format: FORMAT,
        kiln: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: at,
        rows,
        blobs: named.len() as u64,
        files: copy::digests_below(&part)?,
    };
    let json = serde_json::to_vec_pretty(&contents).expect("types of our own serialise");
    fs::write(part.join(LIST), json).map_err(doing(format!("writing {LIST}")))?;
    sync_tree(&top)?;
    fs::rename(&part, &place).map_err(doing(format!("naming {}", place.display())))?;
    sync_folder(&top)?;
    let blobs = named.len() as u64;
    Ok(Told { backup: place, rows, blobs, new_blobs, new_bytes, linked })
}

/// Now, or soon: no two backups have the same name, which is of a second.
async fn free_moment(top: &Path) -> i64 {
    loop {
        let at = now();
        if !top.join(name_of(at)).exists() {
            return at;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// The service's database, which has to be there.
async fn open_store(folders: &Folders, url: Option<&str>) -> Result<Store, Failure> {
    if let Some(url) = url {
        return Ok(Store::connect(url).await?);
    }
    let path = folders.data().join("kiln.db");
    if !path.exists() {
        let error = format!("there is no service in {}", folders.data().display());
        let hint = "set KILN_DIR to its folder, and name its database with --database URL";
        return Err(Failure::caller(error, Some(hint.to_owned())));
    }
    Ok(Store::open(&path).await?)
}

async fn dump(store: &Store, path: &Path) -> Result<u64, Failure> {
    let file = fs::File::create(path).map_err(doing(format!("creating {}", path.display())))?;
    let mut file = BufWriter::new(file);
    let rows = store.dump(&mut file).await?;
    file.flush().map_err(doing(format!("writing {}", path.display())))?;
    Ok(rows)
}

/// What a restored service needs: what builds, locks and snapshots name. Metadata of upstream
/// repositories are fetched again.
fn named(cas: &Cas, kept: Kept) -> Result<BTreeSet<Digest>, Failure> {
    let Kept { locks, blobs, lists } = kept;
    let mut named: BTreeSet<Digest> = blobs.into_iter().collect();
    for list in lists {
        named.extend(kiln_flow::named_by_list(cas, &list)?);
        named.insert(list);
    }
    for digest in locks {
        let bytes = cas.read_to_vec(&digest, kiln_parse::lock::LOCK_CAP as u64)?;
        if let Ok(lock) = kiln_parse::lock::read(&bytes) {
            named.extend(lock.every_package().map(|package| package.digest));
        }
        named.insert(digest);
    }
    // A build that never got so far as to fetch them names packages that nobody has.
    named.retain(|digest| cas.has(digest));
    Ok(named)
}

/// Links the blobs that no backup has yet, or copies them where no link can be made: how many,
/// their bytes, and how many are links. What is copied is checked.
fn copy_blobs(cas: &Cas, top: &Path, named: &BTreeSet<Digest>) -> Result<(u64, u64, u64), Failure> {
    let to = Cas::open(&top.join("blobs.v1"))?;
    let (mut count, mut bytes, mut linked) = (0, 0, 0);
    for digest in named.iter().filter(|digest| !to.has(digest)) {
        linked += u64::from(cas.share(digest, &to)?);
        let about = fs::metadata(to.path(digest)).map_err(doing(format!("copying {digest}")))?;
        (count, bytes) = (count + 1, bytes + about.len());
    }
    Ok((count, bytes, linked))
}

fn write_list(path: &Path, named: &BTreeSet<Digest>) -> Result<(), Failure> {
    let lines: String = named.iter().map(|digest| format!("{digest}\n")).collect();
    fs::write(path, lines).map_err(doing(format!("writing {}", path.display())))
}

/// What belongs to the keys: not what a killed signer left, and no lock.
fn is_key(name: &str) -> bool {
    name != "lock" && !name.starts_with(".new-")
}

/// A folder for its user alone.
fn private_folder(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(doing(format!("making {}", path.display())))
}

/// A moment, in milliseconds since 1970, as a name: `20261122T201500Z`.
fn name_of(at: i64) -> String {
    let (days, seconds) = (at.div_euclid(86_400_000), at.rem_euclid(86_400_000) / 1000);
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// The date of a day counted from 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", civil_from_days).
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Something that isn't what a backup wrote.
fn broken(error: impl Into<String>, hint: &str) -> Failure {
    let (error, hint) = (error.into(), Some(hint.to_owned()));
    Failure(Report { fault: Fault::Host, error, causes: Vec::new(), hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_called_by_its_moment() {
        assert_eq!(name_of(0), "19700101T000000Z");
        assert_eq!(name_of(951_782_400_000), "20000229T000000Z");
        assert_eq!(name_of(1_795_378_500_000), "20261122T201500Z");
    }
}
