use std::fmt;
use std::str::FromStr;

use crate::Foreign;
use crate::text::as_text;

/// The longest name, in bytes.
const LONGEST: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not {what} (lower-case letters, digits, '-', '_', '+', '.', beginning with one of the \
     first two, at most {LONGEST}): {text}"
)]
pub struct NameError {
    what: &'static str,
    text: Foreign,
}

fn is_name(text: &str) -> bool {
    let is_first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= LONGEST
        && text.starts_with(is_first)
        && text.chars().all(|c| is_first(c) || "-_+.".contains(c))
        && !text.contains("..")
        && !text.ends_with('.')
}

/// A name that people choose: what they type, a part of a URL, a folder's name.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                match is_name(text) {
                    true => Ok(Self(text.to_owned())),
                    false => Err(NameError { what: $what, text: Foreign::new(text) }),
                }
            }
        }

        as_text!($name);
    };
}

name!(
    /// What a project is called; also the name of its key.
    ProjectName,
    "a project's name"
);
name!(
    /// What a person or a program with an account is called.
    UserName,
    "a user's name"
);
name!(
    /// What a worker is called.
    WorkerName,
    "a worker's name"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parts_of_urls_and_of_paths() {
        for fine in ["a", "0ad", "gcc-toolset_14+x.y"] {
            assert_eq!(fine.parse::<ProjectName>().expect(fine).as_str(), fine);
        }
        let long = "x".repeat(64);
        for wrong in ["", ".", "..", "-x", "A", "a/b", "a..b", "a.", "é", "a b", "a\n", &long] {
            assert!(wrong.parse::<UserName>().is_err(), "{wrong:?}");
            assert!(serde_json::from_value::<WorkerName>(wrong.into()).is_err(), "{wrong:?}");
        }
    }
}
