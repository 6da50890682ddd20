use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A worker's folders.
///
/// ```text
/// STATE/                    0700: the setuid files of layers are real files of the host
///   layers.v1/              see [`crate::Layers`]
///   slots.v1/N.lock         held while slot N is used
///   scratch.v1/slot-N/      what the attempt in slot N writes; empty between attempts
/// ```
#[derive(Debug, Clone)]
pub struct Folders {
    state: PathBuf,
}

impl Folders {
    /// Makes what is missing below `state`.
    pub fn open(state: &Path) -> io::Result<Self> {
        let folders = Self { state: state.to_owned() };
        for folder in [&folders.state, &folders.layers(), &folders.slots(), &folders.scratch()] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&folders.state, mode)?;
        Ok(folders)
    }

    /// Where layers are.
    pub fn layers(&self) -> PathBuf {
        self.state.join("layers.v1")
    }

    /// Where the slots' locks are.
    pub fn slots(&self) -> PathBuf {
        self.state.join("slots.v1")
    }

    /// Where attempts write.
    pub fn scratch(&self) -> PathBuf {
        self.state.join("scratch.v1")
    }

    /// Where the attempt in a slot writes.
    pub fn scratch_of(&self, slot: u32) -> PathBuf {
        self.scratch().join(format!("slot-{slot}"))
    }
}
