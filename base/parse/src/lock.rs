//! `kiln.lock`: read and written. The same lock is the same bytes, so a digest names it.

use kiln_model::{Digest, Fault, Faulty, Foreign, LOCK_VERSION, Lock};
use serde::Deserialize;

/// The longest lock that is read, in bytes: ten thousand packages have about six million.
pub const LOCK_CAP: usize = 64 << 20;

/// Why some bytes are not a lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Longer than any lock.
    #[error("a lock of {0} bytes, over the cap of {LOCK_CAP}")]
    Large(usize),
    /// Not JSON, or not of the form of a lock.
    #[error("not a kiln.lock: {0}")]
    Form(Foreign),
    /// Of another version.
    #[error("a kiln.lock of version {0}; this kiln reads version {LOCK_VERSION}")]
    Version(u32),
    /// It says two things that can't both be true.
    #[error("a kiln.lock that contradicts itself: {0}")]
    Contradiction(Foreign),
}

impl Faulty for LockError {
    fn fault(&self) -> Fault {
        match self {
            Self::Large(_) | Self::Form(_) | Self::Version(_) | Self::Contradiction(_) => {
                Fault::Caller
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Large(_) => None,
            Self::Version(_) => Some("make it anew with 'kiln lock'".to_owned()),
            Self::Form(_) | Self::Contradiction(_) => {
                Some("use it as it was written, or make it anew with 'kiln lock'".to_owned())
            }
        }
    }
}

/// The lock as it stands in a file: JSON in the order of [`Lock`]'s fields, two blanks for each
/// level, and a line's end.
pub fn to_bytes(lock: &Lock) -> Vec<u8> {
    let mut bytes =
        serde_json::to_vec_pretty(lock).expect("a lock has only text, numbers and lists");
    bytes.push(b'\n');
    bytes
}

/// The digest that names a lock.
pub fn digest(lock: &Lock) -> Digest {
    Digest::of(&to_bytes(lock))
}

/// Reads a lock, and refuses one of another version or that contradicts itself.
pub fn read(bytes: &[u8]) -> Result<Lock, LockError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    if bytes.len() > LOCK_CAP {
        return Err(LockError::Large(bytes.len()));
    }
    let form = |error: serde_json::Error| LockError::Form(Foreign::new(&error.to_string()));
    let Version { version } = serde_json::from_slice(bytes).map_err(form)?;
    if version != LOCK_VERSION {
        return Err(LockError::Version(version));
    }
    let lock: Lock = serde_json::from_slice(bytes).map_err(form)?;
    match lock.contradiction() {
        None => Ok(lock),
        Some(what) => Err(LockError::Contradiction(Foreign::new(&what))),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use kiln_model::{LockedPackage, LockedSnapshot, Reason};
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn lock() -> Lock {
        let package = |text: &str, why| {
            let nevra: kiln_model::Nevra = text.parse().expect("a NEVRA");
            LockedPackage {
                location: format!("Packages/{}", nevra.file_name()),
                nevra,
                repo: "base".to_owned(),
                size: 42,
                digest: Digest::of(text.as_bytes()),
                why,
            }
        };
        let requirement = |text: &str| text.parse().expect("a requirement");
        Lock {
            version: LOCK_VERSION,
            target: "trial-13-x86_64".parse().expect("a target's name"),
            profile: "distribution/2".to_owned(),
            arch: "x86_64".to_owned(),
            solver: "libsolv 0.7.23".to_owned(),
            macros: BTreeMap::from([("dist".to_owned(), ".kt13".to_owned())]),
            requires: vec![requirement("gcc"), requirement("zlib-devel >= 1.2")],
            snapshots: vec![LockedSnapshot { repo: "base".to_owned(), repomd: Digest::of(b"x") }],
            packages: vec![
                package("bash-5.2-1.x86_64", Reason::Profile(requirement("bash"))),
                package("gcc-2:14.1-1.x86_64", Reason::Build(requirement("gcc"))),
                package(
                    "glibc-2.39-1.x86_64",
                    Reason::Package {
                        of: "gcc-2:14.1-1.x86_64".parse().expect("a NEVRA"),
                        requirement: requirement("libc.so.6()(64bit)"),
                    },
                ),
            ],
            toolbox: vec![package("rpm-4.20-1.x86_64", Reason::Toolbox(requirement("rpm")))],
        }
    }

    #[test]
    fn a_lock_reads_back_and_is_written_the_same_again() {
        let bytes = to_bytes(&lock());
        let read = read(&bytes).expect("a lock");
        assert_eq!(read, lock());
        assert_eq!(to_bytes(&read), bytes);
        assert!(bytes.ends_with(b"}\n"));
    }

    #[test]
    fn the_bytes_of_a_lock_do_not_change_unnoticed() {
        // A change here is a new LOCK_VERSION: stored digests of locks name these bytes.
        let text = String::from_utf8(to_bytes(&lock())).expect("text");
        let first: Vec<&str> = text.lines().take(12).collect();
        assert_eq!(
            first,
            [
                "{",
                "  \"version\": 1,",
                "  \"target\": \"trial-13-x86_64\",",
                "  \"profile\": \"distribution/2\",",
                "  \"arch\": \"x86_64\",",
                "  \"solver\": \"libsolv 0.7.23\",",
                "  \"macros\": {",
                "    \"dist\": \".kt13\"",
                "  },",
                "  \"requires\": [",
                "    \"gcc\",",
                "    \"zlib-devel >= 1.2\"",
            ]
        );
    }

    #[test]
    fn what_is_wrong_with_a_lock_is_named() {
        let text = String::from_utf8(to_bytes(&lock())).expect("text");
        for (from, to, named) in [
            ("\"version\": 1", "\"version\": 2", "version 2"),
            ("\"profile\"", "\"colour\"", "colour"),
            ("bash-5.2-1.x86_64.rpm", "../x.rpm", "leaves its repo"),
            ("\"bash-5.2-1.x86_64\"", "\"zsh-5.2-1.x86_64\"", "out of order"),
            ("\"repo\": \"base\"", "\"repo\": \"other\"", "without a snapshot"),
            ("sha256:", "md5:", "digest"),
            ("{", "", "not a kiln.lock"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let error = read(changed.as_bytes()).expect_err(to);
            assert!(error.to_string().contains(named), "{error} / {named}");
            assert_eq!(error.fault(), Fault::Caller);
        }
        assert!(matches!(read(&vec![b' '; LOCK_CAP + 1]), Err(LockError::Large(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            prop_assert!(read(&bytes).is_err());
        }

        #[test]
        fn a_changed_lock_is_read_or_refused(at: usize, byte: u8) {
            let mut bytes = to_bytes(&lock());
            let length = bytes.len();
            bytes[at % length] = byte;
            if let Ok(lock) = read(&bytes) {
                prop_assert_eq!(read(&to_bytes(&lock)), Ok(lock));
            }
        }
    }
}
