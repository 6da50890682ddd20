//! Where kiln keeps things for this user.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use kiln_model::JobId;

use crate::failure::{Failure, doing};

/// The folders of this user's kiln.
///
/// ```text
/// $KILN_DIR, or $XDG_DATA_HOME/kiln, or ~/.local/share/kiln
///   use.lock         shared: in use; exclusive: being collected
///   kiln.db          builds, jobs, artifacts
///   boot             in which boot of the machine the service last ran
///   blobs.v1/        everything by its digest
///   snapshots.v1/    generations of upstream repositories
///   solved.v1/       what the solver has answered
///   logs.v1/         logs of attempts
///   kept.v1/JOB/     buildroots that were kept
///   chains.v1/       repositories of chains under way
///   records.v1/      what rpm-md says of packages that were built here
///   chunks.v1/       pieces of metadata that were packed before
///   keys.v1/         the signer's
///   worker.json      by what this host is known as a worker
///   machine.v1/      what machines are made of; kernel/ is what scripts/guest-kernel unpacked
///   layers.v1/ slots.v1/ scratch.v1/    the worker's
/// $KILN_DIR/config, or $XDG_CONFIG_HOME/kiln, or ~/.config/kiln
///   targets/NAME.toml
///   servers.json     which services this user is signed in to
///   logs.json        what was seen of services' logs of attestations
/// ```
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    data: PathBuf,
    config: PathBuf,
}

impl Folders {
    /// As the environment says.
    pub(crate) fn find() -> Result<Self, Failure> {
        if let Some(kiln) = path_of("KILN_DIR") {
            return Ok(Self { config: kiln.join("config"), data: kiln });
        }
        let home = path_of("HOME");
        let of_home = |variable: &str, rest: &str| {
            path_of(variable)
                .map(|folder| folder.join("kiln"))
                .or_else(|| home.as_ref().map(|home| home.join(rest).join("kiln")))
        };
        let data = of_home("XDG_DATA_HOME", ".local/share");
        let config = of_home("XDG_CONFIG_HOME", ".config");
        match (data, config) {
            (Some(data), Some(config)) => Ok(Self { data, config }),
            _ => Err(Failure::caller(
                "nobody says where kiln may keep things",
                Some("set HOME, or KILN_DIR to a folder of its own".to_owned()),
            )),
        }
    }

    /// What kiln makes.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Everything by its digest.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.data.join("blobs.v1")
    }

    /// Generations of upstream repositories.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.data.join("snapshots.v1")
    }

    /// Repositories of chains under way.
    pub(crate) fn chains(&self) -> PathBuf {
        self.data.join("chains.v1")
    }

    /// The buildroot of a job, where it is kept.
    pub(crate) fn kept(&self, job: JobId) -> PathBuf {
        self.all_kept().join(job.0.to_string())
    }

    /// Buildroots that were kept.
    pub(crate) fn all_kept(&self) -> PathBuf {
        self.data.join("kept.v1")
    }

    /// Says that this process uses what is kept, for as long as the file is held.
    pub(crate) fn in_use(&self) -> Result<File, Failure> {
        let (file, path) = self.use_lock()?;
        file.lock_shared().map_err(doing(format!("locking {}", path.display())))?;
        Ok(file)
    }

    /// Waits until no other process uses what is kept, and keeps them out.
    pub(crate) fn alone(&self) -> Result<File, Failure> {
        let (file, path) = self.use_lock()?;
        if file.try_lock().is_err() {
            eprintln!("waiting for builds under way to end");
            file.lock().map_err(doing(format!("locking {}", path.display())))?;
        }
        Ok(file)
    }

    fn use_lock(&self) -> Result<(File, PathBuf), Failure> {
        fs::create_dir_all(&self.data)
            .map_err(doing(format!("creating {}", self.data.display())))?;
        let path = self.data.join("use.lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(doing(format!("opening {}", path.display())))?;
        Ok((file, path))
    }

    /// Which services this user is signed in to.
    pub(crate) fn servers(&self) -> PathBuf {
        self.config.join("servers.json")
    }

    /// What was seen of services' logs.
    pub(crate) fn logs_seen(&self) -> PathBuf {
        self.config.join("logs.json")
    }

    /// This user's target files.
    pub(crate) fn targets(&self) -> PathBuf {
        self.config.join("targets")
    }
}

/// An absolute path from the environment; anything else is as good as none.
fn path_of(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
