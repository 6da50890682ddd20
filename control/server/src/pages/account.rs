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

/// Where to go on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Next {
    next: String,
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
    let shell = Shell::of(&app, &asker, "Sign in");
    page(&LoginPage { shell, next: local(&next), error: None, name: String::new() })
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
            app.note(&user.name, "login", "browser", "").await;
            signed_in(&app, user.id, &next).await
        }
        Err(error) => {
            let refused = Refused::from(error);
            let status = refused.status();
            if status.is_server_error() {
                return Err(refused);
            }
            let shell = Shell::of(&app, &asker, "Sign in");
            let (error, name) = (Some(refused.said()), name.to_owned());
            Ok(page_with(status, &LoginPage { shell, next, error, name }))
        }
    }
}

pub(crate) async fn logout(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
) -> Answer<Response> {
    if let Principal::User { id, token, .. } = asker.principal {
        app.store().revoke_token(id, token, app.now()).await?;
    }
    with_cookie(&app, to("/")?, "", 0)
}

pub(crate) async fn welcome_form(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Query(Ticket { ticket }): Query<Ticket>,
) -> Answer<Response> {
    page(&WelcomePage { shell: Shell::of(&app, &asker, "Welcome"), ticket })
}

pub(crate) async fn welcome(State(app): State<App>, fields: Fields) -> Answer<Response> {
    let name: UserName = fields.text("name").parse().map_err(Refused::wrong)?;
    let (ticket, password) = (fields.text("ticket"), fields.exact("password"));
    if password != fields.exact("again") {
        return Err(Refused::wrong("the two passwords are not the same"));
    }
    let user = app.access.first_operator(ticket, name.clone(), &password, app.now()).await?;
    app.note(name.as_str(), "operator first", name.as_str(), "").await;
    signed_in(&app, user, "/").await
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

pub(super) async fn signed_in(app: &App, user: UserId, next: &str) -> Answer<Response> {
    let now = app.now();
    let (secret, until) = app.access.begin_session(user, now).await?;
    with_cookie(app, to(next)?, secret.text(), (until - now) / 1000)
}

/// The response with the cookie of a session that lasts some seconds; 0 takes it away.
fn with_cookie(app: &App, mut response: Response, secret: &str, age: i64) -> Answer<Response> {
    let secure = if app.settings.url.starts_with("https:") { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}");
    let cookie = HeaderValue::from_str(&cookie).map_err(Refused::wrong)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// A path of this service; the start for whatever else somebody put into a link.
fn local(next: &str) -> String {
    let is_ours = next.starts_with('/')
        && !next.starts_with("//")
        && next.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    if is_ours { next.to_owned() } else { "/".to_owned() }
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
    }
}
