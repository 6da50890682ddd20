use kiln_model::Digest;
use serde::{Deserialize, Serialize};

use crate::{AttestError, Envelope, PublicKey, TreeHead, canonical, check_inclusion, leaf_hash};

const WHAT: &str = "proof of the log";
const VERSION: u32 = 1;
const CAP: usize = 64 << 10;

/// That a log holds an envelope: where, the way from there to the tree's root, and the signed head
/// of that tree. With the log's key it needs nobody's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    version: u32,
    position: u64,
    path: Vec<Digest>,
    head: Envelope,
}

/// What a proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Where in the log, from 0.
    pub position: u64,
    /// The log's head.
    pub head: TreeHead,
}

impl Proof {
    /// Of an entry's position, the hashes of [`crate::inclusion`], and the head they lead to.
    pub fn new(position: u64, path: Vec<Digest>, head: Envelope) -> Self {
        Self { version: VERSION, position, path, head }
    }

    /// Reads a proof as [`Proof::to_bytes`] writes it.
    pub fn read(bytes: &[u8]) -> Result<Self, AttestError> {
        let proof: Self = canonical::read(bytes, WHAT, CAP)?;
        match proof.version {
            VERSION => Ok(proof),
            found => Err(AttestError::Version { what: WHAT, found, known: VERSION }),
        }
    }

    /// The proof's file.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self)
    }

    /// The head that it leads to, still in its envelope.
    pub fn head(&self) -> &Envelope {
        &self.head
    }

    /// That the log holds the envelope with this digest.
    pub fn check(&self, envelope: &Digest, key: &PublicKey) -> Result<Logged, AttestError> {
        let head = TreeHead::open(&self.head, key)?;
        let (position, size) = (self.position, head.size);
        let leaf = leaf_hash(envelope);
        match check_inclusion(&leaf, position, size, &self.path, &head.root) {
            true => Ok(Logged { position, head }),
            false => Err(AttestError::NotLogged { what: "envelope", position, size }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::tests::{key, sign};
    use crate::{PAYLOAD_TREE_HEAD, node_hash};

    fn proof(entry: &Digest) -> Proof {
        let (_, public) = key(1);
        let other = leaf_hash(&Digest::of(b"other"));
        let root = node_hash(&other, &leaf_hash(entry));
        let head = TreeHead::new(&public, 2, root, 5);
        let head = sign(PAYLOAD_TREE_HEAD, &canonical::to_bytes(&head), 1);
        Proof::new(1, vec![other], head)
    }

    #[test]
    fn a_proof_is_of_one_envelope_in_one_log() {
        let entry = Digest::of(b"an envelope");
        let proof = proof(&entry);
        let (_, public) = key(1);
        let logged = proof.check(&entry, &public).expect("it is there");
        assert_eq!((logged.position, logged.head.size), (1, 2));
        let refused = proof.check(&Digest::of(b"another"), &public);
        assert!(matches!(refused, Err(AttestError::NotLogged { .. })), "{refused:?}");
        let (_, other) = key(2);
        let refused = proof.check(&entry, &other);
        assert!(matches!(refused, Err(AttestError::OtherKey { .. })), "{refused:?}");
    }

    #[test]
    fn no_changed_byte_of_a_proof_is_taken() {
        let entry = Digest::of(b"an envelope");
        let (_, public) = key(1);
        let bytes = proof(&entry).to_bytes();
        let take = |bytes: &[u8]| Proof::read(bytes)?.check(&entry, &public);
        take(&bytes).expect("as it was");
        for at in 0..bytes.len() {
            for flip in [1, 2, 4, 8, 16, 32, 64, 128] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                assert!(take(&changed).is_err(), "byte {at} changed by {flip:#x}");
            }
        }
    }
}
