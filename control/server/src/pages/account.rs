//! Signing in and out, one's tokens and password.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use kiln_access::Principal;
use kiln_api::{NewPassword, Token, TokenAsked, TokenMade};
use kiln_model::{UserId, UserName};
use serde::Deserialize;

use super::{Fields, Shell, page, page_with, to};
use crate::api::accounts;
use crate::bodies::Taken;
use crate::guard::{Asker, COOKIE, not_elsewhere};
use crate::problem::{Answer, Refused};
use crate::service::App;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    shell: Shell,
    next: String,
    error: Option<String>,
    name: String,
    other: Option<Elsewhere>,
}

/// Another way to sign in than by a password.
pub(super) struct Elsewhere {
    pub(super) name: String,
    /// A link: a form would be held to its page's policy all the way to the provider.
    pub(super) link: String,
}

impl Elsewhere {
    /// The way by the service's provider, if it has one, and back to `next`.
    pub(super) fn of(app: &App, next: &str) -> Option<Self> {
        let name = app.settings.provider.as_ref()?.name().to_owned();
        Some(Self { name, link: format!("/login/oidc?next={}", quoted(next)) })
    }
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage {
    shell: Shell,
    ticket: String,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    shell: Shell,
    tokens: Vec<Token>,
    /// One that was made just now: its secret is told once.
    made: Option<TokenMade>,
}

/// The longest path that somebody is led back to.
const LONGEST: usize = 2048;

/// Where to go on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Next {
    pub(super) next: String,
}

/// The secret of a link.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Ticket {
    pub(super) ticket: String,
}

pub(crate) async fn login_form(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Query(Next { next }): Query<Next>,
) -> Answer<Response> {
    let (shell, next) = (Shell::of(&app, &asker, "Sign in"), local(&next));
    let other = Elsewhere::of(&app, &next);
    page(&LoginPage { shell, next, error: None, name: String::new(), other })
}

pub(crate) async fn login(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    fields: Fields,
) -> Answer<Response> {
    // Nobody is to be signed in by another site's page, as somebody else.
    not_elsewhere(&app, &Method::POST, &headers)?;
    let (name, next) = (fields.text("name"), local(fields.text("next")));
    match app.access.by_password(name, &fields.exact("password"), app.now()).await {
        Ok(user) => {
            app.note(&user.name, "login", "browser", &asker.peer.said()).await;
            signed_in(&app, &asker, user.id, &next).await
        }
        Err(error) => {
            let refused = Refused::from(error);
            let status = refused.status();
            if status.is_server_error() {
                return Err(refused);
            }
            let shell = Shell::of(&app, &asker, "Sign in");
            let (error, name) = (Some(refused.said()), name.to_owned());
            let other = Elsewhere::of(&app, &next);
            Ok(page_with(status, &LoginPage { shell, next, error, name, other }))
        }
    }
}

/// The page to sign in, with why that came to nothing.
pub(super) fn not_signed_in(app: &App, asker: &Asker, next: &str, refused: Refused) -> Response {
    let (status, error) = (refused.status(), Some(refused.said()));
    let shell = Shell::of(app, asker, "Sign in");
    let (next, other) = (next.to_owned(), Elsewhere::of(app, next));
    page_with(status, &LoginPage { shell, next, error, name: String::new(), other })
}

pub(crate) async fn logout(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
) -> Answer<Response> {
    if let Principal::User { id, token, .. } = asker.principal {
        app.store().revoke_token(id, token, app.now()).await?;
    }
    with_cookie(&app, &asker, to("/")?, "", 0)
}

pub(crate) async fn welcome_form(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Query(Ticket { ticket }): Query<Ticket>,
) -> Answer<Response> {
    page(&WelcomePage { shell: Shell::of(&app, &asker, "Welcome"), ticket })
}

