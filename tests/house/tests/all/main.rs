//! What people forget.
//!
//! One program, so that what all of them need is linked once.

mod arrows;
mod docs;
mod licences;
mod packaging;
mod sizes;
