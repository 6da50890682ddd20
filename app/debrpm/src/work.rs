//! The folder that a distribution is made in.

use std::fs;
use std::path::{Path, PathBuf};

use kiln_cas::Cas;
use kiln_model::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{DebrpmError, io_error};
use crate::plan::{PLAN_SCHEMA, Plan};
use crate::scan::SCAN_VERSION;

/// A work folder.
///
/// ```text
/// WORK/
///   plan.json               what the distribution is made of
///   apt/                    apt's state, kept apart from the host's
///   debs.v1/                the Debian packages, by digest
///   scans.v1/SHA256.json    what is in each of them
///   spool/SHA256.tar        their data, unpacked, while they are converted
///   written.v1/RPM.json     from which recipe each RPM was made, and its digest
///   convert.json            what the conversion left out or decided, for people
///   repo/                   the distribution
///   TARGET.toml             the target that builds against it
/// ```
#[derive(Debug, Clone)]
pub(crate) struct Work(PathBuf);

impl Work {
    /// Opens the folder, and makes it where there is none.
    pub(crate) fn open(root: &Path) -> Result<Self, DebrpmError> {
        fs::create_dir_all(root).map_err(io_error("creating", root))?;
        let root = fs::canonicalize(root).map_err(io_error("finding", root))?;
        Ok(Self(root))
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// A folder in it, made where there is none.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, DebrpmError> {
        let folder = self.0.join(name);
        fs::create_dir_all(&folder).map_err(io_error("creating", &folder))?;
        Ok(folder)
    }

    /// The blobs of Debian packages.
    pub(crate) fn debs(&self) -> Result<Cas, DebrpmError> {
        Ok(Cas::open(&self.0.join("debs.v1"))?)
    }

    /// Reads the plan.
    pub(crate) fn plan(&self) -> Result<Plan, DebrpmError> {
        let path = self.0.join("plan.json");
        let plan: Option<Plan> = load(&path)?;
        match plan {
            Some(plan) if plan.schema == PLAN_SCHEMA => Ok(plan),
            _ => Err(DebrpmError::Early { path, step: "plan" }),
        }
    }

    /// Writes the plan.
    pub(crate) fn save_plan(&self, plan: &Plan) -> Result<(), DebrpmError> {
        save(&self.0.join("plan.json"), plan)
    }

    /// Where the scan of a package is kept.
    pub(crate) fn scan(&self, digest: &Digest) -> Result<PathBuf, DebrpmError> {
        Ok(self.folder(&format!("scans.v{SCAN_VERSION}"))?.join(format!("{}.json", digest.hex())))
    }

    /// Where a package's data lies unpacked.
    pub(crate) fn spool(&self, digest: &Digest) -> Result<PathBuf, DebrpmError> {
        Ok(self.folder("spool")?.join(format!("{}.tar", digest.hex())))
    }
}

/// Reads a record; `None` where there is none.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DebrpmError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("reading", path)(error)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|source| DebrpmError::Record { path: path.to_owned(), source })
}

/// Writes a record, whole or not at all.
pub(crate) fn save<T: Serialize>(path: &Path, record: &T) -> Result<(), DebrpmError> {
    let mut text = serde_json::to_vec_pretty(record).expect("a record is plain data");
    text.push(b'\n');
    write(path, &text)
}

/// Writes a file, whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), DebrpmError> {
    let partial = path.with_extension("part");
    fs::write(&partial, bytes).map_err(io_error("writing", &partial))?;
    fs::rename(&partial, path).map_err(io_error("naming", path))
}
