use kiln_model::{Digest, Fault, Faulty, Foreign};

/// The first thing that is wrong with evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// Longer than any of its kind.
    #[error("a {what} of {size} bytes, over the cap of {cap}")]
    Large {
        /// What it is.
        what: &'static str,
        /// How long.
        size: usize,
        /// What is read.
        cap: usize,
    },
    /// Not of the form that it should have.
    #[error("not the {what} that is due: {why}")]
    Form {
        /// What is due.
        what: &'static str,
        /// What is wrong.
        why: Foreign,
    },
    /// The same content, written another way.
    #[error("the {what} is not written as kiln writes one: it was changed or formatted anew")]
    Changed {
        /// What it is.
        what: &'static str,
    },
    /// Of another version.
    #[error("a {what} of version {found}; this kiln reads version {known}")]
    Version {
        /// What it is.
        what: &'static str,
        /// Which version.
        found: u32,
        /// Which can be read.
        known: u32,
    },
    /// Not a public key of Ed25519.
    #[error("not a public key: a PEM file with one of Ed25519 is due")]
    NoKey,
    /// Not one signature.
    #[error("an envelope with {0} signatures, where one is due")]
    Signatures(usize),
    /// By somebody else.
    #[error("signed with another key: {found}, not {expected}")]
    OtherKey {
        /// The id that it names.
        found: Foreign,
        /// The id of the key that was given.
        expected: String,
    },
    /// The signature is not one over these bytes.
    #[error("the signature does not hold: what it was made over was changed")]
    Signature,
    /// Something else was signed.
    #[error("a payload of type {found}, where {expected} is due")]
    PayloadType {
        /// What it is.
        found: Foreign,
        /// What is due.
        expected: String,
    },
    /// A statement about something else.
    #[error("{field} is {found}, where {expected} is due")]
    Type {
        /// Which field.
        field: &'static str,
        /// What it is.
        found: Foreign,
        /// What is due.
        expected: String,
    },
    /// Made by somebody else.
    #[error("built by {found}, not by {expected}")]
    Builder {
        /// Whom it names.
        found: Foreign,
        /// Who was expected.
        expected: String,
    },
    /// It says two things that can't both be true.
    #[error("the {what} contradicts itself: {why}")]
    Contradiction {
        /// What it is.
        what: &'static str,
        /// In what.
        why: Foreign,
    },
    /// A file that nothing is said of.
    #[error("nothing is said of {}: no file with {digest} was built", Foreign::new(.name))]
    NotSubject {
        /// Its name.
        name: String,
        /// Its digest.
        digest: Digest,
    },
    /// A file under another's name.
    #[error("{} is {expected}, and was given another's name", Foreign::new(.name))]
    Renamed {
        /// The name that it was given.
        name: String,
        /// The name under which it was built.
        expected: Foreign,
    },
    /// Another lock than that of the build.
    #[error("the lock is {found}, and the build's was {expected}")]
    OtherLock {
        /// Of what was given.
        found: Digest,
        /// Of the build.
        expected: Digest,
    },
    /// Another record than that of the build.
    #[error("the record is not that of the attested build: {0} differs")]
    OtherRecord(&'static str),
    /// The log's head is another log's.
    #[error("a head of the log {found}, not of {expected}")]
    OtherLog {
        /// Whose.
        found: Foreign,
        /// Whose was due.
        expected: String,
    },
    /// A proof that proves nothing.
    #[error("the log does not hold the {what} where the proof says: position {position} of {size}")]
    NotLogged {
        /// What it is a proof of.
        what: &'static str,
        /// Where.
        position: u64,
        /// Of how many.
        size: u64,
    },
    /// What was seen before is not in what the log holds now.
    #[error(
        "the log has forked: its head of {new} entries does not continue that of {old} entries"
    )]
    Forked {
        /// How many entries the log had.
        old: u64,
        /// How many it has.
        new: u64,
    },
    /// Fewer rebuilders agree than were asked for.
    #[error("{found} of {asked} rebuilders agree")]
    Few {
        /// How many do.
        found: usize,
        /// How many should.
        asked: usize,
    },
}

impl Faulty for AttestError {
    fn fault(&self) -> Fault {
        match self {
            Self::Large { .. }
            | Self::Form { .. }
            | Self::Version { .. }
            | Self::NoKey
            | Self::PayloadType { .. }
            | Self::Type { .. } => Fault::Caller,
            Self::Changed { .. }
            | Self::Signatures(_)
            | Self::OtherKey { .. }
            | Self::Signature
            | Self::Builder { .. }
            | Self::Contradiction { .. }
            | Self::NotSubject { .. }
            | Self::Renamed { .. }
            | Self::OtherLock { .. }
            | Self::OtherRecord(_)
            | Self::OtherLog { .. }
            | Self::NotLogged { .. }
            | Self::Forked { .. }
            | Self::Few { .. } => Fault::Breach,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoKey => "'kiln attest key' prints the key of a service",
            Self::OtherKey { .. } => {
                "get the key from whoever runs the service, not from where the evidence is from"
            }
            Self::Changed { .. } => "use the file as 'kiln attest fetch' wrote it",
            Self::Version { .. } => "a newer kiln reads it",
            Self::NotSubject { .. } => {
                "do not use the file before you know where it is from: it is not what was attested"
            }
            Self::OtherLock { .. } | Self::OtherRecord(_) => {
                "use the files of one build together, as they were written"
            }
            Self::Forked { .. } => {
                "keep both heads and ask whoever runs the service: it shows different logs to \
                 different people, or was restored from an older backup"
            }
            Self::Large { .. }
            | Self::Form { .. }
            | Self::Signatures(_)
            | Self::Signature
            | Self::PayloadType { .. }
            | Self::Type { .. }
            | Self::Builder { .. }
            | Self::Contradiction { .. }
            | Self::Renamed { .. }
            | Self::OtherLog { .. }
            | Self::NotLogged { .. }
            | Self::Few { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
