//! What requests carry and what answers are made of.

use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use kiln_model::{Digest, Foreign};
use serde::de::DeserializeOwned;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use crate::problem::{Answer, Refused};

/// The most bytes of JSON that a request may carry.
const CAP: usize = 8 << 20;

/// A request's JSON, read; what is wrong with it is told.
pub(crate) struct Taken<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Taken<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Answer<Self> {
        let large = |_| {
            Refused::caller(StatusCode::PAYLOAD_TOO_LARGE, "the request is cut off or too large")
        };
        let bytes = to_bytes(request.into_body(), CAP).await.map_err(large)?;
        if has_nul(&bytes) {
            return Err(Refused::wrong("a text with a NUL in it, which no text has"));
        }
        // A list would be taken for an object's fields in their order, which nobody means.
        if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(Refused::wrong("not the JSON that is due here, which is an object"));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Refused::wrong(Foreign::new(&format!("not the JSON that is due here: {error}")))
        })
    }
}

/// Whether a text of some JSON has a NUL, which one of the databases can't keep. In JSON it can
/// only stand as its escape, after an even number of backslashes.
fn has_nul(json: &[u8]) -> bool {
    const ESCAPE: &[u8] = b"\\u0000";
    let starts = memchr::memmem::find_iter(json, ESCAPE);
    starts.into_iter().any(|at| {
        let before = json[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        before % 2 == 0
    })
}

/// A blob as the answer, or the part of it that is asked for. What is in it may be a stranger's:
/// no browser is to take it for a page.
pub(crate) async fn blob(
    path: &Path,
    digest: &Digest,
    kind: &'static str,
    request: Request,
) -> Answer<Response> {
    let served = ServeFile::new(path).oneshot(request).await;
    let response = served.map_err(Refused::wrong)?;
    let mut response = response.map(Body::new);
    let headers = response.headers_mut();
    harmless(headers, kind);
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", digest.hex())) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Headers of what strangers wrote.
pub(crate) fn harmless(headers: &mut HeaderMap, kind: &'static str) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = HeaderValue::from_static("default-src 'none'; sandbox");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_found_and_what_only_looks_like_one_is_not() {
        assert!(has_nul(br#"{"a": "x\u0000"}"#) && has_nul(br#"["\\\u0000"]"#));
        for fine in [&br#"["\\u0000"]"#[..], br#"["u0000"]"#, br#"["\u0001"]"#, b""] {
            assert!(!has_nul(fine), "{}", String::from_utf8_lossy(fine));
        }
    }
}
