//! Which services one is signed in to.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, doing};
use crate::folders::Folders;

/// The services that this user knows: `servers.json` in the folder of settings, 0600.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Servers {
    /// The one that was signed in to last.
    pub(crate) last: Option<String>,
    tokens: BTreeMap<String, String>,
}

impl Servers {
    pub(crate) fn load() -> Result<Self, Failure> {
        let path = place()?;
        let Ok(bytes) = fs::read(&path) else { return Ok(Self::default()) };
        serde_json::from_slice(&bytes).map_err(|error| {
            let hint = "remove it and sign in again".to_owned();
            let mut failure =
                Failure::caller(format!("{} cannot be read", path.display()), Some(hint));
            failure.0.causes.push(error.to_string());
            failure
        })
    }

    pub(crate) fn token(&self, server: &str) -> Option<String> {
        self.tokens.get(server.trim_end_matches('/')).cloned()
    }

    /// Keeps a token, and makes its service the one that is meant from now on.
    pub(crate) fn keep(&mut self, server: &str, token: &str) -> Result<(), Failure> {
        self.last = Some(server.to_owned());
        self.tokens.insert(server.to_owned(), token.to_owned());
        let path = place()?;
        let failed = || doing(format!("writing {}", path.display()));
        let parent = path.parent().unwrap_or(&path);
        fs::create_dir_all(parent).map_err(failed())?;
        let json = serde_json::to_vec_pretty(self).expect("types of our own always serialise");
        // A file of its own first, which others cannot read: then in place of the old one.
        let mut file = tempfile::NamedTempFile::new_in(parent).map_err(failed())?;
        file.write_all(&json).map_err(failed())?;
        file.persist(&path).map_err(|error| failed()(error.error))?;
        Ok(())
    }
}

fn place() -> Result<PathBuf, Failure> {
    Ok(Folders::find()?.servers())
}
