//! Refusals as pages, for browsers; everyone else gets problem+json.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use kiln_api::Problem;

use super::account::Elsewhere;
use super::{Shell, page_with};
use crate::guard::secret_of;
use crate::problem::Refused;
use crate::service::App;

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    shell: Shell,
    problem: Problem,
    /// Where to go on once one is signed in; nothing where that would not help.
    next: Option<String>,
    /// Another way to sign in, likewise.
    other: Option<Elsewhere>,
}

/// What stands where there is no route.
pub(crate) async fn nothing(uri: Uri) -> Refused {
    Refused::none("page", uri.path())
}

pub(crate) async fn faces(State(app): State<App>, request: Request, next: Next) -> Response {
    if !is_browser(request.headers()) {
        return next.run(request).await;
    }
    let (secret, _) = secret_of(request.headers());
    // After a form there is nothing to come back to but the start.
    let back = match *request.method() {
        Method::GET => request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        _ => "/".to_owned(),
    };
    let response = next.run(request).await;
    let Some(problem) = response.extensions().get::<Problem>().cloned() else { return response };
    let who = match secret {
        Some(secret) => app.access.by_secret(&secret, app.now()).await.ok(),
        None => None,
    };
    let who = who.filter(|who| who.user().is_some()).map(|who| who.label());
    let status = response.status();
    // A private thing is hidden from who isn't signed in: perhaps that is all.
    let is_asked = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND);
    let next = (who.is_none() && is_asked).then_some(back);
    let shell = Shell::plain(&app, title(status), who);
    let other = next.as_deref().and_then(|next| Elsewhere::of(&app, next));
    let mut page = page_with(status, &ProblemPage { shell, problem, next, other });
    if let Some(again) = response.headers().get(header::RETRY_AFTER) {
        page.headers_mut().insert(header::RETRY_AFTER, again.clone());
    }
    page
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "Sign in",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not found",
        status if status.is_server_error() => "Something is broken",
        _ => "That did not work",
    }
}

/// Whether who asks would rather have a page.
fn is_browser(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}
