//! Compiled Python (PEP 552) that knows its source by its time: rpm sets the source's time back to the
//! build's, so that Python would compile it anew each time, and another build has another time.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::number;

pub(super) fn normalise(bytes: &mut [u8], path: &Path, epoch: u64) {
    const BY_TIME: u64 = 0;
    if bytes.len() < 16 || number(&bytes[4..8]) != BY_TIME {
        return;
    }
    let of_source = source_of(path)
        .and_then(|source| fs::symlink_metadata(source).ok())
        .and_then(|about| u64::try_from(about.mtime()).ok());
    let known = number(&bytes[8..12]);
    // What the source's time is going to be; without a source, at least no later than the build's.
    let time = of_source.unwrap_or(known).min(epoch);
    if known > epoch
        && let Ok(time) = u32::try_from(time)
    {
        bytes[8..12].copy_from_slice(&time.to_le_bytes());
    }
}

/// `x/__pycache__/y.cpython-313.pyc` is of `x/y.py`, and `x/y.pyc` as well.
fn source_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let folder = path.parent()?;
    let stem = name.split('.').next()?;
    let folder = match folder.file_name().is_some_and(|name| name == "__pycache__") {
        true => folder.parent()?,
        false => folder,
    };
    Some(folder.join(format!("{stem}.py")))
}
