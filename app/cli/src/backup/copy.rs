//! Files and folders, copied and on the disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use kiln_model::{Digest, Hasher};

use crate::failure::{Failure, doing};

/// Copies what is below a folder, with its modes: of files that have the same size already
/// nothing. Names for which `is_wanted` says no are left out. A folder that isn't there is empty.
pub(super) fn copy_tree(
    from: &Path,
    to: &Path,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<(), Failure> {
    let failed = || doing(format!("copying {}", from.display()));
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed())?,
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(failed())?;
    for entry in entries {
        let entry = entry.map_err(failed())?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_wanted(name)) else { continue };
        let (from, to) = (entry.path(), to.join(name));
        // A link is followed: what it leads to is what is used.
        let about = match fs::metadata(&from) {
            // Gone meanwhile, as the logs of a build that is let go of.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            about => about.map_err(failed())?,
        };
        if about.is_dir() {
            copy_tree(&from, &to, is_wanted)?;
        } else if about.is_file() {
            copy_file(&from, &to, &about).map_err(failed())?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path, about: &fs::Metadata) -> io::Result<()> {
    if fs::metadata(to).is_ok_and(|there| there.size() == about.size()) {
        return Ok(());
    }
    // Beside its place first: half a file never stands there.
    let beside = to.with_extension("part");
    let mode = about.permissions().mode() & 0o777;
    let mut file =
        File::options().create(true).truncate(true).write(true).mode(mode).open(&beside)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    fs::rename(&beside, to)
}

/// The digests of all files below a folder, by their paths in it.
pub(super) fn digests_below(folder: &Path) -> Result<BTreeMap<String, Digest>, Failure> {
    let failed = || doing(format!("listing {}", folder.display()));
    let mut found = BTreeMap::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(place) = todo.pop() {
        for entry in fs::read_dir(&place).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let path = entry.path();
            if entry.file_type().map_err(failed())?.is_dir() {
                todo.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).ok().and_then(Path::to_str);
            let name = name.ok_or_else(|| failed()(io::ErrorKind::InvalidData.into()))?;
            found.insert(name.to_owned(), digest_of(&path)?);
        }
    }
    Ok(found)
}

/// What a file hashes to.
pub(super) fn digest_of(path: &Path) -> Result<Digest, Failure> {
    let mut hasher = Hasher::new();
    let hashed = File::open(path).and_then(|mut file| io::copy(&mut file, &mut hasher));
    hashed.map_err(doing(format!("reading {}", path.display())))?;
    Ok(hasher.finish())
}

/// Returns when all that was written to the file system of a folder is on its disk.
pub(super) fn sync_tree(folder: &Path) -> Result<(), Failure> {
    let synced = File::open(folder).and_then(|file| Ok(rustix::fs::syncfs(&file)?));
    synced.map_err(doing(format!("writing {}", folder.display())))
}

/// Returns when the names in a folder are on the disk.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Failure> {
    let synced = File::open(folder).and_then(|file| file.sync_all());
    synced.map_err(doing(format!("writing {}", folder.display())))
}
