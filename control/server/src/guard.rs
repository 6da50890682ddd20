//! Before each handler: who asks, what about, and whether they may.

use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use kiln_access::{Need, Principal};
use kiln_model::{BuildId, JobId, ProjectId};
use kiln_store::ProjectRecord;

use crate::peer::Peer;
use crate::problem::{Answer, Refused};
use crate::routes::About;
use crate::service::App;

/// The cookie of a browser that is signed in. The prefix binds it to this host and to TLS where
/// there is TLS (RFC 6265bis).
pub(crate) const COOKIE: &str = "kiln_session";

/// What a route's guard is made of.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) app: App,
    pub(crate) need: Need,
    pub(crate) about: About,
    /// Whether it is counted how often somebody asks.
    pub(crate) is_counted: bool,
}

/// Who asks, and for what; handlers take it from here.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) principal: Principal,
    /// The project that the request is about.
    pub(crate) project: Option<ProjectRecord>,
    /// From where.
    pub(crate) peer: Peer,
}

impl Asker {
    /// The project that the request is about: routes that ask for a role always have one.
    pub(crate) fn project(&self) -> Answer<&ProjectRecord> {
        self.project.as_ref().ok_or_else(|| Refused::none("project", ""))
    }

    pub(crate) fn user(&self) -> Answer<kiln_model::UserId> {
        self.principal.user().ok_or_else(|| kiln_access::Denied::Unknown.into())
    }

    pub(crate) fn label(&self) -> String {
        self.principal.label()
    }
}

pub(crate) async fn guard(
    State(guard): State<Guard>,
    params: RawPathParams,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let Guard { app, need, about, is_counted } = guard;
    // One of the databases can't keep such a text, so that nothing is called that.
    let is_nul = request.uri().query().is_some_and(|query| query.contains("%00"));
    if is_nul || params.iter().any(|(_, value)| value.contains('\0')) {
        return Err(Refused::wrong("a text with a NUL in it, which no text has"));
    }
    let (secret, is_cookie) = secret_of(request.headers());
    if is_cookie && !request.method().is_safe() {
        same_site(&app, request.method(), request.headers())?;
    }
    let principal = match secret {
        Some(secret) => app.access.by_secret(&secret, app.now()).await?,
        None => Principal::Anonymous,
    };
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
    if is_counted {
        app.rates.count(&principal, &peer).map_err(Refused::too_often)?;
    }
    let project = find_project(&app, about, &params).await?;
    let role = match (&project, principal.user()) {
        (Some(project), Some(user)) => app.store().role(project.id, user).await?,
        _ => None,
    };
    let is_public = project.as_ref().is_some_and(|project| project.is_public);
    principal.may(need, is_public, role)?;
    if project.is_none() && matches!(need, Need::Member(..)) {
        return Err(kiln_access::Denied::Hidden.into());
    }
    request.extensions_mut().insert(Asker { principal, project, peer });
    Ok(next.run(request).await)
}

/// What lets the request in, and whether a browser sends it by itself.
pub(crate) fn secret_of(headers: &HeaderMap) -> (Option<String>, bool) {
    let text = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(secret) = text.and_then(|text| text.strip_prefix("Bearer ")) {
        return (Some(secret.trim().to_owned()), false);
    }
    // dnf knows names and passwords only: the password is the token.
    if let Some(basic) = text.and_then(|text| text.strip_prefix("Basic ")) {
        return (basic_password(basic.trim()), false);
    }
    let session = cookie_of(headers, COOKIE);
    let is_cookie = session.is_some();
    (session, is_cookie)
}

/// What a cookie of that name holds.
pub(crate) fn cookie_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
        .map(str::to_owned)
}

fn basic_password(encoded: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

/// Another site's page can make a browser send a request with our cookie; the browser says so
/// (Fetch Metadata, and Origin before it). Who says neither is no browser of the last years, and
/// has no business with a cookie.
fn same_site(app: &App, method: &Method, headers: &HeaderMap) -> Answer<()> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_ours = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => origin == app.settings.url,
        (None, None) => false,
    };
    if is_ours {
        return Ok(());
    }
    let error = format!("a {method} that another site's page made");
    Err(Refused::caller(StatusCode::FORBIDDEN, error))
}

/// As [`same_site`], for requests without a cookie: programs say nothing of where they come from.
pub(crate) fn not_elsewhere(app: &App, method: &Method, headers: &HeaderMap) -> Answer<()> {
    match headers.contains_key("sec-fetch-site") || headers.contains_key("origin") {
        true => same_site(app, method, headers),
        false => Ok(()),
    }
}

/// The project that a path is about. A build of nobody's is nobody's to see.
async fn find_project(
    app: &App,
    about: About,
    params: &RawPathParams,
) -> Answer<Option<ProjectRecord>> {
    let param = |name: &str| params.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
    let number = |name: &str| param(name).and_then(|text| text.parse::<i64>().ok());
    let id: Option<ProjectId> = match about {
        About::Nothing => return Ok(None),
        About::Project => {
            return Ok(app.store().project(param("project").unwrap_or_default()).await?);
        }
        About::Build => match number("build") {
            Some(build) => found(app.store().build(BuildId(build)).await.map(|it| it.project))?,
            None => None,
        },
        About::Job => match number("job") {
            Some(job) => found(app.store().job(JobId(job)).await.map(|it| it.project))?,
            None => None,
        },
    };
    match id {
        Some(id) => Ok(app.store().project_of(id).await?),
        None => Ok(None),
    }
}

/// What isn't there is hidden like what may not be seen.
fn found(result: Result<Option<ProjectId>, kiln_store::StoreError>) -> Answer<Option<ProjectId>> {
    use kiln_store::StoreError;
    match result {
        Err(StoreError::NoJob(_) | StoreError::None { .. }) => Ok(None),
        result => Ok(result?),
    }
}
