//! What is read, against whole files.
//!
//! One program, so that what all of them need is linked once.

mod mock_config;
mod targets_doc;
