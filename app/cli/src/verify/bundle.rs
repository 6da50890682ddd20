//! A bundle: what somebody else built, with all that it takes to build it again.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use kiln_bundle::{BundleError, open_bundle};
use kiln_model::{Fault, Faulty};

use crate::failure::Failure;
use crate::local::Local;
use crate::verify::subject::Subject;

/// How 'kiln export' has a bundle's name end.
const ENDING: &str = ".kiln.tar";

/// By what every bundle begins.
const BEGINS: &[u8] = b"manifest.sha256\0";

/// Whether a file begins as a bundle does, or is called as 'kiln export' calls them.
pub(crate) fn is_bundle(path: &Path) -> bool {
    if path.to_string_lossy().ends_with(ENDING) {
        return true;
    }
    let mut begins = [0; BEGINS.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut begins));
    read.is_ok() && begins == BEGINS
}

/// Puts what a bundle holds into the store; nothing is fetched. The inner error is of the bundle
/// itself: nothing that it says is believed.
pub(crate) fn open(local: &Local, path: &Path) -> Result<Result<Subject, Failure>, Failure> {
    let opened = match open_bundle(path, &local.cas) {
        Ok(opened) => opened,
        Err(error @ BundleError::Open { .. }) => return Err(error.into()),
        Err(error) if error.fault() == Fault::Host => return Err(error.into()),
        Err(error) => {
            let mut failure = Failure::from(error);
            failure.0.error = format!("{}: {}", path.display(), failure.0.error);
            return Ok(Err(failure));
        }
    };
    // Whose word the evidence is, 'kiln attest bundle' checks with a key that one has from elsewhere.
    Ok(Ok(Subject { record: opened.record, attempt: None }))
}
