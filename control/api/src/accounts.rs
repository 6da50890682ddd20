use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Signing in with a password; the answer is a [`TokenMade`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginAsked {
    /// The account's name.
    pub name: String,
    /// Its password.
    pub password: String,
    /// What the token is to be called: a host's name, as a rule.
    pub label: String,
}

/// Becoming the first operator, by the one-time link that `kiln up` prints.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorAsked {
    /// The secret of the link.
    pub ticket: String,
    /// The account's name.
    #[schema(pattern = "^[a-z0-9]([a-z0-9_+-]|[.][a-z0-9_+-])*$", max_length = 63)]
    pub name: String,
    /// Its password: at least 10 characters.
    #[schema(min_length = 10, max_length = 1024)]
    pub password: String,
}

/// Another password for oneself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The present one.
    pub old: String,
    /// The new one: at least 10 characters.
    #[schema(min_length = 10, max_length = 1024)]
    pub new: String,
}

/// Who asks, as the service sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The account's name.
    pub name: String,
    /// Whether it may do everything.
    pub is_operator: bool,
    /// What the token that was shown may be used for: read, build or all.
    pub scope: String,
}

/// A token to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenAsked {
    /// What its owner calls it.
    pub label: String,
    /// What it may be used for: read, build or all.
    #[schema(pattern = "^(read|build|all)$")]
    pub scope: String,
    /// For how long it is good.
    #[schema(minimum = 1, maximum = 366)]
    pub days: u32,
}

/// A token just made: its secret is told once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// Its number.
    pub id: i64,
    /// What to send as `Authorization: Bearer …`.
    pub secret: String,
    /// Until when it is good, in milliseconds since 1970.
    pub expires_at: i64,
}

/// A token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its number.
    pub id: i64,
    /// What its owner calls it.
    pub label: String,
    /// What it may be used for: read, build or all.
    pub scope: String,
    /// When it was made, in milliseconds since 1970; the others likewise.
    pub made_at: i64,
    /// Until when it is good.
    pub expires_at: i64,
    /// When it was last used.
    pub used_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

/// An account to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Its name.
    #[schema(pattern = "^[a-z0-9]([a-z0-9_+-]|[.][a-z0-9_+-])*$", max_length = 63)]
    pub name: String,
    /// Its password; without one it has none until its owner sets it by a link.
    #[serde(default)]
    pub password: Option<String>,
    /// Whether it may do everything.
    #[serde(default)]
    pub is_operator: bool,
}

/// An account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Whether it may do everything.
    pub is_operator: bool,
    /// Whether it may do nothing any more.
    pub is_disabled: bool,
    /// When it was made, in milliseconds since 1970.
    pub made_at: i64,
    /// As whom an OpenID provider knows it: the provider's address and its word for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// A one-time link by which somebody sets the password of an account. It is told once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PasswordLink {
    /// Where a browser sets it.
    pub url: String,
    /// Its secret, for programs.
    pub ticket: String,
    /// Until when it is good, in milliseconds since 1970.
    pub expires_at: i64,
}

/// A password that is set by a link; the answer is a [`TokenMade`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordByLink {
    /// The secret of the link.
    pub ticket: String,
    /// The password: at least 10 characters.
    #[schema(min_length = 10, max_length = 1024)]
    pub password: String,
}

/// What an operator changes of an account; what is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserChange {
    /// A new password.
    pub password: Option<String>,
    /// Whether it may do everything.
    pub is_operator: Option<bool>,
    /// Whether it may do nothing any more.
    pub is_disabled: Option<bool>,
    /// As whom the service's OpenID provider knows it, in the provider's word; an empty text for
    /// nobody that it knows.
    #[schema(max_length = 255)]
    pub subject: Option<String>,
}
