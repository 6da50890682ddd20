//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that is made again,
//! since its client heard no answer, does nothing more.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use kiln_model::Digest;
use kiln_store::Once;
use serde::Serialize;

use crate::guard::Asker;
use crate::problem::{Answer, Refused};

/// The header.
pub(crate) const HEADER: &str = "idempotency-key";

/// The longest key.
const LONGEST: usize = 128;

/// What the client calls its request, if it does.
pub(crate) struct Key {
    key: Option<String>,
    /// Method and path: one key stands for one request.
    place: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let place = format!("{} {}", parts.method, parts.uri.path());
        let Some(value) = parts.headers.get(HEADER) else { return Ok(Self { key: None, place }) };
        let text = value.to_str().unwrap_or_default().trim();
        let is_fine = !text.is_empty()
            && text.len() <= LONGEST
            && text.chars().all(|character| character.is_ascii_graphic());
        match is_fine {
            true => Ok(Self { key: Some(text.to_owned()), place }),
            false => Err(Refused::wrong(format!(
                "an idempotency key is at most {LONGEST} letters, digits and signs"
            ))),
        }
    }
}

impl Key {
    /// A form of a page has none.
    pub(crate) fn none() -> Self {
        Self { key: None, place: String::new() }
    }

    /// The request, of whoever asks, with what it carries.
    pub(crate) fn once(&self, asker: &Asker, carries: &impl Serialize) -> Answer<Option<Once>> {
        let Some(key) = self.key.clone() else { return Ok(None) };
        let carries = serde_json::to_string(carries).map_err(Refused::wrong)?;
        let request = Digest::of(format!("{}\n{carries}", self.place).as_bytes());
        Ok(Some(Once { owner: asker.user()?, key, request }))
    }
}
