//! Takes files out of a dead jail's writable layer: by name, size and kind, link by link refused.
//!
//! Runs in the keeper, as root of the jail's user namespace, so that a package which takes the
//! permissions from its own folders is no obstacle. What lies there is a stranger's: every step
//! is opened beneath the last one (`RESOLVE_BENEATH`, no links, no other mounts), only regular
//! files with one name are taken, and the bytes are copied, so nobody can change them afterwards.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use kiln_model::{Breached, Foreign, Limit};
use kiln_wire::frame::{self, DATA, DATA_CAP};
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};

use crate::messages::{FileHead, FromKeeper};
use crate::mounts::{Doing, SetupError};
use crate::plan::{Barrier, Collect, Plan};

/// The longest name of a file that is taken, in bytes.
const NAME_CAP: usize = 240;

/// What came of collecting.
pub(crate) enum Collected {
    /// Everything was sent.
    All,
    /// There was more than the limits allow.
    TooMuch(Breached),
}

/// Sends everything that the plan asks for.
pub(crate) fn collect(
    plan: &Plan,
    folder: &OwnedFd,
    to: &mut impl Write,
) -> Result<Collected, SetupError> {
    let mut walk = Walk { plan, files: 0, to };
    for (index, wanted) in plan.collect.iter().enumerate() {
        let path = format!("{}/fs/{}", wanted.upper, wanted.folder);
        // A step that made nothing has no such folder.
        let Ok(top) = open_beneath(folder.as_fd(), &path, OFlags::DIRECTORY, plan) else {
            continue;
        };
        if let Collected::TooMuch(breached) = walk.folder(index, wanted, &top, wanted.depth)? {
            return Ok(Collected::TooMuch(breached));
        }
    }
    Ok(Collected::All)
}

struct Walk<'a, W> {
    plan: &'a Plan,
    files: u64,
    to: &'a mut W,
}

impl<W: Write> Walk<'_, W> {
    fn folder(
        &mut self,
        index: usize,
        wanted: &Collect,
        folder: &OwnedFd,
        depth: u32,
    ) -> Result<Collected, SetupError> {
        let cap = match self.plan.is_without(Barrier::Limits) {
            true => u64::MAX,
            false => self.plan.limits.files,
        };
        for name in names_in(folder, cap)? {
            self.files += 1;
            let allowed = self.plan.limits.files;
            if self.files > allowed && !self.plan.is_without(Barrier::Limits) {
                let limit = Limit::Files;
                return Ok(Collected::TooMuch(Breached { limit, allowed, seen: self.files }));
            }
            let below = open_beneath(folder.as_fd(), &name, OFlags::DIRECTORY, self.plan);
            match below {
                Ok(below) if depth > 0 => {
                    if let Collected::TooMuch(breached) =
                        self.folder(index, wanted, &below, depth - 1)?
                    {
                        return Ok(Collected::TooMuch(breached));
                    }
                }
                Ok(_) => {}
                Err(_) if name.ends_with(&wanted.suffix) => self.file(index, folder, &name)?,
                Err(_) => self.refuse(&name, "its name does not end as it should")?,
            }
        }
        Ok(Collected::All)
    }

    fn file(&mut self, collect: usize, folder: &OwnedFd, name: &str) -> Result<(), SetupError> {
        if let Some(why) = name_trouble(name) {
            return self.refuse(name, why);
        }
        let Ok(file) = open_beneath(folder.as_fd(), name, OFlags::NONBLOCK, self.plan) else {
            return self.refuse(name, "it is a link, or leads out of its folder");
        };
        let stat = rustix::fs::fstat(&file).doing(|| "looking at a file".to_owned())?;
        let checked = !self.plan.is_without(Barrier::CollectChecks);
        if checked && FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return self.refuse(name, "it is not a regular file");
        }
        if checked && stat.st_nlink != 1 {
            return self.refuse(name, "it has a second name");
        }
        let size = stat.st_size.unsigned_abs();
        let head = FileHead { collect, name: name.to_owned(), size };
        self.say(&FromKeeper::File(head))?;
        self.bytes(File::from(file), size)
    }

    /// Sends exactly `size` bytes: every process is dead, so a file cannot change its length.
    fn bytes(&mut self, mut file: File, size: u64) -> Result<(), SetupError> {
        let mut buffer = vec![0; DATA_CAP];
        let mut left = size;
        while left > 0 {
            let most = left.min(DATA_CAP as u64) as usize;
            let count = file.read(&mut buffer[..most]).doing(|| "reading a file".to_owned())?;
            if count == 0 {
                let end = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(SetupError::new("reading a file", end));
            }
            frame::write(self.to, DATA, &buffer[..count]).map_err(lost)?;
            left -= count as u64;
        }
        Ok(())
    }

    fn refuse(&mut self, name: &str, why: &str) -> Result<(), SetupError> {
        let name = Foreign::new(name).as_str().to_owned();
        self.say(&FromKeeper::Refused { name, why: why.to_owned() })
    }

    fn say(&mut self, message: &FromKeeper) -> Result<(), SetupError> {
        frame::write_message(self.to, message).map_err(lost)
    }
}

pub(crate) fn lost(error: frame::FrameError) -> SetupError {
    SetupError::new(error, io::ErrorKind::BrokenPipe)
}

/// The names in a folder, sorted, at most `cap` and one: enough to see that there are too many.
fn names_in(folder: &OwnedFd, cap: u64) -> Result<Vec<String>, SetupError> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder).doing(|| "listing results".to_owned())? {
        let entry = entry.doing(|| "listing results".to_owned())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
        if names.len() as u64 > cap {
            break;
        }
    }
    names.sort();
    Ok(names)
}

pub(crate) fn name_trouble(name: &str) -> Option<&'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._+~^".contains(c);
    if name.len() > NAME_CAP {
        Some("its name is too long")
    } else if !name.chars().all(plain) {
        Some("its name has characters that no package's name has")
    } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        Some("its name begins with a mark")
    } else {
        None
    }
}

fn open_beneath(
    folder: BorrowedFd<'_>,
    path: &str,
    flags: OFlags,
    plan: &Plan,
) -> rustix::io::Result<OwnedFd> {
    let resolve = if plan.is_without(Barrier::CollectChecks) {
        ResolveFlags::empty()
    } else {
        ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV
    };
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat2(folder, path, flags, Mode::empty(), resolve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_package_has_are_trouble() {
        for name in ["a b.rpm", "a\nb.rpm", "-x.rpm", ".x.rpm", "é.rpm", "a/b.rpm"] {
            assert!(name_trouble(name).is_some(), "{name:?}");
        }
        assert!(name_trouble(&format!("{}.rpm", "x".repeat(NAME_CAP))).is_some());
        assert_eq!(name_trouble("gcc-c++-14.2~rc1^git-1.x86_64.rpm"), None);
    }
}
