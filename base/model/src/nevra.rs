use std::fmt;
use std::str::FromStr;

use crate::Foreign;
use crate::text::as_text;

/// The longest NEVRA kiln takes, in bytes: a file name with `.src.rpm` must fit in 255.
const NEVRA_CAP: usize = 240;

/// A package's name, epoch, version, release and architecture.
///
/// Written `name-[epoch:]version-release.arch`, the epoch only where it is not 0. Every part is
/// made of the characters that rpm itself allows (rpmbuild, `rpmCharCheck` in build/parsePreamble.c,
/// plus those of Debian and openEuler versions), so a NEVRA can be a file name, a part of a URL
/// and a line of a log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nevra {
    name: String,
    epoch: u32,
    version: String,
    release: String,
    arch: String,
}

/// Why something is not a NEVRA.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NevraError {
    /// A part is empty, or holds what rpm does not allow there.
    #[error("{part} of a package is not one: {text}")]
    Part {
        /// Which part: name, version, release or arch.
        part: &'static str,
        /// What stood there.
        text: Foreign,
    },
    /// The text has not the form `name-[epoch:]version-release.arch`.
    #[error("not of the form name-[epoch:]version-release.arch: {0}")]
    Form(Foreign),
    /// Longer than a file name may be.
    #[error("longer than {NEVRA_CAP} bytes: {0}")]
    Long(Foreign),
}

impl Nevra {
    /// Puts the parts together, each checked.
    pub fn new(
        name: &str,
        epoch: u32,
        version: &str,
        release: &str,
        arch: &str,
    ) -> Result<Self, NevraError> {
        check("name", name, "-._+")?;
        check("version", version, "._+~^")?;
        check("release", release, "._+~^")?;
        check("arch", arch, "_")?;
        let nevra = Self {
            name: name.to_owned(),
            epoch,
            version: version.to_owned(),
            release: release.to_owned(),
            arch: arch.to_owned(),
        };
        let text = nevra.to_string();
        if text.len() > NEVRA_CAP {
            return Err(NevraError::Long(Foreign::new(&text)));
        }
        Ok(nevra)
    }

    /// The package's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The epoch; 0 where the package has none.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The release, with its dist tag.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The architecture: `x86_64`, `noarch`; `src` for a source package.
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// `[epoch:]version-release`, the epoch only where it is not 0.
    pub fn evr(&self) -> String {
        match self.epoch {
            0 => format!("{}-{}", self.version, self.release),
            epoch => format!("{epoch}:{}-{}", self.version, self.release),
        }
    }

    /// The name of the package's file as rpmbuild writes it: no epoch, `.rpm` at the end.
    pub fn file_name(&self) -> String {
        format!("{}-{}-{}.{}.rpm", self.name, self.version, self.release, self.arch)
    }

    /// `name-version-release`, as in a folder of results.
    pub fn nvr(&self) -> String {
        format!("{}-{}-{}", self.name, self.version, self.release)
    }
}

fn check(part: &'static str, text: &str, marks: &str) -> Result<(), NevraError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    let fine = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(allowed)
        && !text.contains("..");
    if fine { Ok(()) } else { Err(NevraError::Part { part, text: Foreign::new(text) }) }
}

impl fmt::Display for Nevra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}", self.name, self.evr(), self.arch)
    }
}

impl FromStr for Nevra {
    type Err = NevraError;

    fn from_str(text: &str) -> Result<Self, NevraError> {
        let form = || NevraError::Form(Foreign::new(text));
        let (rest, arch) = text.rsplit_once('.').ok_or_else(form)?;
        let (rest, release) = rest.rsplit_once('-').ok_or_else(form)?;
        let (name, version) = rest.rsplit_once('-').ok_or_else(form)?;
        let (epoch, version) = match version.split_once(':') {
            Some((epoch, version)) => (epoch.parse().map_err(|_| form())?, version),
            None => (0, version),
        };
        Self::new(name, epoch, version, release, arch)
    }
}

as_text!(Nevra);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nevra_reads_back_as_it_was_written() {
        for text in [
            "bash-5.2.37-1.fc43.x86_64",
            "perl-libs-4:5.40.0-512.el10.noarch",
            "g++-12.2.0-14+deb12u1.x86_64",
            "hello-2.12~rc1^git1-1.src",
            "java-1.8.0-openjdk-1:1.8.0.432.b06-2.el8.x86_64",
        ] {
            let nevra: Nevra = text.parse().expect(text);
            assert_eq!(nevra.to_string(), text);
        }
    }

    #[test]
    fn the_file_name_leaves_the_epoch_out() {
        let nevra: Nevra = "vim-2:9.1-1.noarch".parse().expect("a NEVRA");
        assert_eq!(nevra.file_name(), "vim-9.1-1.noarch.rpm");
        assert_eq!(nevra.evr(), "2:9.1-1");
    }

    #[test]
    fn what_could_leave_a_folder_or_fool_an_eye_is_refused() {
        for text in [
            "",
            "bash",
            "../x-1-1.x86_64",
            "a/b-1-1.x86_64",
            "-x-1-1.x86_64",
            "x-1..2-1.x86_64",
            "x-1-1.x86_64\n",
            "x\u{202e}-1-1.x86_64",
            "x-:1-1.noarch",
            "x-99999999999:1-1.noarch",
            "x-1-.noarch",
            "x y-1-1.noarch",
        ] {
            assert!(text.parse::<Nevra>().is_err(), "{text:?}");
        }
        let long = format!("{}-1-1.noarch", "x".repeat(NEVRA_CAP));
        assert!(matches!(long.parse::<Nevra>(), Err(NevraError::Long(_))));
    }
}
