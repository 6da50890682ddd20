//! One-time links by which people set a password of their own: who makes an account need not
//! know it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use kiln_api::{PasswordByLink, PasswordLink, TokenMade};

use super::accounts;
use crate::bodies::Taken;
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// For how long a link is good, in milliseconds.
const LIFE: i64 = 3 * 24 * 3600 * 1000;

/// Makes a link; those made for the account before are good no more.
pub(crate) async fn make(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path(name): Path<String>,
) -> Answer<(StatusCode, Json<PasswordLink>)> {
    let user = accounts::find(&app, &name).await?;
    if user.disabled_at.is_some() {
        let refused =
            Refused::caller(StatusCode::CONFLICT, format!("the account {name} is disabled"));
        return Err(refused.with_hint("enable it first: 'kiln user enable NAME'"));
    }
    let (ticket, expires_at) = app.access.link_for(&user.name, LIFE, app.now()).await?;
    app.note(&asker.label(), "user link", &name, "").await;
    let ticket = ticket.text().to_owned();
    let url = format!("{}/set-password?ticket={ticket}", app.settings.url);
    Ok((StatusCode::CREATED, Json(PasswordLink { url, ticket, expires_at })))
}

/// Sets the password of the account that a link is for, and signs in.
pub(crate) async fn set_password(
    State(app): State<App>,
    Taken(asked): Taken<PasswordByLink>,
) -> Answer<Json<TokenMade>> {
    let user = app.access.password_by_link(&asked.ticket, &asked.password, app.now()).await?;
    app.note(&user.name, "password", &user.name, "by a link").await;
    accounts::token_for(&app, user.id, "password link").await
}
