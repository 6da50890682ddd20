//! `normalise ROOT COMMAND...`: runs the command that makes the files of a package, and then takes out
//! of them what would be another each time: times in archives, owners in static libraries, the time
//! of the source in compiled Python, dates in generated documents.
//!
//! It runs as the build user in the build's own jail, where `%install` runs, so it can do nothing
//! that the package could not have done itself. A time is only ever set back to
//! `SOURCE_DATE_EPOCH`, from which a file that came with the sources is older: that one stays as it
//! is. Files keep their own times, modes and hard links.

mod ar;
mod dates;
mod docs;
mod gzip;
mod pyc;
mod zip;

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// The largest file that is looked into.
const LARGEST: u64 = 512 << 20;

/// `EX_USAGE` and `EX_SOFTWARE` of sysexits.h.
const USAGE: u8 = 64;
const SOFTWARE: u8 = 70;

/// Runs the command, and if that went well makes the tree the same each time. The exit code is the
/// command's.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let (Some(root), Some(program)) = (arguments.next(), arguments.next()) else {
        eprintln!("kiln: normalise ROOT COMMAND...");
        return ExitCode::from(USAGE);
    };
    match Command::new(&program).args(arguments).status() {
        Ok(status) if status.success() => {}
        Ok(status) => {
            let code = status.code().or(status.signal().map(|signal| 128 + signal));
            return ExitCode::from(u8::try_from(code.unwrap_or(1)).unwrap_or(1));
        }
        Err(error) => {
            eprintln!("kiln: {}: {error}", program.to_string_lossy());
            return ExitCode::from(127);
        }
    }
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse().ok());
    let Some(epoch) = epoch else { return ExitCode::SUCCESS };
    let mut walk = Walk { epoch, seen: HashSet::new(), changed: 0 };
    match walk.folder(Path::new(&root)) {
        Ok(()) => {
            if walk.changed > 0 {
                eprintln!("kiln: made {} files the same each time", walk.changed);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("kiln: normalising {}: {error}", root.to_string_lossy());
            ExitCode::from(SOFTWARE)
        }
    }
}

struct Walk {
    epoch: u64,
    /// Files of several names that were looked at.
    seen: HashSet<(u64, u64)>,
    changed: u64,
}

impl Walk {
    fn folder(&mut self, folder: &Path) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            // A package may make folders that it cannot read itself; rpm will say so.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            // A package without files has no such tree.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            // Of a link itself: none is followed.
            let about = fs::symlink_metadata(&path)?;
            if about.is_dir() {
                self.folder(&path)?;
            } else if about.is_file() && (1..=LARGEST).contains(&about.len()) {
                let is_new = about.nlink() == 1 || self.seen.insert((about.dev(), about.ino()));
                if is_new && self.file(&path, &about)? {
                    self.changed += 1;
                }
            }
        }
        Ok(())
    }

    fn file(&self, path: &Path, about: &Metadata) -> io::Result<bool> {
        let mut first = [0; 8];
        let count = match File::open(path).and_then(|mut file| file.read(&mut first)) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
            Err(error) => return Err(error),
        };
        let Some(kind) = Kind::of(path, &first[..count]) else { return Ok(false) };
        let old = fs::read(path)?;
        let mut new = old.clone();
        match kind {
            Kind::Ar => ar::normalise(&mut new, self.epoch),
            Kind::Gzip => gzip::normalise(&mut new, self.epoch),
            Kind::Zip => zip::normalise(&mut new, self.epoch),
            Kind::Pyc => pyc::normalise(&mut new, path, self.epoch),
            Kind::Html => docs::html(&mut new, self.epoch),
            Kind::Properties => docs::properties(&mut new, self.epoch),
        }
        if new == old {
            return Ok(false);
        }
        write(path, about, &new)?;
        Ok(true)
    }
}

/// Writes over a file: its inode, mode and time stay.
fn write(path: &Path, about: &Metadata, bytes: &[u8]) -> io::Result<()> {
    const OWNER_WRITES: u32 = 0o200;
    let mode = about.permissions().mode();
    if mode & OWNER_WRITES == 0 {
        fs::set_permissions(path, Permissions::from_mode(mode | OWNER_WRITES))?;
    }
    let mut file = File::options().write(true).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.set_times(
        FileTimes::new().set_accessed(about.accessed()?).set_modified(about.modified()?),
    )?;
    if mode & OWNER_WRITES == 0 {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

enum Kind {
    Ar,
    Gzip,
    Zip,
    Pyc,
    Html,
    Properties,
}

impl Kind {
    fn of(path: &Path, first: &[u8]) -> Option<Self> {
        let name = path.extension().and_then(|name| name.to_str()).unwrap_or_default();
        match (first, name) {
            ([b'!', b'<', b'a', b'r', b'c', b'h', b'>', b'\n'], _) => Some(Self::Ar),
            ([0x1f, 0x8b, 8, ..], _) => Some(Self::Gzip),
            ([b'P', b'K', 3, 4, ..], _) => Some(Self::Zip),
            ([_, _, b'\r', b'\n', ..], "pyc") => Some(Self::Pyc),
            (_, "html" | "htm") => Some(Self::Html),
            (_, "properties") => Some(Self::Properties),
            _ => None,
        }
    }
}

/// A number of a few bytes, the lowest first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
