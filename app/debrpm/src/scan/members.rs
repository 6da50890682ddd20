//! The members of a package's data archive.

use kiln_model::Foreign;

use super::{Kind, Member};
use crate::error::DebrpmError;

/// The most files that a package may have.
const MEMBER_CAP: usize = 1_000_000;

/// Reads the archive's list. Paths become absolute and plain; one that leads out of the root, a
/// device, and whatever else no package of Debian has, is refused.
pub(crate) fn read(name: &str, data: &[u8]) -> Result<Vec<Member>, DebrpmError> {
    let broken = |why: String| DebrpmError::Deb { package: name.to_owned(), why };
    let mut members = Vec::new();
    let mut archive = tar::Archive::new(data);
    for entry in archive.entries().map_err(|error| broken(error.to_string()))? {
        let entry = entry.map_err(|error| broken(error.to_string()))?;
        let path = plain_path(&entry.path_bytes()).map_err(broken)?;
        if path == "/" {
            continue;
        }
        if members.len() == MEMBER_CAP {
            return Err(broken(format!("it has over {MEMBER_CAP} files")));
        }
        members.push(member(&entry, path).map_err(broken)?);
    }
    Ok(members)
}

fn member(entry: &tar::Entry<'_, &[u8]>, path: String) -> Result<Member, String> {
    let header = entry.header();
    let target = || {
        let target = entry.link_name_bytes().unwrap_or_default();
        String::from_utf8(target.into_owned()).map_err(|_| format!("the link {path} is not UTF-8"))
    };
    let kind = match header.entry_type() {
        tar::EntryType::Directory => Kind::Folder,
        tar::EntryType::Regular | tar::EntryType::Continuous => {
            Kind::File { at: entry.raw_file_position(), size: entry.size() }
        }
        tar::EntryType::Symlink => Kind::Link(target()?),
        tar::EntryType::Link => Kind::Hard(plain_path(target()?.as_bytes())?),
        other => return Err(format!("{path} is of the kind {other:?}")),
    };
    let owner = |name: Result<Option<&str>, std::str::Utf8Error>| {
        let name = name.ok().flatten().unwrap_or_default();
        if name.is_empty() { "root".to_owned() } else { name.to_owned() }
    };
    let mode = header.mode().map_err(|error| format!("{path}: {error}"))? & 0o7777;
    let mtime = header.mtime().map_err(|error| format!("{path}: {error}"))?;
    Ok(Member {
        kind,
        mode: u16::try_from(mode).expect("twelve bits fit"),
        user: owner(header.username()),
        group: owner(header.groupname()),
        mtime: u32::try_from(mtime).unwrap_or(u32::MAX),
        facts: Vec::new(),
        path,
    })
}

/// `./usr/bin/` becomes `/usr/bin`.
fn plain_path(bytes: &[u8]) -> Result<String, String> {
    let shown = || Foreign::from_bytes(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", shown()))?;
    let mut path = String::with_capacity(text.len() + 1);
    for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." || part.chars().any(char::is_control) {
            return Err(format!("{} is no path of a package", shown()));
        }
        path.push('/');
        path.push_str(part);
    }
    Ok(if path.is_empty() { "/".to_owned() } else { path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_plain_and_those_that_lead_out_are_refused() {
        assert_eq!(plain_path(b"./usr//bin/./x/").as_deref(), Ok("/usr/bin/x"));
        assert_eq!(plain_path(b"./").as_deref(), Ok("/"));
        for path in [&b"../etc/passwd"[..], b"usr/../../etc", b"a\nb", b"\xff"] {
            assert!(plain_path(path).is_err(), "{path:?}");
        }
    }
}
