use std::fs;
use std::path::{Path, PathBuf};

use crate::Skipped;
use crate::ground::skip;

/// The trial distribution that packages are built against, where `$KILN_TRIAL` or the default
/// says; `scripts/trial` makes it.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Its folder.
    pub folder: PathBuf,
    /// The target file that builds against it.
    pub target: PathBuf,
}

impl Trial {
    /// Finds it.
    pub fn find() -> Result<Self, Skipped> {
        let folder = folder_of("KILN_TRIAL", "/var/tmp/kiln-trial");
        let missing = || {
            let at = folder.display();
            Skipped(format!("there is no trial distribution in {at} ('scripts/trial' makes one)"))
        };
        let targets = files_of(&folder, "toml").map_err(|_| missing())?;
        let is_target = |path: &PathBuf| {
            fs::read_to_string(path).is_ok_and(|text| text.contains("[profile.strict]"))
        };
        let target = targets.into_iter().find(is_target).ok_or_else(missing)?;
        Ok(Self { folder, target })
    }

    /// As [`Trial::find`]; prints why and gives nothing where there is none.
    #[must_use]
    pub fn or_skip() -> Option<Self> {
        match Self::find() {
            Ok(trial) => Some(trial),
            Err(Skipped(why)) => {
                skip(&why);
                None
            }
        }
    }

    /// The RPMs of the distribution.
    pub fn packages(&self) -> PathBuf {
        self.folder.join("repo/Packages")
    }
}

/// The tarballs that packages of the tests are made from; `scripts/fetch-sources` fetches them.
pub fn sources() -> PathBuf {
    folder_of("KILN_SOURCES", "/var/tmp/kiln-sources")
}

fn folder_of(variable: &str, usual: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| PathBuf::from(usual), PathBuf::from)
}

fn files_of(folder: &Path, ending: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    files.sort();
    Ok(files)
}
