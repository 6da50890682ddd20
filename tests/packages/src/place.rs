//! Where the measurements find what they need, and where they write.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kiln_kit::{Ground, Skipped, Trial};

use crate::cases::{self, Case};
use crate::kiln::Kiln;

/// Everything that building real packages takes.
#[derive(Debug)]
pub struct Place {
    /// A folder of this run's own, and the user that kiln runs as.
    pub ground: Ground,
    /// What is built against.
    pub trial: Trial,
    /// A copy of the kiln that was built.
    pub program: PathBuf,
    /// kiln's folder for builds that may find their layers made.
    pub warm: PathBuf,
    /// Whether that folder stays.
    is_kept: bool,
}

impl Place {
    /// Finds and prepares everything; prints why and gives nothing where something is missing
    /// that this machine has to have.
    pub fn or_skip(warm: Option<PathBuf>) -> Result<Option<Self>> {
        let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else {
            return Ok(None);
        };
        let program = ground.program(&built_program()?)?;
        let is_kept = warm.is_some();
        let warm = match warm {
            Some(folder) => folder,
            None => ground.own_folder("warm")?,
        };
        Ok(Some(Self { ground, trial, program, warm, is_kept }))
    }

    /// The packages of these names, all where none is named; says what is missing, or panics in
    /// the lane that must run everything, where their sources are not there.
    pub fn cases_or_skip(&self, names: &[String]) -> Result<Option<Vec<Case>>> {
        let cases = cases::read(names)?;
        for case in &cases {
            if let Err(Skipped(why)) = case.sources() {
                kiln_kit::skip(&why);
                return Ok(None);
            }
        }
        Ok(Some(cases))
    }

    /// kiln, with the warm folder.
    pub fn kiln(&self) -> Kiln<'_> {
        Kiln::new(self, self.warm.clone())
    }

    /// kiln, with an empty folder of its own, which [`Place::forget`] removes.
    pub fn cold_kiln(&self, name: &str) -> Result<Kiln<'_>> {
        Ok(Kiln::new(self, self.ground.own_folder(&format!("cold-{name}"))?))
    }

    /// Removes a folder of kiln's: its layers belong to ids that only kiln may remove.
    pub fn forget(&self, kiln: &Kiln<'_>) -> Result<()> {
        kiln.drop_layers()?;
        fs::remove_dir_all(kiln.folder())
            .with_context(|| format!("removing {}", kiln.folder().display()))
    }

    /// A folder with these files, which the user can read.
    pub fn stage(&self, name: &str, files: &[(String, Vec<u8>)]) -> Result<PathBuf> {
        let folder = self.ground.own_folder("staged")?.join(name);
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        for (name, bytes) in files {
            let path = folder.join(name);
            fs::write(&path, bytes)?;
            fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        }
        Ok(folder)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = self.kiln().drop_layers()
        {
            eprintln!("layers are left in {}: {error:#}", self.warm.display());
        }
    }
}

/// The folder of this crate.
pub fn own_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo builds: this program lies in it, or in its `deps`.
pub fn build_folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().context("a program lies in a folder")?;
    let folder = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    Ok(folder.context("a folder of cargo's")?.to_owned())
}

fn built_program() -> Result<PathBuf> {
    let program = match std::env::var_os("KILN_PROGRAM") {
        Some(named) => PathBuf::from(named),
        None => build_folder()?.join("kiln"),
    };
    if !program.exists() {
        bail!("there is no {} ('cargo build -p kiln' makes it)", program.display());
    }
    Ok(program)
}
