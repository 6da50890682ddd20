//! What crosses a border between zones, and how it is framed: messages with a version, no
//! behaviour.
//!
//! Zone: `base`. What does not belong here: deciding what a message means, and any transport.

pub mod examiner;
pub mod frame;
pub mod record;
pub mod refusal;
pub mod rights;
pub mod signer;
pub mod solver;
pub mod worker;
