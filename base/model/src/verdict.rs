use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::as_text;

/// What comes of building something again and holding it against what came out first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every file has the same bytes.
    Reproduced,
    /// Every payload is the same, and headers differ in tags that are listed.
    Equivalent,
    /// A file of a package differs.
    Diverged,
    /// A package is missing from the rebuild, or is one too many.
    OtherPackages,
    /// The rebuild failed: nothing is known of what it would have given.
    Unbuilt,
    /// What went into the build is not to be had any more.
    Unavailable,
    /// What is said of the build contradicts itself: nothing was rebuilt.
    Invalid,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 7] = [
        Self::Reproduced,
        Self::Equivalent,
        Self::Diverged,
        Self::OtherPackages,
        Self::Unbuilt,
        Self::Unavailable,
        Self::Invalid,
    ];

    /// The exit code of `kiln verify`: 0 reproduced, 1 differs, 2 could not be rebuilt, 3 inputs
    /// unavailable, 4 the record is invalid.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Reproduced => 0,
            Self::Equivalent | Self::Diverged | Self::OtherPackages => 1,
            Self::Unbuilt => 2,
            Self::Unavailable => 3,
            Self::Invalid => 4,
        }
    }

    /// The word for it, as in JSON and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::Equivalent => "equivalent",
            Self::Diverged => "diverged",
            Self::OtherPackages => "other-packages",
            Self::Unbuilt => "unbuilt",
            Self::Unavailable => "unavailable",
            Self::Invalid => "invalid",
        }
    }

    /// The verdict of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.word() == word)
    }

    /// What it means to a packager.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Reproduced => "built again from the same inputs, every file came out the same",
            Self::Equivalent => {
                "built again, every file in the packages came out the same; only what the packages \
                 say of themselves differs"
            }
            Self::Diverged => "built again from the same inputs, something came out different",
            Self::OtherPackages => "built again, other packages came out",
            Self::Unbuilt => "it could not be built again, so nothing is known",
            Self::Unavailable => "something that it was built from is not to be had any more",
            Self::Invalid => "what is said of the build contradicts itself",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One thing around a build that a challenge makes different, and that must not change what comes
/// out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variation {
    /// The clock is 400 days ahead.
    Clock,
    /// The machine has another host name.
    HostName,
    /// The build user has another name and another number.
    User,
    /// The build user has another home.
    Home,
    /// Another language is asked for.
    Locale,
    /// Another time zone.
    TimeZone,
    /// Files are made with another umask.
    Umask,
    /// Another number of CPUs, and of processes at once.
    Cpus,
    /// The kernel says another release.
    Kernel,
    /// The build happens in another folder.
    BuildPath,
    /// Folders list their files in the opposite order.
    FileOrder,
    /// The environment holds what no package should care for.
    Environment,
    /// The buildroot is made anew, without any layer that is there.
    Cache,
}

/// A text that names no variation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not something that can be varied; there are {}", Variation::words())]
pub struct VariationError;

impl Variation {
    /// Every variation.
    pub const ALL: [Self; 13] = [
        Self::Clock,
        Self::HostName,
        Self::User,
        Self::Home,
        Self::Locale,
        Self::TimeZone,
        Self::Umask,
        Self::Cpus,
        Self::Kernel,
        Self::BuildPath,
        Self::FileOrder,
        Self::Environment,
        Self::Cache,
    ];

    /// The word for it, as on the command line and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::HostName => "host-name",
            Self::User => "user",
            Self::Home => "home",
            Self::Locale => "locale",
            Self::TimeZone => "time-zone",
            Self::Umask => "umask",
            Self::Cpus => "cpus",
            Self::Kernel => "kernel",
            Self::BuildPath => "build-path",
            Self::FileOrder => "file-order",
            Self::Environment => "environment",
            Self::Cache => "cache",
        }
    }

    /// All words, for whoever typed none of them.
    pub fn words() -> String {
        Self::ALL.map(Self::word).join(", ")
    }
}

impl fmt::Display for Variation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Variation {
    type Err = VariationError;

    fn from_str(text: &str) -> Result<Self, VariationError> {
        Self::ALL.into_iter().find(|one| one.word() == text).ok_or(VariationError)
    }
}

as_text!(Variation);

/// What is different around a build; usually nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Variations(BTreeSet<Variation>);

impl Variations {
    /// Everything that can be.
    pub fn all() -> Self {
        Self::of(&Variation::ALL)
    }

    /// These.
    pub fn of(these: &[Variation]) -> Self {
        Self(these.iter().copied().collect())
    }

    /// Whether nothing is.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether that is.
    pub fn has(&self, one: Variation) -> bool {
        self.0.contains(&one)
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Variation> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_verdicts_and_variations_read_back() {
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::from_word(verdict.word()), Some(verdict));
            let json = serde_json::to_string(&verdict).expect("serialised");
            assert_eq!(json, format!("\"{}\"", verdict.word()));
        }
        for one in Variation::ALL {
            assert_eq!(one.word().parse(), Ok(one));
        }
        assert!("colour".parse::<Variation>().is_err());
    }

    #[test]
    fn variations_are_a_list_of_words() {
        let some = Variations::of(&[Variation::Kernel, Variation::Clock, Variation::Clock]);
        let json = serde_json::to_string(&some).expect("serialised");
        assert_eq!(json, r#"["clock","kernel"]"#);
        assert_eq!(serde_json::from_str::<Variations>(&json).expect("read"), some);
        assert!(Variations::default().is_none() && !Variations::all().is_none());
    }

    #[test]
    fn exit_codes_tell_what_differs_from_what_is_not_known() {
        let codes = Verdict::ALL.map(Verdict::exit_code);
        assert_eq!(codes, [0, 1, 1, 1, 2, 3, 4]);
    }
}
