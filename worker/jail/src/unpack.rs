//! Unpacks RPMs into the jail's root by code of ours: the way to the first program in a tree that
//! has none. Runs as a step, locked in like every other, since the RPMs are strangers' bytes.
//!
//! No scriptlets, no owners: everything belongs to root. Good for a toolbox that installs the
//! buildroot and is nobody's buildroot itself.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use kiln_parse::rpmfile::{Contents, Entry, Kind};

use crate::mounts::{Doing, SetupError};

/// Unpacks every `.rpm` in the folder `from`, in the order of their names.
pub(crate) fn unpack_all(from: &Path) -> Result<(), SetupError> {
    let mut packages: Vec<PathBuf> = fs::read_dir(from)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .doing(|| "listing the toolbox's packages".to_owned())?;
    packages.sort();
    // Links first: a distribution whose /bin is a link says so in one package, and another one
    // that would put a folder there comes later.
    for links in [true, false] {
        for package in &packages {
            unpack(package, links).map_err(|error| {
                SetupError::new(format!("unpacking {}: {error}", package.display()), other())
            })?;
        }
    }
    Ok(())
}

fn other() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

fn unpack(package: &Path, top_links: bool) -> Result<(), Box<dyn std::error::Error>> {
    let mut contents = Contents::read(File::open(package)?)?;
    let mut first_names: HashMap<u32, PathBuf> = HashMap::new();
    let mut more_names: Vec<(u32, PathBuf)> = Vec::new();
    while let Some(mut entry) = contents.next()? {
        let is_top_link = matches!(entry.kind, Kind::SymLink { .. }) && is_at_top(&entry.path);
        if is_top_link != top_links {
            continue;
        }
        let Some(to) = place_of(&entry.path) else {
            return Err(format!("a path that is not one: {:?}", entry.path).into());
        };
        match entry.kind.clone() {
            Kind::Folder => folder(&to, entry.mode)?,
            Kind::SymLink { target } => link(&to, &target)?,
            Kind::File { inode } => {
                file(&to, &mut entry)?;
                first_names.insert(inode, to);
            }
            Kind::HardLink { inode } => more_names.push((inode, to)),
            Kind::Other => {}
        }
    }
    for (inode, name) in more_names {
        if let Some(first) = first_names.get(&inode) {
            make_parents(&name)?;
            replace(&name)?;
            fs::hard_link(first, name)?;
        }
    }
    Ok(())
}

fn is_at_top(path: &str) -> bool {
    path.rfind('/') == Some(0)
}

/// The path in the jail's root; links on the way are the jail's own and lead nowhere else.
fn place_of(path: &str) -> Option<PathBuf> {
    let plain = path.starts_with('/') && path.split('/').all(|part| part != "..");
    plain.then(|| PathBuf::from(path))
}

fn folder(to: &Path, mode: u32) -> io::Result<()> {
    make_parents(to)?;
    match fs::create_dir(to) {
        // There already, perhaps as a link to a folder.
        Err(_) if to.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => fs::set_permissions(to, Permissions::from_mode(mode & 0o7777)),
    }
}

fn link(to: &Path, target: &str) -> io::Result<()> {
    make_parents(to)?;
    if to.is_dir() && !to.is_symlink() {
        // A folder that stands where another package has a link to it: the folder stays.
        return Ok(());
    }
    replace(to)?;
    symlink(target, to)
}

fn file(to: &Path, entry: &mut Entry<'_>) -> io::Result<()> {
    make_parents(to)?;
    replace(to)?;
    let mut file = File::create_new(to)?;
    io::copy(entry, &mut file)?;
    file.set_permissions(Permissions::from_mode(entry.mode & 0o777))
}

fn make_parents(to: &Path) -> io::Result<()> {
    match to.parent() {
        Some(parent) if !parent.is_dir() => fs::create_dir_all(parent),
        _ => Ok(()),
    }
}

fn replace(to: &Path) -> io::Result<()> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
