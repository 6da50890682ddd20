use std::io::{self, Write};

use kiln_cas::Cas;
use kiln_model::Digest;
use kiln_parse::rpmfile::HeadCap;
use kiln_parse::rpmhead::Head;

use crate::SignError;
use crate::header::with_signature;

/// The size of the lead, which begins every RPM.
const LEAD: usize = 96;

/// In the main header: what binds the payload (`RPMTAG_PAYLOADDIGEST` of rpm's lib/rpmtag.h).
const PAYLOAD_DIGEST: u32 = 5092;

/// A package that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// Its bytes, in the store.
    pub digest: Digest,
    /// How many.
    pub size: u64,
}

/// Copies a package with a signature in it. Lead, main header and payload stay as they are; only
/// the heads are ever in memory. The copy gets its name after the last byte of the original was
/// found to be that of its digest.
pub(crate) fn sign(
    cas: &Cas,
    package: &Digest,
    signature: impl FnOnce(&[u8]) -> Result<Vec<u8>, SignError>,
) -> Result<Signed, SignError> {
    let named = || package.to_string();
    let mut from = cas.read(package)?;
    let head = Head::read(&mut from, HeadCap::BINARY)
        .map_err(|source| SignError::Rpm { package: named(), source })?;
    if head.main().text(PAYLOAD_DIGEST).is_none() {
        return Err(SignError::Uncovered { package: named() });
    }
    let main = head.main_range().start as usize;
    let signature = signature(head.main_bytes())?;
    let header = with_signature(&head.bytes()[LEAD..main], &signature)
        .map_err(|why| SignError::Header { package: named(), why })?;
    let mut to = cas.insert()?;
    to.write_all(&head.bytes()[..LEAD])
        .and_then(|()| to.write_all(&header))
        .and_then(|()| to.write_all(head.main_bytes()))
        .and_then(|()| io::copy(&mut from, &mut to))
        .map_err(SignError::Copy)?;
    let (digest, size) = to.finish()?;
    Ok(Signed { digest, size })
}
