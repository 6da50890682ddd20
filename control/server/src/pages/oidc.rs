//! Signing in by an OpenID provider: to it, and back.

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use kiln_access::{Known, SignIn, TURN};
use kiln_model::Foreign;
use kiln_oidc::{Proof, Provider};
use serde::Deserialize;

use super::account::{self, Next};
use crate::guard::{Asker, cookie_of};
use crate::problem::{Answer, Refused};
use crate::service::App;

/// The cookie of a browser that is on its way to a provider and back.
const COOKIE: &str = "kiln_sign_in";

/// Where that cookie is sent, and nowhere else.
const PLACE: &str = "/login/oidc";

/// What a provider sends a browser back with (RFC 6749, section 4.1.2, and RFC 9207).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Back {
    state: String,
    code: String,
    error: String,
    error_description: String,
    iss: Option<String>,
}

/// Sends a browser to the provider.
pub(crate) async fn begin(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Query(Next { next }): Query<Next>,
) -> Answer<Response> {
    let provider = provider_of(&app)?;
    let next = account::local(&next);
    let begun = app.access.begin_sign_in(&next, app.now()).await?;
    match provider.begin(&proof(&begun)).await {
        Ok(url) => {
            let response = Redirect::to(&url).into_response();
            with_cookie(&app, &asker, response, begun.browser(), TURN / 1000)
        }
        Err(error) => Ok(account::not_signed_in(&app, &asker, &next, error.into())),
    }
}

/// Takes a browser that comes back.
pub(crate) async fn end(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Answer<Response> {
    let provider = provider_of(&app)?;
    let browser = cookie_of(&headers, COOKIE).unwrap_or_default();
    let ended = app.access.end_sign_in(&back.state, &browser, app.now()).await;
    let response = match ended {
        Ok((sign_in, next)) => match signed_in(&app, &asker, provider, &sign_in, back).await {
            Ok(user) => account::signed_in(&app, &asker, user, &next).await?,
            Err(refused) => account::not_signed_in(&app, &asker, &next, refused),
        },
        Err(error) => account::not_signed_in(&app, &asker, "/", error.into()),
    };
    with_cookie(&app, &asker, response, "", 0)
}

/// The account of who comes back.
async fn signed_in(
    app: &App,
    asker: &Asker,
    provider: &Provider,
    sign_in: &SignIn,
    back: Back,
) -> Answer<kiln_model::UserId> {
    if !back.error.is_empty() {
        let said = format!("{} {}", back.error, back.error_description);
        let said = Foreign::new(said.trim());
        let error = format!("{} did not sign you in: {}", provider.name(), said.as_str());
        return Err(Refused::caller(StatusCode::UNAUTHORIZED, error));
    }
    if back.iss.is_some_and(|issuer| issuer != provider.issuer()) {
        let error = format!("this answer is not {}'s", provider.name());
        return Err(Refused::caller(StatusCode::UNAUTHORIZED, error));
    }
    let person = provider.end(&back.code, &proof(sign_in)).await?;
    let known = Known {
        issuer: provider.issuer(),
        subject: &person.subject,
        name: person.name.as_deref(),
        is_operator: person.is_operator,
    };
    let (user, is_new) = app.access.by_provider(known, app.now()).await?;
    let from = asker.peer.said();
    if is_new {
        let subject = Foreign::new(&person.subject);
        let detail = format!("by {}, as {}", provider.name(), subject.as_str());
        app.note(&user.name, "user create", &user.name, &detail).await;
    }
    let detail = format!("by {} {from}", provider.name());
    app.note(&user.name, "login", "browser", detail.trim_end()).await;
    Ok(user.id)
}

fn provider_of(app: &App) -> Answer<&Provider> {
    let none = || Refused::none("page", PLACE);
    app.settings.provider.as_deref().ok_or_else(none)
}

fn proof(sign_in: &SignIn) -> Proof {
    let (nonce, verifier) = (sign_in.nonce(), sign_in.verifier());
    Proof { state: sign_in.state().to_owned(), nonce, verifier }
}

/// The response with a sign-in's cookie, for some seconds; 0 takes it away. It has to come along
/// from the provider's page, which `Strict` would forbid.
fn with_cookie(
    app: &App,
    asker: &Asker,
    mut response: Response,
    secret: &str,
    age: i64,
) -> Answer<Response> {
    let secure = account::secure(app, asker);
    let cookie =
        format!("{COOKIE}={secret}; Path={PLACE}; HttpOnly; SameSite=Lax; Max-Age={age}{secure}");
    let cookie = HeaderValue::from_str(&cookie).map_err(Refused::wrong)?;
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, cookie);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
