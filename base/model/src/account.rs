use serde::{Deserialize, Serialize};

/// A person or a program with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub i64);

/// A namespace with members, targets and a repo for each target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectId(pub i64);

/// What a member of a project may do; each may also do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See a private project, and install from it.
    Reader,
    /// Submit builds, cancel them, submit them again.
    Packager,
    /// Change settings, members, targets; roll a repo back; remove the project.
    Maintainer,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Packager, Self::Maintainer];

    /// The role's word, as in JSON and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Packager => "packager",
            Self::Maintainer => "maintainer",
        }
    }

    /// The role with that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// What a token may be used for; each includes those before it. A session of a browser has all
/// of its owner's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See what its owner sees.
    Read,
    /// Submit and end builds.
    Build,
    /// All that its owner may.
    All,
}

impl Scope {
    /// Every scope, the least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Build, Self::All];

    /// The scope's word, as in JSON and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Build => "build",
            Self::All => "all",
        }
    }

    /// The scope with that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_each_includes_those_before() {
        for role in Role::ALL {
            assert_eq!(Role::from_word(role.word()), Some(role));
        }
        for scope in Scope::ALL {
            assert_eq!(Scope::from_word(scope.word()), Some(scope));
        }
        assert!(Role::Reader < Role::Packager && Role::Packager < Role::Maintainer);
        assert!(Scope::Read < Scope::Build && Scope::Build < Scope::All);
    }
}
