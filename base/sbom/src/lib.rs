//! What a build or a repository is made of, as programs that look for licences and holes read it:
//! SPDX 2.3 and CycloneDX 1.6, both as JSON.
//!
//! Zone: `base`. No I/O but reading headers that it is given. What does not belong here: which
//! packages those are, and where they lie.
//!
//! The same bill is the same bytes: nothing in it is drawn by lot, and its time is that of what it
//! describes.

mod bill;
mod cyclonedx;
mod license;
mod package;
mod spdx;

pub use bill::{Bill, Format, Role};
pub use package::Package;
