//! A span for each request, within that of whoever makes it (W3C Trace Context).

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::global;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_http::HeaderExtractor;
use tracing::{Instrument as _, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Names are those of OpenTelemetry's conventions for HTTP.
pub(crate) async fn traced(
    State(route): State<&'static str>,
    request: Request,
    next: Next,
) -> Response {
    let headers = HeaderExtractor(request.headers());
    let within = global::get_text_map_propagator(|propagator| propagator.extract(&headers));
    // A worker without an attempt asks all the time.
    if route.starts_with("/worker/") && !within.span().span_context().is_valid() {
        return next.run(request).await;
    }
    let method = request.method().as_str();
    let span = tracing::debug_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
    );
    // Refused where traces go nowhere.
    let _ = span.set_parent(within);
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}
