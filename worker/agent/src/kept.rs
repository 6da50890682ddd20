//! Buildroots that were kept after a build, for a look into them.

use std::fs;
use std::path::{Path, PathBuf};

use kiln_model::Digest;
use kiln_wire::worker::Lease;
use serde::{Deserialize, Serialize};

use crate::commands::RpmVersion;
use crate::error::{AttemptError, io_error};

/// What stands beside the writable layer of a kept buildroot, as `root.json`.
///
/// ```text
/// KEPT/
///   root.json
///   root/fs/      what the build wrote; its files belong to the ids of `slot`
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptRoot {
    /// The slot that the build ran in: its files belong to that slot's ids.
    pub slot: u32,
    /// The layers below, the lowest first.
    pub layers: Vec<Digest>,
    /// What was built, how, and what it could take.
    pub lease: Lease,
    pub(crate) rpm: RpmVersion,
}

impl KeptRoot {
    const FILE: &str = "root.json";

    /// What is known of the buildroot kept in `place`.
    pub fn read(place: &Path) -> Result<Self, AttemptError> {
        let path = place.join(Self::FILE);
        let bytes = fs::read(&path).map_err(io_error("reading", &path))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| io_error("reading", &path)(std::io::Error::other(error)))
    }

    /// Moves a writable layer to where it is kept.
    pub(crate) fn write(&self, upper: &Path, place: &Path) -> Result<(), AttemptError> {
        fs::create_dir_all(place).map_err(io_error("creating", place))?;
        let path = place.join(Self::FILE);
        let bytes = serde_json::to_vec_pretty(self).expect("types of our own always serialise");
        fs::write(&path, bytes).map_err(io_error("writing", &path))?;
        put(upper, &upper_in(place))
    }
}

/// Where the writable layer of a kept buildroot is.
pub(crate) fn upper_in(place: &Path) -> PathBuf {
    place.join("root")
}

/// Moves a writable layer; its files are not touched.
pub(crate) fn put(from: &Path, to: &Path) -> Result<(), AttemptError> {
    fs::rename(from, to).map_err(io_error("moving", from))
}
