//! Downloads: bytes come from strangers' servers and end in the Cas, or not at all.
//!
//! Zone: `control`, TRUSTED: it runs no program. What does not belong here: what the bytes mean
//! and whom to believe about their digests (`control/repo`).

mod client;
mod error;
mod fetcher;
mod options;
mod place;
mod reach;
mod sink;
mod small;

pub use error::{Blame, FetchError, PlaceFault, network_hint};
pub use fetcher::{Event, Fetched, Fetcher, Progress, Wanted};
pub use options::Options;
pub use reach::{PublicNames, names_a_private_address};
pub use small::{Answer, Small, Validator};
