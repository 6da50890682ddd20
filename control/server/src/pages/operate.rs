//! Operators' pages: accounts, workers, who did what.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use kiln_api::{
    Audited, Enrolment, EnrolmentAsked, NewUser, PasswordLink, User, UserChange, Worker,
    WorkerChange,
};

use super::{Fields, Shell, page, page_with, to};
use crate::api::{accounts, operating};
use crate::bodies::Taken;
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

#[derive(Template)]
#[template(path = "operate.html")]
struct OperatePage {
    shell: Shell,
    users: Vec<User>,
    workers: Vec<Worker>,
    lines: Vec<Audited>,
    /// A right to enrol that was made just now: it is told once.
    enrolment: Option<Enrolment>,
    /// A link by which somebody sets a password, likewise, and for whom.
    link: Option<(String, PasswordLink)>,
    url: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    lines: Vec<Audited>,
    next: Option<String>,
}

/// How many lines of the audit log stand beside the rest.
const SHOWN: usize = 20;

pub(crate) async fn show(state: State<App>, asker: Extension<Asker>) -> Answer<Response> {
    operate(state, asker, None, None).await
}

pub(super) async fn with_link(
    state: State<App>,
    asker: Extension<Asker>,
    link: (String, PasswordLink),
) -> Answer<Response> {
    operate(state, asker, None, Some(link)).await
}

async fn operate(
    state: State<App>,
    asker: Extension<Asker>,
    enrolment: Option<Enrolment>,
    link: Option<(String, PasswordLink)>,
) -> Answer<Response> {
    let is_made = enrolment.is_some() || link.is_some();
    let status = if is_made { StatusCode::CREATED } else { StatusCode::OK };
    let audit = operating::audit(state.clone(), Query::default()).await?.0;
    let shown = OperatePage {
        shell: Shell::of(&state.0, &asker.0, "Operating"),
        users: accounts::users(state.clone()).await?.0,
        workers: operating::workers(state.clone()).await?.0,
        lines: audit.items.into_iter().take(SHOWN).collect(),
        enrolment,
        link,
        url: state.settings.url.clone(),
    };
    Ok(page_with(status, &shown))
}

pub(crate) async fn audit(
    state: State<App>,
    asker: Extension<Asker>,
    asked: Query<operating::AuditAsked>,
) -> Answer<Response> {
    let shell = Shell::of(&state.0, &asker.0, "Audit log");
    let list = operating::audit(state, asked).await?.0;
    page(&AuditPage { shell, lines: list.items, next: list.next })
}

pub(crate) async fn make_user(
    state: State<App>,
    asker: Extension<Asker>,
    fields: Fields,
) -> Answer<Response> {
    let password = fields.exact("password");
    let user = NewUser {
        name: fields.text("name").to_owned(),
        password: (!password.is_empty()).then_some(password),
        is_operator: fields.is_set("operator"),
    };
    accounts::make_user(state, asker, Taken(user)).await.map(drop)?;
    to("/operate")
}

pub(crate) async fn change_user(
    state: State<App>,
    asker: Extension<Asker>,
    name: Path<String>,
    fields: Fields,
) -> Answer<Response> {
    let mut change = UserChange::default();
    match fields.text("do") {
        "disable" => change.is_disabled = Some(true),
        "enable" => change.is_disabled = Some(false),
        "promote" => change.is_operator = Some(true),
        "demote" => change.is_operator = Some(false),
        _ => return Err(Refused::wrong("not something that can be done to an account")),
    }
    accounts::change_user(state, asker, name, Taken(change)).await.map(drop)?;
    to("/operate")
}

pub(crate) async fn enrol(
    state: State<App>,
    asker: Extension<Asker>,
    fields: Fields,
) -> Answer<Response> {
    let asked = Taken(EnrolmentAsked { name: fields.text("name").to_owned() });
    let (_, made) = operating::enrolment(state.clone(), asker.clone(), asked).await?;
    operate(state, asker, Some(made.0), None).await
}

pub(crate) async fn change_worker(
    state: State<App>,
    asker: Extension<Asker>,
    name: Path<String>,
    fields: Fields,
) -> Answer<Response> {
    let change = Taken(WorkerChange { state: fields.text("state").to_owned() });
    operating::change_worker(state, asker, name, change).await?;
    to("/operate")
}
