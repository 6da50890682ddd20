//! What is in a Debian package: its files, what they provide and require, and what its scripts
//! would do. Read once from each package and kept, since the package never changes.

mod cmake;
mod elf;
mod license;
mod members;
mod perl;
mod pkgconfig;
mod python;
mod scripts;

use serde::{Deserialize, Serialize};

use crate::deb::Deb;
use crate::error::DebrpmError;

pub(crate) use scripts::{Alternative, Catalog};

/// The version of a scan's form and meaning: goes up with either, so that kept scans are made anew.
pub(crate) const SCAN_VERSION: u32 = 2;

/// What is in one package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scan {
    /// Every file, folder and link, in the archive's order.
    pub(crate) members: Vec<Member>,
    /// Files that an upgrade leaves alone where the operator changed them.
    pub(crate) conffiles: Vec<String>,
    /// Alternatives that its `postinst` would install.
    pub(crate) alternatives: Vec<Alternative>,
    /// XML catalogs that its `postinst` would register.
    pub(crate) catalogs: Vec<Catalog>,
    /// The short names of its licences, where its copyright file tells them to programs.
    pub(crate) license: String,
}

/// One file, folder or link of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Where Debian has it: absolute, without `.` or a `/` at the end.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// Permission bits.
    pub(crate) mode: u16,
    pub(crate) user: String,
    pub(crate) group: String,
    /// Seconds since 1970.
    pub(crate) mtime: u32,
    /// What it provides or requires.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) facts: Vec<Fact>,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Folder,
    /// Where its bytes are in the unpacked data archive.
    File {
        at: u64,
        size: u64,
    },
    /// A symbolic link's target, as written.
    Link(String),
    /// The path of the member that it is the same file as.
    Hard(String),
}

/// Something that a file provides or requires, whatever the package's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fact {
    /// A capability that is complete, as `libz.so.1()(64bit)`.
    Provides(String),
    /// One that is required.
    Requires(String),
    /// `pkgconfig(name) = version`
    PkgConfig(String, String),
    /// `cmake(name) = version`
    Cmake(String, String),
    /// `perl(module) = version`
    Perl(String, String),
    /// A Python distribution and its version: `python3dist(name) = version`.
    Python(String, String),
}

/// A package's scan, and its data archive unpacked.
pub(crate) fn scan(name: &str, bytes: &[u8]) -> Result<(Scan, Vec<u8>), DebrpmError> {
    let deb = Deb::open(name, bytes)?;
    let data = deb.data()?;
    let mut scan = Scan { members: members::read(name, &data)?, ..Scan::default() };
    scripts::read(name, &deb.control()?, &mut scan)?;
    for member in &mut scan.members {
        if let Kind::File { at, size } = member.kind {
            let content = &data[at as usize..(at + size) as usize];
            member.facts = facts(member, content);
            if member.path.ends_with("/copyright") && member.path.starts_with("/usr/share/doc/") {
                scan.license = license::read(content);
            }
        }
    }
    Ok((scan, data))
}

/// What a regular file provides and requires.
fn facts(member: &Member, content: &[u8]) -> Vec<Fact> {
    let path = member.path.as_str();
    let mut facts = if content.starts_with(elf::MAGIC) {
        elf::read(path, member.mode, content)
    } else if path.ends_with(".pc") {
        pkgconfig::read(path, content)
    } else if path.ends_with(".cmake") {
        cmake::read(path, content)
    } else if path.ends_with(".pm") || path.ends_with(".pl") {
        perl::read(path, content)
    } else {
        python::read(path, content)
    };
    facts.sort();
    facts.dedup();
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deb::tests::make;

    #[test]
    fn a_scan_lists_files_and_what_they_provide() {
        let bytes = make(
            &[("./conffiles", 0o644, Ok(b"/etc/foo.conf\n"))],
            &[
                ("./usr/", 0o755, Ok(b"")),
                ("./usr/lib/pkgconfig/foo.pc", 0o644, Ok(b"Name: foo\nVersion: 1.2\n")),
                ("./usr/bin/foo", 0o755, Err("foo-1")),
            ],
        );
        let (scan, data) = scan("foo", &bytes).expect("a scan");
        assert_eq!(scan.conffiles, ["/etc/foo.conf"]);
        assert_eq!(scan.members[0].kind, Kind::Folder);
        let pc = &scan.members[1];
        assert_eq!(pc.facts, [Fact::PkgConfig("foo".into(), "1.2".into())]);
        let Kind::File { at, size } = pc.kind else { panic!("a file") };
        assert_eq!(&data[at as usize..(at + size) as usize], b"Name: foo\nVersion: 1.2\n");
        assert_eq!(scan.members[2].kind, Kind::Link("foo-1".to_owned()));
    }
}
