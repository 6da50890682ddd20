//! The disk that a machine writes to: a sparse file of a size that says how much it may, with as
//! many inodes as it may have. Made by the host's mke2fs, of nothing; never read or mounted here
//! after a machine had it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiln_model::{Foreign, Limits};

use super::{MachineError, failed, host};

/// Bytes that an inode takes on the disk.
const INODE: u64 = 256;

/// What the filesystem itself takes beside inodes, at least, and one part in so many of the rest.
const OWN: u64 = 96 << 20;
const OWN_PART: u64 = 32;

/// The filesystem's blocks: it has no more inodes than those.
const BLOCK: u64 = 4096;

/// How large it has to be.
pub(crate) fn size_for(limits: &Limits, inputs: u64) -> u64 {
    let content = limits.disk.saturating_add(inputs);
    content + content / OWN_PART + inodes_for(limits, inputs).saturating_mul(INODE) + OWN
}

/// How many inodes it has: as many as its limit says, and no more than its content could fill.
fn inodes_for(limits: &Limits, inputs: u64) -> u64 {
    let content = limits.disk.saturating_add(inputs).saturating_add(OWN / 2);
    limits.inodes.min(content / BLOCK)
}

/// Makes it at `path`, so that whoever gets at the folder may write to it.
pub(crate) fn make(path: &Path, limits: &Limits, inputs: (u64, u64)) -> Result<(), MachineError> {
    const DOING: &str = "making a scratch disk";
    let program = program().ok_or(MachineError::Lacking("mke2fs", "e2fsprogs"))?;
    let (count, bytes) = inputs;
    File::create(path)
        .and_then(|file| file.set_len(size_for(limits, bytes)))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o666)))
        .map_err(failed(DOING))?;
    // Some for the folders that the jail itself makes.
    let inodes = inodes_for(limits, bytes).saturating_add(count + 256).to_string();
    let told = Command::new(program)
        .env_clear()
        .args(["-q", "-F", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-N", &inodes])
        .args(["-E", "lazy_itable_init=1,nodiscard", "-I", &INODE.to_string(), "--"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .map_err(failed(DOING))?;
    if told.status.success() {
        return Ok(());
    }
    Err(MachineError::Scratch(Foreign::from_bytes(&told.stderr)))
}

/// Where the host's mke2fs is.
pub(crate) fn program() -> Option<PathBuf> {
    host::place_of(&["mke2fs"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_as_large_as_its_limits_say_and_takes_next_to_nothing() {
        use std::os::unix::fs::MetadataExt;
        if program().is_none() {
            println!("skipped, because there is no mke2fs");
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk");
        let limits = Limits { disk: 8 << 30, inodes: 100_000, ..Limits::default() };
        make(&path, &limits, (3, 1 << 20)).expect("made");
        let about = fs::metadata(&path).expect("there");
        assert_eq!(about.len(), size_for(&limits, 1 << 20));
        assert!(about.len() > 8 << 30 && about.len() < 9 << 30);
        assert!(about.blocks() * 512 < 32 << 20, "{} blocks", about.blocks());
        let small = Limits { disk: 1 << 20, ..Limits::default() };
        make(&folder.path().join("small"), &small, (0, 0)).expect("made, with fewer inodes");
    }
}
