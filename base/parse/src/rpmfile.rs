//! RPM files: what a header says, and what a payload holds, both bounded.
//!
//! Source of the format: rpm's docs/manual/format_v4.md. The `rpm` crate reads it; this module
//! hides that crate, and refuses sizes over its caps before the crate sees them, since it
//! allocates what a header announces.

mod contents;
pub(crate) mod head;

use std::io::Read;

use kiln_model::{Fault, Faulty, Foreign, Nevra, NevraError, Requirement, RequirementError};
use rpm::{DependencyFlags, PackageMetadata};

pub use contents::{Contents, Entry, Kind};
pub use head::HeadCap;

/// Why bytes are not an RPM that kiln takes.
#[derive(Debug, thiserror::Error)]
pub enum RpmError {
    /// The file ends too early, or reading it failed.
    #[error("the file ends inside its header, or cannot be read")]
    Io(#[from] std::io::Error),
    /// Not an RPM at all.
    #[error("not an RPM file: it does not begin as one")]
    Magic,
    /// A header over the cap.
    #[error("its {part} header is {size} bytes long, over the cap of {cap}")]
    Large {
        /// Which of the two headers.
        part: &'static str,
        /// What it announces.
        size: u64,
        /// What is taken.
        cap: u64,
    },
    /// A header that contradicts itself.
    #[error("its header cannot be read: {0}")]
    Header(Foreign),
    /// A name, version or release that no package may have.
    #[error("its header names something that is not a package")]
    Nevra(#[from] NevraError),
    /// A requirement that is not one.
    #[error("its header asks for something that is not a requirement")]
    Requirement(#[from] RequirementError),
    /// A source package where a binary one was due, or the other way round.
    #[error("it is a {found} package where a {expected} one was due")]
    Class {
        /// What it is: source or binary.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A payload that contradicts its header.
    #[error("its payload cannot be read: {0}")]
    Payload(Foreign),
}

impl Faulty for RpmError {
    fn fault(&self) -> Fault {
        Fault::Caller
    }
}

/// In what a package is not one that a build should have made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ResultError(String);

/// What an RPM's header says. Its author wrote it: a hint until something else agrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What it is; the arch of a source package is `src`.
    pub nevra: Nevra,
    /// The architecture that the header names, which for a source package is that of the machine
    /// which made it.
    pub header_arch: String,
    /// For a binary package: the file name of its source package.
    pub source_rpm: Option<String>,
    /// What it asks for: for a source package, its BuildRequires. Sorted, each once, without
    /// `rpmlib(…)`.
    pub requires: Vec<Requirement>,
    /// The names of what it says it provides, without versions. For a source package: what its
    /// binary packages will, where the rpm that made it writes that down; a guess in any case.
    pub provides: Vec<String>,
    /// Whether its spec says at build time what else it needs (`%generate_buildrequires`).
    pub has_dynamic_requires: bool,
    /// For a source package: the plain names of the files in it, the spec among them.
    pub source_files: Vec<String>,
    /// Whether it has a changelog, which is where rpm takes the time of a build from.
    pub has_changelog: bool,
}

impl Facts {
    /// Reads the facts of an RPM from its beginning; the payload is not looked at.
    pub fn read(from: &mut impl Read, cap: HeadCap) -> Result<Self, RpmError> {
        let head = head::read(from, cap)?;
        let metadata = PackageMetadata::parse(&mut &head[..]).map_err(header)?;
        Self::of(&metadata)
    }

    /// As [`Facts::read`], for a file that must be a source package.
    pub fn read_source(from: &mut impl Read) -> Result<Self, RpmError> {
        let facts = Self::read(from, HeadCap::SOURCE)?;
        match facts.is_source() {
            true => Ok(facts),
            false => Err(RpmError::Class { found: "binary", expected: "source" }),
        }
    }

    /// Whether it is a source package.
    pub fn is_source(&self) -> bool {
        self.nevra.arch() == "src"
    }

    /// Checks what a build has left as one of its packages: that the file is named after it, that
    /// it is for `arch`, and that it says it was made from the source package `srpm`.
    pub fn check_result(&self, file: &str, srpm: &str, arch: &str) -> Result<(), ResultError> {
        let nevra = &self.nevra;
        let told = |what: String| Err(ResultError(what));
        if nevra.file_name() != file {
            return told(format!("{} holds the package {nevra}", Foreign::new(file)));
        }
        if self.is_source() {
            return told(format!("{nevra} is a source package among the results"));
        }
        if nevra.arch() != arch && nevra.arch() != "noarch" {
            return told(format!("{nevra} is not for {arch}"));
        }
        match self.source_rpm.as_deref() {
            Some(named) if named == srpm => Ok(()),
            named => {
                let named = Foreign::new(named.unwrap_or("nothing"));
                told(format!("{nevra} says that it was made from {named}"))
            }
        }
    }

    /// The name of the spec in a source package.
    pub fn spec(&self) -> Option<&str> {
        self.source_files.iter().map(String::as_str).find(|name| name.ends_with(".spec"))
    }

    fn of(metadata: &PackageMetadata) -> Result<Self, RpmError> {
        let is_source = metadata.is_source_package();
        let header_arch = metadata.get_arch().map_err(header)?.to_owned();
        let nevra = Nevra::new(
            metadata.get_name().map_err(header)?,
            metadata.get_epoch().unwrap_or(0),
            metadata.get_version().map_err(header)?,
            metadata.get_release().map_err(header)?,
            if is_source { "src" } else { &header_arch },
        )?;
        let source_rpm = match is_source {
            true => None,
            false => metadata.get_source_rpm().ok().map(str::to_owned),
        };
        let (requires, has_dynamic_requires) = requires_of(metadata)?;
        let source_files = if is_source { source_files_of(metadata)? } else { Vec::new() };
        let times =
            metadata.header.get_entry_data_as_u32_array(rpm::IndexTag::RPMTAG_CHANGELOGTIME);
        Ok(Self {
            nevra,
            header_arch,
            source_rpm,
            requires,
            provides: provides_of(metadata)?,
            has_dynamic_requires,
            source_files,
            has_changelog: times.is_ok_and(|times| !times.is_empty()),
        })
    }
}

fn requires_of(metadata: &PackageMetadata) -> Result<(Vec<Requirement>, bool), RpmError> {
    let mut requires = Vec::new();
    let mut is_dynamic = false;
    for dependency in metadata.get_requires().map_err(header)? {
        if dependency.name == "rpmlib(DynamicBuildRequires)" {
            is_dynamic = true;
        }
        if dependency.name.starts_with("rpmlib(")
            || dependency.flags.contains(DependencyFlags::RPMLIB)
        {
            continue;
        }
        let text = match dependency.flags.comparator_str() {
            "" => dependency.name,
            sign => format!("{} {sign} {}", dependency.name, dependency.version),
        };
        requires.push(text.parse()?);
    }
    requires.sort();
    requires.dedup();
    Ok((requires, is_dynamic))
}

fn provides_of(metadata: &PackageMetadata) -> Result<Vec<String>, RpmError> {
    let provides = metadata.get_provides().map_err(header)?;
    let mut names: Vec<String> = provides.into_iter().map(|one| one.name).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn source_files_of(metadata: &PackageMetadata) -> Result<Vec<String>, RpmError> {
    let mut names = Vec::new();
    for path in metadata.get_file_paths().map_err(header)? {
        let name = path.to_str().unwrap_or_default();
        if name.is_empty() || name.starts_with('.') || name.contains('/') {
            return Err(RpmError::Header(Foreign::new(&format!(
                "a source package holds plain files, and this one '{}'",
                path.display()
            ))));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn header(error: rpm::Error) -> RpmError {
    RpmError::Header(Foreign::new(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> Vec<u8> {
        let package = rpm::PackageBuilder::new("kiln-test", "1.0", "MIT", "x86_64", "a test")
            .release("1.kt13")
            .requires(rpm::Dependency::greater_eq("zlib", "1.2"))
            .requires(rpm::Dependency::any("/bin/sh"))
            .with_file_contents("hello", rpm::FileOptions::new("/usr/share/kiln-test/hello"))
            .expect("a file")
            .build()
            .expect("a package");
        let mut bytes = Vec::new();
        package.write(&mut bytes).expect("written");
        bytes
    }

    #[test]
    fn a_package_says_what_it_is_and_what_it_asks_for() {
        let facts = Facts::read(&mut &package()[..], HeadCap::BINARY).expect("facts");
        assert_eq!(facts.nevra.to_string(), "kiln-test-1.0-1.kt13.x86_64");
        let requires: Vec<_> = facts.requires.iter().map(Requirement::as_str).collect();
        assert_eq!(requires, ["/bin/sh", "zlib >= 1.2"]);
        assert!(facts.provides.contains(&"kiln-test".to_owned()), "{:?}", facts.provides);
        assert!(!facts.is_source() && !facts.has_dynamic_requires);
    }

    #[test]
    fn a_binary_package_is_not_taken_for_a_source_package() {
        let refused = Facts::read_source(&mut &package()[..]);
        assert!(matches!(refused, Err(RpmError::Class { found: "binary", .. })));
    }

    #[test]
    fn every_truncation_is_an_error_and_no_flipped_byte_panics() {
        let bytes = package();
        let head = bytes.len() - 64;
        for end in (0..head.min(3000)).step_by(7) {
            // The payload may be cut: facts are of the header alone.
            let _ = Facts::read(&mut &bytes[..end], HeadCap::BINARY);
        }
        assert!(Facts::read(&mut &bytes[..500], HeadCap::BINARY).is_err());
        for at in 0..bytes.len() {
            for flip in [0xff, 0x80, 0x01] {
                let mut broken = bytes.clone();
                broken[at] ^= flip;
                let _ = Facts::read(&mut &broken[..], HeadCap::BINARY);
                drain(broken);
            }
        }
    }

    /// Reads all that a file gives up, whatever it is.
    fn drain(bytes: Vec<u8>) {
        let Ok(mut contents) = Contents::read(std::io::Cursor::new(bytes)) else { return };
        while let Ok(Some(mut entry)) = contents.next() {
            if std::io::copy(&mut entry, &mut std::io::sink()).is_err() {
                return;
            }
        }
    }

    #[test]
    fn what_is_not_an_rpm_is_called_so() {
        for bytes in [&b"#!/bin/sh\n"[..], &[0; 4096], b"\xed\xab\xee\xdb"] {
            let refused = Facts::read(&mut &bytes[..], HeadCap::SOURCE);
            assert!(matches!(refused, Err(RpmError::Magic | RpmError::Io(_))));
        }
    }

    #[test]
    fn a_header_that_announces_gigabytes_is_refused_at_once() {
        let mut bytes = package();
        // The signature header's index count and data size stand at 104 and 108.
        bytes[104..112].copy_from_slice(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
        let refused = Facts::read(&mut &bytes[..], HeadCap::BINARY);
        assert!(matches!(refused, Err(RpmError::Large { part: "signature", .. })));
    }

    #[test]
    fn a_payload_is_read_entry_by_entry() {
        let mut contents = Contents::read(std::io::Cursor::new(package())).expect("contents");
        let mut names = Vec::new();
        while let Some(mut entry) = contents.next().expect("an entry") {
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("read");
            names.push((entry.path.clone(), text));
        }
        let expected = ("/usr/share/kiln-test/hello".to_owned(), "hello".to_owned());
        assert_eq!(names, [expected]);
    }
}
