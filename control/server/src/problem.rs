//! Why a request was refused, in the form of RFC 9457.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use kiln_access::{AccessError, Denied};
use kiln_api::Problem;
use kiln_bundle::BundleError;
use kiln_cas::CasError;
use kiln_flow::{FlowError, OrderError, PublishFailure, RecallError, VerifyError};
use kiln_model::{Fault, Faulty, Foreign, Report};
use kiln_oidc::OidcError;
use kiln_store::StoreError;

/// A request that was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    report: Report,
    /// After how many seconds it may be asked again, where that is known.
    again: Option<u64>,
}

pub(crate) type Answer<T> = Result<T, Refused>;

impl Refused {
    /// The caller's fault.
    pub(crate) fn caller(status: StatusCode, error: impl Into<String>) -> Self {
        let report =
            Report { fault: Fault::Caller, error: error.into(), causes: Vec::new(), hint: None };
        Self { status, report, again: None }
    }

    /// Somebody asks more often than they may.
    pub(crate) fn too_often(seconds: u64) -> Self {
        let error = "you ask more often than this service answers";
        let refused = Self::caller(StatusCode::TOO_MANY_REQUESTS, error);
        let hint = format!("ask again in {seconds} s");
        Self { again: Some(seconds), ..refused.with_hint(&hint) }
    }

    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        self.report.hint = Some(hint.to_owned());
        self
    }

    /// What the request says is not what it should be.
    pub(crate) fn wrong(error: impl std::fmt::Display) -> Self {
        Self::caller(StatusCode::BAD_REQUEST, error.to_string())
    }

    /// There is no such thing.
    pub(crate) fn none(what: &str, name: &str) -> Self {
        let name = kiln_model::Foreign::new(name);
        Self::caller(StatusCode::NOT_FOUND, format!("there is no {what} {name}"))
    }

    /// This machine's fault: a file that can't be read, a thread that was lost.
    pub(crate) fn lost(error: impl std::fmt::Display) -> Self {
        let error = format!("reading what was asked for: {error}");
        let report = Report { fault: Fault::Host, error, causes: Vec::new(), hint: None };
        Self { status: usual(Fault::Host), report, again: None }
    }

    /// What the answer's status will be.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// In one line, for a page that says it beside its form. What is no caller's fault is logged.
    pub(crate) fn said(&self) -> String {
        self.log();
        match &self.report.hint {
            Some(hint) => format!("{}: {hint}", self.report.error),
            None => self.report.error.clone(),
        }
    }

    fn log(&self) {
        let Self { status, report, .. } = self;
        if matches!(report.fault, Fault::Host | Fault::Kiln | Fault::Breach) {
            tracing::error!(%status, error = report.error, causes = ?report.causes, "refused");
        }
    }

    fn of(error: &(impl Faulty + ?Sized), status: StatusCode) -> Self {
        Self { status, report: Report::of(error), again: None }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.log();
        let Self { status, report, again } = self;
        let problem = Problem {
            status: status.as_u16(),
            title: report.error,
            detail: report.causes.join(": "),
            fault: report.fault.word().to_owned(),
            hint: report.hint,
        };
        let mut response = (status, Json(problem.clone())).into_response();
        // Browsers are shown a page instead: see `pages/faces.rs`.
        response.extensions_mut().insert(problem);
        let kind = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = again {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer, Basic realm=\"kiln\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// The most of a refusal's text that is looked at.
const TEXT: usize = 4096;

/// What was refused before a handler saw it, as a number that is none or a method that is not
/// known, told as everything else that is refused.
pub(crate) async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_refusal = status.is_client_error() || status.is_server_error();
    // A page that says it beside its form, as that a password is wrong, is told as it should be.
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_page = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !is_refusal || is_page || response.extensions().get::<Problem>().is_some() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, TEXT).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&bytes);
    let text = match said.trim() {
        "" => status.canonical_reason().unwrap_or("refused").to_lowercase(),
        said => Foreign::new(said).as_str().to_owned(),
    };
    let mut refused = Refused::caller(status, text);
    if status.is_server_error() {
        refused.report.fault = Fault::Kiln;
    }
    let mut told = refused.into_response();
    for (name, value) in &parts.headers {
        // What else it says stays: which methods there are, how long a file is.
        if ![header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name) {
            told.headers_mut().insert(name, value.clone());
        }
    }
    told
}

/// The status of a fault where nothing more is known.
fn usual(fault: Fault) -> StatusCode {
    match fault {
        Fault::Caller => StatusCode::BAD_REQUEST,
        Fault::Package => StatusCode::UNPROCESSABLE_ENTITY,
        Fault::Host => StatusCode::SERVICE_UNAVAILABLE,
        Fault::Kiln => StatusCode::INTERNAL_SERVER_ERROR,
        Fault::Breach => StatusCode::FORBIDDEN,
    }
}

