//! Signs people in by an OpenID provider: OpenID Connect Core 1.0, the authorization code flow, with
//! PKCE (RFC 7636), state and nonce.
//!
//! Zone: `control`, TRUSTED. What a provider says of somebody becomes a [`Person`] here, once the ID
//! token is verified. What does not belong here: accounts (`control/access`), and pages and cookies
//! (`control/server`).

mod claims;
mod error;
mod outbound;
mod provider;
mod settings;

pub use error::OidcError;
pub use provider::{Person, Proof, Provider};
pub use settings::{Condition, ProviderSettings};
