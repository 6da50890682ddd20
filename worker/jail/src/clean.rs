//! Removes what a jail wrote, whatever a package did to its permissions.
//!
//! Runs in the keeper, as root of the jail's user namespace: the files belong to its ids, so its
//! capabilities reach them. Nothing is followed; folders that cannot be searched are given their
//! permissions back first.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, unlinkat};
use rustix::io::Errno;

use crate::mounts::{Doing, SetupError};

/// Removes everything in `folder` but the names in `keep`, and of those what overlayfs left.
pub(crate) fn clean(folder: &OwnedFd, keep: &[String]) -> Result<(), SetupError> {
    for name in names(folder.as_fd())? {
        let is_kept = keep.iter().any(|kept| kept.as_bytes() == name.to_bytes());
        if is_kept {
            let kept = open(folder.as_fd(), &name)?;
            remove(kept.as_fd(), c"work")?;
        } else {
            remove(folder.as_fd(), &name)?;
        }
    }
    Ok(())
}

/// Removes `name` in `parent` with all below it. Depth costs descriptors, not stack: a package
/// can make a tree deeper than either, so folders are moved up to the top when it gets deep.
fn remove(parent: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<(), SetupError> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(SetupError::new("removing a file", error)),
    }
    let top = open(parent, name)?;
    empty(&top)?;
    unlinkat(parent, name, AtFlags::REMOVEDIR).doing(|| "removing a folder".to_owned())
}

/// Empties a folder. Each folder found in it is emptied of its files, its own folders are moved
/// up here under fresh names, and it is removed: no recursion, whatever the depth.
fn empty(top: &OwnedFd) -> Result<(), SetupError> {
    let mut moved = 0_u64;
    loop {
        let names = names(top.as_fd())?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            match unlinkat(top, &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::ISDIR | Errno::PERM) => {}
                Err(error) => return Err(SetupError::new("removing a file", error)),
            }
            if unlinkat(top, &name, AtFlags::REMOVEDIR).is_ok() {
                continue;
            }
            let folder = open(top.as_fd(), &name)?;
            for below in self::names(folder.as_fd())? {
                match unlinkat(&folder, &below, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => continue,
                    Err(Errno::ISDIR | Errno::PERM) => {}
                    Err(error) => return Err(SetupError::new("removing a file", error)),
                }
                if unlinkat(&folder, &below, AtFlags::REMOVEDIR).is_err() {
                    lift(&folder, &below, top, &mut moved)?;
                }
            }
            unlinkat(top, &name, AtFlags::REMOVEDIR).doing(|| "removing a folder".to_owned())?;
        }
    }
}

fn lift(
    from: &OwnedFd,
    name: &std::ffi::CStr,
    top: &OwnedFd,
    moved: &mut u64,
) -> Result<(), SetupError> {
    // A folder must be writable itself to get another parent.
    open(from.as_fd(), name)?;
    loop {
        *moved += 1;
        let fresh = format!(".kiln-{moved}");
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(from, name, top, &fresh, flags) {
            Err(Errno::EXIST) => {}
            result => return result.doing(|| "moving a folder".to_owned()),
        }
    }
}

/// Opens a folder, with its permissions given back.
fn open(parent: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<OwnedFd, SetupError> {
    let all = Mode::RWXU;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(parent, name, flags | OFlags::RDONLY, Mode::empty())
        .doing(|| "opening a folder".to_owned())?;
    // As its root in the namespace we may search it anyhow, unless its owner is an id that is
    // not mapped, which no jail of ours can make.
    let _ = rustix::fs::fchmod(&folder, all);
    Ok(folder)
}

fn names(folder: BorrowedFd<'_>) -> Result<Vec<std::ffi::CString>, SetupError> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder).doing(|| "listing a folder".to_owned())? {
        let name = entry.doing(|| "listing a folder".to_owned())?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn opened(path: &std::path::Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).expect("opened")
    }

    #[test]
    fn trees_links_and_closed_folders_go_and_what_is_kept_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let outside = folder.path().join("outside");
        fs::write(&outside, "canary").expect("written");
        let top = folder.path().join("top");
        fs::create_dir_all(top.join("a/b/c")).expect("made");
        fs::write(top.join("a/b/c/file"), "x").expect("written");
        symlink(&outside, top.join("a/b/link")).expect("linked");
        symlink(folder.path(), top.join("a/up")).expect("linked");
        fs::create_dir_all(top.join("keep/fs/x")).expect("made");
        fs::create_dir_all(top.join("keep/work/y")).expect("made");
        fs::set_permissions(top.join("a/b"), Permissions::from_mode(0o700)).expect("set");
        clean(&opened(&top), &["keep".to_owned()]).expect("cleaned");
        assert_eq!(fs::read_to_string(outside).expect("still there"), "canary");
        assert_eq!(fs::read_dir(&top).expect("listed").count(), 1);
        assert!(top.join("keep/fs/x").is_dir());
        assert!(!top.join("keep/work").exists());
    }

    #[test]
    fn a_tree_deeper_than_any_path_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut at = opened(folder.path());
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).expect("made");
            at = rustix::fs::openat(&at, "d", OFlags::DIRECTORY, Mode::empty()).expect("opened");
        }
        drop(at);
        clean(&opened(folder.path()), &[]).expect("cleaned");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
    }
}
