use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What stands between a build and the host that it runs on. The stronger one is the greater.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Namespaces, a list of system calls, no privilege: the host's kernel answers the build.
    #[default]
    Namespaces,
    /// All that, inside a virtual machine of its own that ends with the build: its own kernel
    /// answers it.
    Microvm,
}

impl Isolation {
    /// Both, the weaker one first.
    pub const ALL: [Self; 2] = [Self::Namespaces, Self::Microvm];

    /// Its name, as it is written everywhere.
    pub fn word(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Microvm => "microvm",
        }
    }

    /// Whether it is the one that counts where nothing is said.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Who says what stands between a build and its host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IsolationBy {
    /// Whoever runs the service, or nobody.
    #[default]
    Operator,
    /// Who asked for the build.
    Build,
    /// Its project.
    Project,
    /// Nobody, and packages that other projects built may take part: the stronger one is taken.
    Packages,
    /// As that, and no worker offers the stronger one: the weaker one is taken.
    Lacking,
}

impl IsolationBy {
    /// Why it is that one, where that is worth a word.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Operator => None,
            Self::Build => Some("the build asks for it"),
            Self::Project => Some("its project asks for it"),
            Self::Packages => Some("packages of others may take part"),
            Self::Lacking => {
                Some("packages of others may take part, and no worker has machines under KVM")
            }
        }
    }

    /// Whether it is the one that counts where nothing is said.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A word that is no isolation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no such isolation: it is namespaces or microvm")]
pub struct IsolationError;

impl FromStr for Isolation {
    type Err = IsolationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|one| one.word() == text).ok_or(IsolationError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_the_machine_is_the_stronger_one() {
        for one in Isolation::ALL {
            assert_eq!(one.word().parse(), Ok(one));
        }
        assert_eq!("chroot".parse::<Isolation>(), Err(IsolationError));
        assert!(Isolation::Microvm > Isolation::Namespaces);
    }
}
