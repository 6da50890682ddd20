//! Debian's words: stanzas of control data, versions and how they compare, relations.

pub(crate) mod relation;
pub(crate) mod stanza;
pub(crate) mod version;

pub(crate) use relation::{Clause, Operator, Relation};
pub(crate) use stanza::stanzas;
