use kiln_model::{Digest, Foreign};
use serde::{Deserialize, Serialize};

use crate::envelope::{Envelope, PAYLOAD_TREE_HEAD, pae};
use crate::{AttestError, PublicKey, canonical, check_consistency};

const WHAT: &str = "head of a log";
const VERSION: u32 = 1;
const CAP: usize = 4 << 10;

/// How many entries a log had at a moment, and the hash over all of them. Signed, it is the word
/// of whoever runs the log, to which they can be held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeHead {
    version: u32,
    /// The id of the key that signs the log's heads: that is which log it is.
    pub log: String,
    /// How many entries.
    pub size: u64,
    /// The hash of the tree over them.
    pub root: Digest,
    /// When it was signed, in milliseconds since 1970.
    pub at: i64,
}

impl TreeHead {
    /// The head of the log that a key signs for.
    pub fn new(key: &PublicKey, size: u64, root: Digest, at: i64) -> Self {
        Self { version: VERSION, log: key.id(), size, root, at }
    }

    /// What a signature is made over.
    pub fn pae(&self) -> Vec<u8> {
        pae(PAYLOAD_TREE_HEAD, &canonical::to_bytes(self))
    }

    /// The head in its envelope, with the signature that a key made over [`TreeHead::pae`].
    pub fn signed(&self, key: &PublicKey, signature: &[u8]) -> Envelope {
        Envelope::new(PAYLOAD_TREE_HEAD, &canonical::to_bytes(self), key, signature)
    }

    /// Opens an envelope with a head that this key has signed.
    pub fn open(envelope: &Envelope, key: &PublicKey) -> Result<Self, AttestError> {
        let head = Self::read(&envelope.open(PAYLOAD_TREE_HEAD, key)?)?;
        if head.log != key.id() {
            let found = Foreign::new(&head.log);
            return Err(AttestError::OtherLog { found, expected: key.id() });
        }
        Ok(head)
    }

    /// A head without a word about who signed it: for looking at.
    pub fn unverified(envelope: &Envelope) -> Result<Self, AttestError> {
        Self::read(&envelope.unverified()?)
    }

    fn read(payload: &[u8]) -> Result<Self, AttestError> {
        let head: Self = canonical::read(payload, WHAT, CAP)?;
        match head.version {
            VERSION => Ok(head),
            found => Err(AttestError::Version { what: WHAT, found, known: VERSION }),
        }
    }

    /// That the log with this head continues the one with an older head, by what the log says is
    /// the proof of it. A log that doesn't has forked: it shows different entries to different
    /// people, or has forgotten some.
    pub fn continues(&self, old: &Self, path: &[Digest]) -> Result<(), AttestError> {
        let (was, is) = ((old.size, &old.root), (self.size, &self.root));
        match old.log == self.log && check_consistency(was, is, path) {
            true => Ok(()),
            false => Err(AttestError::Forked { old: old.size, new: self.size }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::tests::{key, sign};
    use crate::{leaf_hash, node_hash};

    #[test]
    fn a_head_is_its_logs_and_nobody_elses() {
        let (_, public) = key(1);
        let head = TreeHead::new(&public, 3, Digest::of(b"root"), 7);
        let sealed =
            |head: &TreeHead, seed| sign(PAYLOAD_TREE_HEAD, &canonical::to_bytes(head), seed);
        assert_eq!(TreeHead::open(&sealed(&head, 1), &public).expect("opened"), head);
        let other = TreeHead { log: "0".repeat(64), ..head.clone() };
        let refused = TreeHead::open(&sealed(&other, 1), &public);
        assert!(matches!(refused, Err(AttestError::OtherLog { .. })), "{refused:?}");
        let newer = TreeHead { version: 2, ..head.clone() };
        let refused = TreeHead::open(&sealed(&newer, 1), &public);
        assert!(matches!(refused, Err(AttestError::Version { found: 2, .. })), "{refused:?}");
        let refused = TreeHead::open(&sealed(&head, 2), &public);
        assert!(matches!(refused, Err(AttestError::OtherKey { .. })), "{refused:?}");
    }

    #[test]
    fn a_log_that_forgets_or_changes_an_entry_has_forked() {
        let (_, key) = key(1);
        let leaf = |text: &[u8]| leaf_hash(&Digest::of(text));
        let (one, two) = (leaf(b"1"), leaf(b"2"));
        let head = |size, root| TreeHead::new(&key, size, root, 0);
        let (first, both) = (head(1, one), head(2, node_hash(&one, &two)));
        both.continues(&first, &[two]).expect("goes on");
        both.continues(&both, &[]).expect("is the same");
        let other = head(2, node_hash(&two, &two));
        for (new, old, path) in
            [(&other, &first, vec![two]), (&other, &both, vec![]), (&first, &both, vec![two])]
        {
            let refused = new.continues(old, &path);
            assert!(matches!(refused, Err(AttestError::Forked { .. })), "{refused:?}");
        }
    }
}
