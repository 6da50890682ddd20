//! The page of the link by which somebody sets a password.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;

use super::account::{Ticket, signed_in};
use super::{Fields, Shell, operate, page};
use crate::api::links;
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

#[derive(Template)]
#[template(path = "set-password.html")]
struct LinkPage {
    shell: Shell,
    ticket: String,
}

pub(crate) async fn form(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Query(Ticket { ticket }): Query<Ticket>,
) -> Answer<Response> {
    page(&LinkPage { shell: Shell::of(&app, &asker, "A password of your own"), ticket })
}

pub(crate) async fn set(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    fields: Fields,
) -> Answer<Response> {
    let (ticket, password) = (fields.text("ticket"), fields.exact("password"));
    if password != fields.exact("again") {
        return Err(Refused::wrong("the two passwords are not the same"));
    }
    let user = app.access.password_by_link(ticket, &password, app.now()).await?;
    app.note(&user.name, "password", &user.name, "by a link").await;
    signed_in(&app, &asker, user.id, "/").await
}

/// What an operator's button makes: shown once.
pub(crate) async fn make(
    state: State<App>,
    asker: Extension<Asker>,
    name: Path<String>,
) -> Answer<Response> {
    let shown = name.0.clone();
    let (_, link) = links::make(state.clone(), asker.clone(), name).await?;
    operate::with_link(state, asker, (shown, link.0)).await
}
