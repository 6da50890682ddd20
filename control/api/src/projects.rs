use kiln_model::ProjectSettings;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A project to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectAsked {
    /// Its name.
    #[schema(pattern = "^[a-z0-9]([a-z0-9_+-]|[.][a-z0-9_+-])*$", max_length = 63)]
    pub name: String,
    /// One line that says what it is.
    #[serde(default)]
    pub summary: String,
    /// Whether anyone may see it and install from it.
    #[serde(default)]
    pub is_public: bool,
    /// What it is built for: names of targets.
    #[serde(default)]
    pub targets: Vec<String>,
    /// How its builds are made.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: ProjectSettings,
}

/// What a maintainer changes of a project; what is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectChange {
    /// One line that says what it is.
    pub summary: Option<String>,
    /// Whether anyone may see it and install from it.
    pub is_public: Option<bool>,
    /// How its builds are made: all of it.
    #[schema(value_type = Option<Object>)]
    pub settings: Option<ProjectSettings>,
    /// Its weight in the queue, 1 to 10,000; 100 is usual. Operators only.
    pub weight: Option<i64>,
}

/// A project.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// One line that says what it is.
    pub summary: String,
    /// Whether anyone may see it and install from it.
    pub is_public: bool,
    /// How its builds are made.
    #[schema(value_type = Object)]
    pub settings: ProjectSettings,
    /// When it was made, in milliseconds since 1970.
    pub made_at: i64,
    /// Its weight in the queue: 100 is usual.
    pub weight: i64,
    /// What you may do in it: reader, packager or maintainer.
    pub role: Option<String>,
    /// Its repositories.
    pub repos: Vec<Repo>,
    /// Its members; only those who are signed in see them.
    pub members: Vec<Member>,
}

/// A repository of a project.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Repo {
    /// The target.
    pub target: String,
    /// Its newest snapshot, 0 before the first.
    pub snapshot: i64,
    /// Whether it can be built for.
    pub is_enabled: bool,
    /// Where its `.repo` file is.
    pub url: String,
}

/// A member of a project.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// The account's name.
    pub name: String,
    /// reader, packager or maintainer.
    pub role: String,
}

/// A role that is given to somebody.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberChange {
    /// reader, packager or maintainer.
    #[schema(pattern = "^(reader|packager|maintainer)$")]
    pub role: String,
}

/// A target that projects can build for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TargetSummary {
    /// Its name.
    pub name: String,
    /// One line that tells a packager what it is.
    pub summary: String,
    /// The architecture that is built for.
    pub arch: String,
    /// Its base profiles.
    pub profiles: Vec<String>,
}
