use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One generation of a repository.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// Its number, from 1.
    pub number: i64,
    /// When it was published, in milliseconds since 1970.
    pub made_at: i64,
    /// What made it.
    pub cause: String,
    /// How many packages it has.
    pub packages: i64,
    /// The digest of its `repomd.xml`.
    pub repomd: String,
    /// Whether it is what readers get now.
    pub is_newest: bool,
}

/// To which snapshot a repository goes back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Its number.
    pub to: i64,
}
