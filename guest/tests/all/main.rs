//! What kiln runs among a package's programs.
//!
//! One program, so that what all of them need is linked once.

mod normalise;
