//! What kiln says of its builds so that others can check it: statements of provenance and of
//! rebuilds, envelopes with a signature, and the log that holds all of them.
//!
//! Zone: `base`. No network and no secret: who checks has a public key, and who signs is the
//! signer. What does not belong here: where statements are kept (`control/store`), and when one is
//! made (`control/flow`).
//!
//! Formats: in-toto Statement v1 and SLSA provenance v1 in a DSSE envelope; a Merkle tree as
//! RFC 6962 has it. docs/provenance.md tells what stands in each field.

mod canonical;
mod envelope;
mod error;
mod head;
mod key;
mod mapping;
mod moment;
mod proof;
mod provenance;
mod purl;
mod statement;
mod tree;
mod types;
mod verdict;

pub use canonical::{read as read_canonical, to_bytes as canonical};
pub use envelope::{ENVELOPE_CAP, Envelope, PAYLOAD_STATEMENT, PAYLOAD_TREE_HEAD, pae};
pub use error::AttestError;
pub use head::TreeHead;
pub use key::PublicKey;
pub use mapping::Built;
pub use moment::rfc3339;
pub use proof::{Logged, Proof};
pub use provenance::{
    BuildDefinition, Builder, ExternalParameters, InternalParameters, Metadata, Origin, Provenance,
    RunDetails, Shape, Surroundings, Verified,
};
pub use purl::purl;
pub use statement::{Resource, Statement};
pub use tree::{
    Growing, Node, check_consistency, check_inclusion, completed_by, consistency, empty_root,
    inclusion, leaf_hash, node_hash, nodes_of, root_of,
};
pub use types::{BUILD_TYPE, VERDICT_TYPE};
pub use verdict::{Rebuild, Verdict, agreeing};
