//! A store to be thrown away, for this crate's own tests.

use tempfile::TempDir;

use crate::Cas;

/// An empty store, there for as long as its folder is.
pub(crate) fn store() -> (TempDir, Cas) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cas = Cas::open(&folder.path().join("blobs.v1")).expect("a store");
    (folder, cas)
}
