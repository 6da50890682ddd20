use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use kiln_access::{Principal, check_password, hash_password};
use kiln_api::{
    LoginAsked, Me, NewPassword, NewUser, OperatorAsked, Token, TokenAsked, TokenMade, User,
    UserChange,
};
use kiln_model::{Scope, UserId, UserName};
use kiln_store::UserRecord;

use super::words;
use crate::bodies::Taken;
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// For how long a token is good that one gets by signing in, in days.
const LOGIN_DAYS: u32 = 90;

pub(crate) async fn first_operator(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<OperatorAsked>,
) -> Answer<Json<TokenMade>> {
    let name: UserName = asked.name.parse().map_err(Refused::wrong)?;
    let access = &app.access;
    let user = access.first_operator(&asked.ticket, name, &asked.password, app.now()).await?;
    app.note(&asked.name, "operator first", &asked.name, &asker.peer.said()).await;
    token_for(&app, user, "first operator").await
}

pub(crate) async fn login(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<LoginAsked>,
) -> Answer<Json<TokenMade>> {
    let user = app.access.by_password(&asked.name, &asked.password, app.now()).await?;
    app.note(&user.name, "login", &asked.label, &asker.peer.said()).await;
    token_for(&app, user.id, &asked.label).await
}

pub(crate) async fn token_for(app: &App, user: UserId, label: &str) -> Answer<Json<TokenMade>> {
    let label = label_of(label)?;
    let made = app.access.make_token(user, &label, Scope::All, LOGIN_DAYS, app.now()).await?;
    let (id, secret, expires_at) = made;
    Ok(Json(TokenMade { id, secret: secret.text().to_owned(), expires_at }))
}

pub(crate) async fn me(Extension(asker): Extension<Asker>) -> Answer<Json<Me>> {
    let Principal::User { name, is_operator, scope, .. } = asker.principal else {
        return Err(kiln_access::Denied::Unknown.into());
    };
    Ok(Json(Me { name, is_operator, scope: scope.word().to_owned() }))
}

pub(crate) async fn set_password(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<NewPassword>,
) -> Answer<StatusCode> {
    let id = asker.user()?;
    let user = app.store().user_of(id).await?;
    let hash = user.as_ref().and_then(|user| user.password.as_deref());
    if !check_password(&asked.old, hash).await {
        return Err(kiln_access::AccessError::Wrong.into());
    }
    app.store().set_password(id, &hash_password(&asked.new).await?, app.now()).await?;
    app.note(&asker.label(), "password", &asker.label(), "").await;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn tokens(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
) -> Answer<Json<Vec<Token>>> {
    let tokens = app.store().tokens(asker.user()?).await?;
    let token = |one: kiln_store::TokenRecord| Token {
        id: one.id,
        label: one.label,
        scope: one.scope.word().to_owned(),
        made_at: one.made_at,
        expires_at: one.expires_at,
        used_at: one.used_at,
        revoked_at: one.revoked_at,
    };
    Ok(Json(tokens.into_iter().map(token).collect()))
}

pub(crate) async fn make_token(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<TokenAsked>,
) -> Answer<(StatusCode, Json<TokenMade>)> {
    let known = "a token's scope is read, build or all";
    let scope = Scope::from_word(&asked.scope).ok_or_else(|| Refused::wrong(known))?;
    let (user, label) = (asker.user()?, label_of(&asked.label)?);
    let made = app.access.make_token(user, &label, scope, asked.days, app.now()).await?;
    let (id, secret, expires_at) = made;
    app.note(&asker.label(), "token create", &label, scope.word()).await;
    let made = TokenMade { id, secret: secret.text().to_owned(), expires_at };
    Ok((StatusCode::CREATED, Json(made)))
}

pub(crate) async fn revoke_token(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<i64>,
) -> Answer<StatusCode> {
    app.store().revoke_token(asker.user()?, id, app.now()).await?;
    app.note(&asker.label(), "token revoke", &id.to_string(), "").await;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn users(State(app): State<App>) -> Answer<Json<Vec<User>>> {
    Ok(Json(app.store().users().await?.into_iter().map(view).collect()))
}

pub(crate) async fn make_user(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Taken(asked): Taken<NewUser>,
) -> Answer<(StatusCode, Json<User>)> {
    let name: UserName = asked.name.parse().map_err(Refused::wrong)?;
    let password = match &asked.password {
        Some(password) => Some(hash_password(password).await?),
        None => None,
    };
    let new = kiln_store::NewUser { name, password, is_operator: asked.is_operator, subject: None };
    app.store().make_user(&new, app.now()).await?;
    app.note(&asker.label(), "user create", &asked.name, "").await;
    Ok((StatusCode::CREATED, Json(view(find(&app, &asked.name).await?))))
}

pub(crate) async fn change_user(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path(name): Path<String>,
    Taken(change): Taken<UserChange>,
) -> Answer<Json<User>> {
    let user = find(&app, &name).await?;
    let store = app.store();
    if let Some(password) = &change.password {
        store.set_password(user.id, &hash_password(password).await?, app.now()).await?;
    }
    if let Some(is_operator) = change.is_operator {
        store.set_operator(user.id, is_operator).await?;
    }
    if let Some(is_disabled) = change.is_disabled {
        store.set_disabled(user.id, is_disabled.then(|| app.now())).await?;
    }
    if let Some(subject) = &change.subject {
        let subject = subject_at(&app, subject)?;
        store.set_subject(user.id, subject.as_deref()).await?;
    }
    app.note(&asker.label(), "user set", &name, "").await;
    Ok(Json(view(find(&app, &name).await?)))
}

/// As whom the provider knows somebody, in the words of the store.
fn subject_at(app: &App, subject: &str) -> Answer<Option<String>> {
    if subject.is_empty() {
        return Ok(None);
    }
    // At most 255 characters of ASCII, says the standard (OpenID Connect Core 1.0, section 2).
    if subject.len() > 255 || !subject.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return Err(Refused::wrong("not a word by which a provider tells people apart"));
    }
    let none = "nobody else signs people in to this service";
    let provider = app.settings.provider.as_ref().ok_or_else(|| Refused::wrong(none))?;
    Ok(Some(kiln_access::subject_of(provider.issuer(), subject)))
}

pub(crate) async fn find(app: &App, name: &str) -> Answer<UserRecord> {
    app.store().user(name).await?.ok_or_else(|| Refused::none("user", name))
}

fn view(user: UserRecord) -> User {
    User {
        name: user.name,
        is_operator: user.is_operator,
        is_disabled: user.disabled_at.is_some(),
        made_at: user.made_at,
        subject: user.subject,
    }
}

fn label_of(text: &str) -> Answer<String> {
    let text = text.trim();
    match !text.is_empty() && words::is_line(text, 100) {
        true => Ok(text.to_owned()),
        false => Err(Refused::wrong("a label is a short line of text")),
    }
}
