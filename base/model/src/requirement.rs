use std::fmt;
use std::str::FromStr;

use crate::Foreign;
use crate::text::as_text;

/// The longest requirement kiln takes, in bytes. The longest rich dependency in Fedora 43 is
/// under a tenth of it.
const REQUIREMENT_CAP: usize = 4096;

/// What a package asks for, as it stands in a spec: `gcc`, `zlib-devel >= 1.2`, `/usr/bin/perl`,
/// `pkgconfig(glib-2.0)`, `(a if b)`.
///
/// It is kept as text and only ever handed to the solver; it is never a part of a command line.
/// Ours is one line of printable text that does not begin with `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement(String);

/// Why a text cannot be a requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    /// Nothing there.
    #[error("an empty requirement")]
    Empty,
    /// Too long for any solver's good.
    #[error("a requirement of over {REQUIREMENT_CAP} bytes: {0}")]
    Long(Foreign),
    /// A control character, or a leading `-`.
    #[error("not a requirement: {0}")]
    Form(Foreign),
}

impl Requirement {
    /// The text, as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names a file: such a one may need the repository's file lists.
    pub fn is_path(&self) -> bool {
        self.0.starts_with('/')
    }

    /// Whether it is a rich dependency: `(… if …)` and its kind.
    pub fn is_rich(&self) -> bool {
        self.0.starts_with('(')
    }

    /// Whether rpm itself answers it, as it does for `rpmlib(…)`.
    pub fn is_rpmlib(&self) -> bool {
        self.0.starts_with("rpmlib(")
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(RequirementError::Empty);
        }
        if text.len() > REQUIREMENT_CAP {
            return Err(RequirementError::Long(Foreign::new(text)));
        }
        if text.starts_with('-') || text.chars().any(char::is_control) {
            return Err(RequirementError::Form(Foreign::new(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

as_text!(Requirement);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_keep_their_text() {
        for text in ["gcc", "zlib-devel >= 1.2", "/usr/bin/perl", "(a if b)", "python3dist(x[y])"] {
            assert_eq!(text.parse::<Requirement>().expect(text).as_str(), text);
        }
    }

    #[test]
    fn options_and_control_characters_are_not_requirements() {
        for text in ["", "  ", "--setopt=x=y", "a\nb", "a\0b", &"x".repeat(REQUIREMENT_CAP + 1)] {
            assert!(text.parse::<Requirement>().is_err(), "{text:?}");
        }
    }
}
