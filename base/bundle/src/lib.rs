//! A build in one file: all that it takes to make it again, on a host that reaches nothing.
//!
//! Zone: `base`. What does not belong here: building it again, and whom to believe.
//!
//! ```text
//! NAME.kiln.tar
//!   manifest.sha256             the digest of the manifest, as sha256sum(1) writes it
//!   manifest.json               the record of the build, and every file that follows, in order
//!   kiln.lock                   what its buildroot was made of
//!   base.lock                   what its source package was made on, where that is another
//!   evidence/provenance.json    the signed statement of how it was built    } where the build has
//!   evidence/proof.json         that the log holds it                       } been attested
//!   evidence/key.pem            the key of both                             }
//!   blobs/DIGEST                sources, packages of the buildroot, results; each once, by digest
//! ```
//!
//! A tar (POSIX.1-1988, ustar) without compression, whose headers hold nothing but name and size:
//! the same build is the same bytes. Who reads one knows from the manifest what each header must
//! be, and takes no other: there is no link to follow and no name to climb by.

mod entry;
mod error;
mod manifest;
mod open;
mod write;

pub use error::BundleError;
pub use manifest::Evidence;
pub use open::{Opened, check_bundle, open_bundle, read_bundle};
pub use write::Bundle;

#[cfg(test)]
mod tests;
