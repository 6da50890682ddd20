//! The types that statements of this service name: each address leads to the document that says
//! what it means.

use axum::response::{IntoResponse, Response};

use crate::bodies::harmless;

/// All of them are described in one document.
const DOCUMENT: &str = include_str!("../../../docs/provenance.md");

pub(crate) async fn show() -> Response {
    let mut response = DOCUMENT.into_response();
    harmless(response.headers_mut(), "text/markdown; charset=utf-8");
    response
}
