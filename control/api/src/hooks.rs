use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A forge that may have something built.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HookAsked {
    /// github, gitlab or forgejo (Gitea is one).
    pub forge: String,
    /// The repository that is built from: `https://…`.
    pub url: String,
    /// The folder with the spec; the top one where there is none.
    #[serde(default)]
    pub folder: Option<String>,
    /// Pushes to which branches, `*` allowed; to none where it is empty.
    #[serde(default)]
    pub branches: String,
    /// Which tags, likewise.
    #[serde(default)]
    pub tags: String,
    /// A token of the forge's, by which it is told the state of commits.
    #[serde(default)]
    pub token: Option<String>,
}

/// A hook.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Hook {
    /// Its number.
    pub id: i64,
    /// Where the forge sends what happens.
    pub address: String,
    /// What the forge is told to sign with; only when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// github, gitlab or forgejo.
    pub forge: String,
    /// The repository that is built from.
    pub url: String,
    /// The folder with the spec.
    pub folder: Option<String>,
    /// Pushes to which branches.
    pub branches: String,
    /// Which tags.
    pub tags: String,
    /// Whether the forge is told the state of commits.
    pub tells: bool,
}

/// What came of a forge's message.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Heard {
    /// The build, if it became one.
    pub build: Option<i64>,
    /// What is to be said of it.
    pub note: String,
}

/// Somebody who is to be told what becomes of jobs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerAsked {
    /// Where: `https://…`.
    pub url: String,
}

/// Somebody who is told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Listener {
    /// Its number.
    pub id: i64,
    /// Where.
    pub url: String,
    /// By which what it is told is signed, as `whsec_…`; only when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Since when nothing arrived there, in milliseconds since 1970.
    pub failing_at: Option<i64>,
    /// Since when it is not told any more.
    pub disabled_at: Option<i64>,
}
