//! `kiln restore`: a service out of a backup, where there is none.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kiln_cas::Cas;
use kiln_model::Digest;
use kiln_store::Store;

use super::copy::{copy_tree, digest_of, sync_tree};
use super::{Contents, FORMAT, LIST, broken, private_folder};
use crate::failure::{Failure, doing};
use crate::folders::Folders;
use crate::local::refuse_root;

/// What `kiln restore` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A backup, or a folder of backups: the newest of them
    backup: PathBuf,

    /// An empty database to fill: postgres://…; an SQLite file in kiln's folder where there is
    /// none. It need not be of the kind that the backup was made of
    #[arg(long, value_name = "URL", env = "KILN_DATABASE", hide_env_values = true)]
    database: Option<String>,
}

const OTHER: &str = "take another backup";

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    refuse_root()?;
    let folders = Folders::find()?;
    let place = find(&arguments.backup)?;
    let top = place.parent().unwrap_or(&place);
    let contents = read(&place)?;
    // Before anything is written: that there is nothing to overwrite, and that all is whole.
    refuse_what_is_there(&folders)?;
    for (name, digest) in &contents.files {
        if digest_of(&place.join(name))? != *digest {
            let error = format!("{} is not what was written there", place.join(name).display());
            return Err(broken(error, OTHER));
        }
    }
    let runtime = tokio::runtime::Runtime::new().map_err(doing("starting the runtime"))?;
    let store = runtime.block_on(connect(arguments.database.as_deref()))?;
    private_folder(folders.data())?;
    let _alone = folders.alone()?;
    let blobs = copy_blobs(&place, top, &folders)?;
    if blobs != contents.blobs {
        return Err(broken(format!("{blobs} blobs are listed, not {}", contents.blobs), OTHER));
    }
    copy_tree(&place.join("keys"), &folders.data().join("keys.v1"), &|_| true)?;
    copy_tree(&place.join("targets"), &folders.targets(), &|_| true)?;
    copy_tree(&top.join("logs.v1"), &folders.data().join("logs.v1"), &|_| true)?;
    sync_tree(folders.data())?;
    // The database last: it is what makes a service of it.
    let rows = runtime.block_on(load(store, &folders, &place.join("database.jsonl")))?;
    sync_tree(folders.data())?;
    println!("{}", folders.data().display());
    println!("  {rows} rows, {blobs} blobs: each is what it was");
    Ok(ExitCode::SUCCESS)
}

/// The backup that a path means.
fn find(given: &Path) -> Result<PathBuf, Failure> {
    let given = std::path::absolute(given).map_err(doing("finding the backup"))?;
    if given.join(LIST).is_file() {
        return Ok(given);
    }
    let entries = fs::read_dir(&given).map_err(doing(format!("listing {}", given.display())))?;
    let whole = entries.flatten().map(|entry| entry.path()).filter(|path| {
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
        !is_hidden && path.join(LIST).is_file()
    });
    // Their names are their moments.
    whole.max().ok_or_else(|| {
        let error = format!("there is no backup in {}", given.display());
        Failure::caller(error, Some("'kiln backup FOLDER' makes one".to_owned()))
    })
}

fn read(place: &Path) -> Result<Contents, Failure> {
    let path = place.join(LIST);
    let bytes = fs::read(&path).map_err(doing(format!("reading {}", path.display())))?;
    let contents: Contents = serde_json::from_slice(&bytes)
        .map_err(|error| broken(format!("{}: {error}", path.display()), OTHER))?;
    match contents.format {
        FORMAT => Ok(contents),
        other => {
            let error = format!("the backup has form {other}, and this kiln reads {FORMAT}");
            Err(broken(error, &format!("restore it with kiln {}", contents.kiln)))
        }
    }
}

/// Nothing is ever overwritten.
fn refuse_what_is_there(folders: &Folders) -> Result<(), Failure> {
    let data = folders.data();
    let is_full = |path: PathBuf| fs::read_dir(path).is_ok_and(|mut it| it.next().is_some());
    let there = data.join("kiln.db").exists()
        || is_full(data.join("keys.v1"))
        || is_full(folders.blobs().join("sha256"));
    if !there {
        return Ok(());
    }
    let error = format!("there is a kiln in {} already", data.display());
    let hint = "nothing is overwritten: set KILN_DIR to a folder that is empty, or not there";
    Err(Failure::caller(error, Some(hint.to_owned())))
}

/// The database of a URL, if one is given. That it is empty is seen when it is filled.
async fn connect(url: Option<&str>) -> Result<Option<Store>, Failure> {
    match url {
        Some(url) => Ok(Some(Store::connect(url).await?)),
        None => Ok(None),
    }
}

/// Copies the blobs that a backup needs, each checked on its way; how many there are.
fn copy_blobs(place: &Path, top: &Path, folders: &Folders) -> Result<u64, Failure> {
    let list = place.join("blobs.txt");
    let text = fs::read_to_string(&list).map_err(doing(format!("reading {}", list.display())))?;
    let (from, to) = (Cas::open(&top.join("blobs.v1"))?, Cas::open(&folders.blobs())?);
    let mut count = 0;
    for line in text.lines() {
        let digest: Digest =
            line.parse().map_err(|_| broken(format!("{} is no list", list.display()), OTHER))?;
        let mut blob = from.read(&digest)?;
        to.insert_from(&mut blob)?;
        count += 1;
    }
    Ok(count)
}

async fn load(store: Option<Store>, folders: &Folders, path: &Path) -> Result<u64, Failure> {
    let store = match store {
        Some(store) => store,
        None => Store::open(&folders.data().join("kiln.db")).await?,
    };
    let file = fs::File::open(path).map_err(doing(format!("reading {}", path.display())))?;
    let rows = store.load(&mut BufReader::new(file)).await?;
    store.close().await;
    Ok(rows)
}