fn of_store(error: &StoreError) -> StatusCode {
    match error {
        StoreError::NoJob(_) | StoreError::None { .. } => StatusCode::NOT_FOUND,
        StoreError::OtherRequest(_) => StatusCode::UNPROCESSABLE_ENTITY,
        StoreError::NoRoom { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        StoreError::Taken { .. }
        | StoreError::Illegal { .. }
        | StoreError::Never(_)
        | StoreError::Overtaken { .. }
        | StoreError::Stale(_) => StatusCode::CONFLICT,
        StoreError::NotEmpty
        | StoreError::Dump { .. }
        | StoreError::Database { .. }
        | StoreError::Place { .. }
        | StoreError::Schema(_)
        | StoreError::Record { .. }
        | StoreError::Row { .. } => usual(error.fault()),
    }
}

fn of_flow(error: &FlowError) -> StatusCode {
    match error {
        FlowError::Store(error) => of_store(error),
        other => usual(other.fault()),
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::of(&error, of_store(&error))
    }
}

impl From<FlowError> for Refused {
    fn from(error: FlowError) -> Self {
        Self::of(&error, of_flow(&error))
    }
}

impl From<OrderError> for Refused {
    fn from(error: OrderError) -> Self {
        let status = match &error {
            OrderError::Flow(error) => of_flow(error),
            other => usual(other.fault()),
        };
        Self::of(&error, status)
    }
}

impl From<VerifyError> for Refused {
    fn from(error: VerifyError) -> Self {
        let status = match &error {
            VerifyError::Flow(error) => of_flow(error),
            VerifyError::Store(error) | VerifyError::Recall(RecallError::Store(error)) => {
                of_store(error)
            }
            VerifyError::Rebuild(_) | VerifyError::Recall(_) => StatusCode::CONFLICT,
            VerifyError::Prove(_) | VerifyError::Lost(_) => usual(error.fault()),
        };
        Self::of(&error, status)
    }
}

impl From<PublishFailure> for Refused {
    fn from(error: PublishFailure) -> Self {
        let status = match &error {
            PublishFailure::Flow(error) => of_flow(error),
            other => usual(other.fault()),
        };
        Self::of(&error, status)
    }
}

impl From<CasError> for Refused {
    fn from(error: CasError) -> Self {
        // What is uploaded and is not what it was to be is for who uploads it.
        let status = match &error {
            CasError::Mismatch { .. } | CasError::Size { .. } => StatusCode::BAD_REQUEST,
            CasError::Missing(_) => StatusCode::NOT_FOUND,
            CasError::Io { .. } => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::of(&error, status)
    }
}

impl From<BundleError> for Refused {
    fn from(error: BundleError) -> Self {
        let status = match &error {
            BundleError::Missing { .. } => StatusCode::NOT_FOUND,
            other => usual(other.fault()),
        };
        Self::of(&error, status)
    }
}

impl From<AccessError> for Refused {
    fn from(error: AccessError) -> Self {
        let status = match &error {
            AccessError::Store(error) => of_store(error),
            AccessError::Wrong | AccessError::Ticket => StatusCode::UNAUTHORIZED,
            AccessError::Often => StatusCode::TOO_MANY_REQUESTS,
            AccessError::Password(error) => usual(error.fault()),
            AccessError::Days | AccessError::NoName => StatusCode::BAD_REQUEST,
            AccessError::SignIn => StatusCode::UNAUTHORIZED,
            AccessError::Disabled { .. } => StatusCode::FORBIDDEN,
            AccessError::NameTaken { .. } => StatusCode::CONFLICT,
        };
        Self::of(&error, status)
    }
}

impl From<OidcError> for Refused {
    fn from(error: OidcError) -> Self {
        let status = match &error {
            OidcError::Code { .. } => StatusCode::UNAUTHORIZED,
            OidcError::NotAllowed { .. } => StatusCode::FORBIDDEN,
            OidcError::Setup(_)
            | OidcError::Unreachable { .. }
            | OidcError::Nonsense { .. }
            | OidcError::Unbelieved { .. } => usual(error.fault()),
        };
        Self::of(&error, status)
    }
}

impl From<kiln_access::PasswordError> for Refused {
    fn from(error: kiln_access::PasswordError) -> Self {
        Self::of(&error, usual(error.fault()))
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        let status = match denied {
            Denied::Unknown => StatusCode::UNAUTHORIZED,
            Denied::Forbidden | Denied::Scope => StatusCode::FORBIDDEN,
            Denied::Hidden => StatusCode::NOT_FOUND,
        };
        Self::of(&denied, status)
    }
}
