//! A chain of builds: each sees the RPMs of those before it, through a repository of their own.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use kiln_cas::Cas;
use kiln_flow::Own;
use kiln_model::{Digest, RepoSpec};
use kiln_parse::place;
use kiln_repo::{Entry, Record, Records, WriteOptions, write_repo};

use crate::failure::{Failure, doing};
use crate::folders::Folders;
use crate::results::Made;

/// The id of the repository in locks.
const ID: &str = "kiln-chain";

/// Before all repositories of a target: what was built in the chain is what it is for.
const PRIORITY: u16 = 1;

/// A repository of what was built so far, on this machine and for this chain alone.
///
/// ```text
/// chains.v1/
///   0.lock       held by the chain that uses the folder
///   0/repodata/  0/Packages/     links into the store
/// ```
pub(crate) struct Chain {
    folder: PathBuf,
    records: Records,
    packages: Vec<(String, Digest)>,
    _lock: File,
}

impl Chain {
    /// Takes the first folder that no other chain holds, and empties it.
    pub(crate) fn begin(folders: &Folders) -> Result<Self, Failure> {
        let parent =
            std::path::absolute(folders.chains()).map_err(doing("finding the folder of chains"))?;
        fs::create_dir_all(&parent).map_err(doing("making a folder for the chain"))?;
        for number in 0_u32.. {
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(parent.join(format!("{number}.lock")))
                .map_err(doing("taking a folder for the chain"))?;
            if lock.try_lock().is_ok() {
                let folder = parent.join(number.to_string());
                empty(&folder).map_err(doing(format!("emptying {}", folder.display())))?;
                let records = Records::open(&folders.data().join("records.v1"));
                return Ok(Self { folder, records, packages: Vec::new(), _lock: lock });
            }
        }
        unreachable!("there are more numbers than chains")
    }

    /// Adds what was built; gives the repository as those that follow see it.
    pub(crate) fn add(&mut self, made: &[Made], cas: &Cas) -> Result<Own, Failure> {
        for one in made.iter().filter(|one| one.nevra.arch() != "src") {
            let location = format!("Packages/{}", one.name);
            let to = self.folder.join(&location);
            // The same name again is the same package built again: the newest counts.
            if self.packages.iter().any(|(known, _)| *known == location) {
                self.packages.retain(|(known, _)| *known != location);
                fs::remove_file(&to).map_err(doing(format!("removing {}", to.display())))?;
            }
            cas.link(&one.digest, &to)?;
            self.packages.push((location, one.digest));
        }
        let records: Vec<(&str, Record)> = self
            .packages
            .iter()
            .map(|(location, digest)| Ok((location.as_str(), self.records.of(cas, digest)?)))
            .collect::<Result<_, Failure>>()?;
        let entries: Vec<Entry<'_>> = records
            .iter()
            .map(|(location, record)| Entry {
                record,
                location: (*location).to_owned(),
                mtime: record.built,
            })
            .collect();
        let revision = self.packages.len() as u64;
        write_repo(&entries, &self.folder, &WriteOptions { revision, gzip: false })?;
        Ok(Own { repo: self.repo(), may_replace: vec!["*".to_owned()] })
    }

    fn repo(&self) -> RepoSpec {
        RepoSpec {
            id: ID.to_owned(),
            baseurl: vec![place::of_file(&self.folder)],
            mirrorlist: None,
            metalink: None,
            keys: Vec::new(),
            check_packages: false,
            check_metadata: false,
            priority: PRIORITY,
            exclude: Vec::new(),
            modules: Vec::new(),
            packages_above: 0,
            stale_after_days: None,
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the chain that comes next.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn empty(folder: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(folder.join("Packages"))
}