pub(crate) async fn welcome(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    fields: Fields,
) -> Answer<Response> {
    let name: UserName = fields.text("name").parse().map_err(Refused::wrong)?;
    let (ticket, password) = (fields.text("ticket"), fields.exact("password"));
    if password != fields.exact("again") {
        return Err(Refused::wrong("the two passwords are not the same"));
    }
    let user = app.access.first_operator(ticket, name.clone(), &password, app.now()).await?;
    app.note(name.as_str(), "operator first", name.as_str(), &asker.peer.said()).await;
    signed_in(&app, &asker, user, "/").await
}

pub(crate) async fn tokens(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
) -> Answer<Response> {
    tokens_page(app, asker, None, StatusCode::OK).await
}

pub(crate) async fn make_token(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    fields: Fields,
) -> Answer<Response> {
    let asked = TokenAsked {
        label: fields.text("label").to_owned(),
        scope: fields.text("scope").to_owned(),
        days: fields.number("days")?,
    };
    let state = State(app.clone());
    let (status, made) =
        accounts::make_token(state, Extension(asker.clone()), Taken(asked)).await?;
    tokens_page(app, asker, Some(made.0), status).await
}

pub(crate) async fn revoke_token(
    state: State<App>,
    asker: Extension<Asker>,
    id: Path<i64>,
) -> Answer<Response> {
    accounts::revoke_token(state, asker, id).await?;
    to("/tokens")
}

pub(crate) async fn set_password(
    state: State<App>,
    asker: Extension<Asker>,
    fields: Fields,
) -> Answer<Response> {
    let asked = NewPassword { old: fields.exact("old"), new: fields.exact("new") };
    accounts::set_password(state, asker, Taken(asked)).await?;
    to("/tokens")
}

async fn tokens_page(
    app: App,
    asker: Asker,
    made: Option<TokenMade>,
    status: StatusCode,
) -> Answer<Response> {
    let shell = Shell::of(&app, &asker, "Your account");
    let tokens = accounts::tokens(State(app), Extension(asker)).await?.0;
    Ok(page_with(status, &TokensPage { shell, tokens, made }))
}

pub(super) async fn signed_in(
    app: &App,
    asker: &Asker,
    user: UserId,
    next: &str,
) -> Answer<Response> {
    let now = app.now();
    let (secret, until) = app.access.begin_session(user, now).await?;
    with_cookie(app, asker, to(next)?, secret.text(), (until - now) / 1000)
}

/// What a cookie says that goes over TLS alone, where there is TLS: here, or before a proxy.
pub(super) fn secure(app: &App, asker: &Asker) -> &'static str {
    let is_secure = app.settings.url.starts_with("https:") || asker.peer.is_secure;
    if is_secure { "; Secure" } else { "" }
}

/// The response with the cookie of a session that lasts some seconds; 0 takes it away.
fn with_cookie(
    app: &App,
    asker: &Asker,
    mut response: Response,
    secret: &str,
    age: i64,
) -> Answer<Response> {
    let secure = secure(app, asker);
    let cookie =
        format!("{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}");
    let cookie = HeaderValue::from_str(&cookie).map_err(Refused::wrong)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// A path of this service; the start for whatever else somebody put into a link.
pub(super) fn local(next: &str) -> String {
    let is_ours = next.starts_with('/')
        && next.len() <= LONGEST
        && !next.starts_with("//")
        && next.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    if is_ours { next.to_owned() } else { "/".to_owned() }
}

/// A path as the value of something in an address.
fn quoted(path: &str) -> String {
    let quote = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(quote).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_nowhere_else_after_signing_in() {
        for (given, goes) in [
            ("/projects/x?y=1#z", "/projects/x?y=1#z"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("javascript:alert(1)", "/"),
        ] {
            assert_eq!(local(given), goes, "{given:?}");
        }
        assert_eq!(local(&format!("/{}", "x".repeat(LONGEST))), "/", "no path is so long");
        assert_eq!(quoted("/a?b=1&c=%2f#+"), "/a%3Fb%3D1%26c%3D%252f%23%2B");
    }
}
