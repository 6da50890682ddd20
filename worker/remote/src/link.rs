//! The connection to the service.

use std::error::Error;
use std::io::{SeekFrom, Write as _};
use std::time::Duration;

use kiln_cas::{Cas, CasError};
use kiln_model::{Digest, Fault, Faulty, Foreign, LeaseKey, Report};
use kiln_wire::refusal::Refusal;
use kiln_wire::worker::{Enrol, Enrolled, LeaseAnswer, LeaseRequest, Renew, Renewed};
use opentelemetry::global;
use opentelemetry_http::HeaderInjector;
use reqwest::header::HeaderMap;
use reqwest::{Body, Client, Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncSeekExt as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// For how long something is tried again while the service cannot be reached: as long as a lease
/// lives without a word.
const PATIENCE: Duration = Duration::from_secs(240);

/// The longest pause between two tries.
const PAUSE: Duration = Duration::from_secs(5);

/// The most bytes of an answer that is a message.
const ANSWER_CAP: usize = 128 << 20;

/// The way to a service, with what lets this worker in.
#[derive(Clone)]
pub struct Link {
    client: Client,
    server: String,
    credential: String,
}

/// Why the service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It said no.
    #[error("{}", .0.error)]
    Refused(Report, u16),
    /// It could not be reached.
    #[error("reaching {server}: {why}")]
    Network {
        /// Where.
        server: String,
        /// Why not.
        why: Foreign,
    },
    /// It answered something that is no answer.
    #[error("{server} answered something that is not kiln's: {why}")]
    Nonsense {
        /// Where.
        server: String,
        /// What was wrong with it.
        why: Foreign,
    },
    /// The worker's own store refused.
    #[error(transparent)]
    Cas(#[from] CasError),
}

impl Faulty for LinkError {
    fn fault(&self) -> Fault {
        match self {
            Self::Refused(report, _) => report.fault,
            Self::Network { .. } | Self::Nonsense { .. } => Fault::Host,
            Self::Cas(error) => error.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(report, _) => report.hint.clone(),
            Self::Network { .. } => Some("is it up, and is its address right?".to_owned()),
            Self::Nonsense { .. } => Some("is that the address of a kiln?".to_owned()),
            Self::Cas(error) => error.hint(),
        }
    }
}

impl LinkError {
    /// As it is told; what the service said keeps its causes.
    pub(crate) fn report(&self) -> Report {
        match self {
            Self::Refused(report, _) => report.clone(),
            other => Report::of(other),
        }
    }

    /// Whether the lease is not, or not any more, this worker's.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self, Self::Refused(_, status) if *status == StatusCode::CONFLICT.as_u16())
    }

    /// Whether asking again may do better.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Network { .. } => true,
            Self::Refused(_, status) => matches!(*status, 502..=504),
            Self::Nonsense { .. } | Self::Cas(_) => false,
        }
    }
}

/// How far an upload is.
#[derive(Deserialize)]
struct Upload {
    have: u64,
    is_whole: bool,
}

impl Link {
    /// The way to `server`, as `https://kiln.example.org`, for who shows that credential.
    /// `authorities` are certificates (PEM) of those by whom it is believed, besides those whom
    /// this host believes.
    pub fn new(server: &str, credential: &str, authorities: &[u8]) -> Result<Self, LinkError> {
        // The first provider of a process stays; a second attempt is no error worth telling.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = server.trim_end_matches('/').to_owned();
        let authorities = reqwest::Certificate::from_pem_bundle(authorities)
            .map_err(|error| network(&server, &error))?;
        let client = Client::builder()
            .tls_certs_merge(authorities)
            .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            // The service answers a long question within half a minute.
            .read_timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| network(&server, &error))?;
        Ok(Self { client, server, credential: credential.to_owned() })
    }

    /// Becomes a worker, by a one-time right.
    pub async fn enrol(
        server: &str,
        enrol: &Enrol,
        authorities: &[u8],
    ) -> Result<Enrolled, LinkError> {
        Self::new(server, "", authorities)?.ask("/worker/v1/enrol", enrol).await
    }

    /// Asks for something to do: waits for up to half a minute.
    pub(crate) async fn lease(&self, request: &LeaseRequest) -> Result<LeaseAnswer, LinkError> {
        self.ask("/worker/v1/lease", request).await
    }

    /// Says that this worker is still at its leases: waits until one is lost.
    pub(crate) async fn renew(&self, keys: Vec<LeaseKey>) -> Result<Renewed, LinkError> {
        self.ask("/worker/v1/renew", &Renew { keys }).await
    }

    /// Asks something whose answer is a message, once.
    pub(crate) async fn ask<B: DeserializeOwned>(
        &self,
        path: &str,
        message: &impl Serialize,
    ) -> Result<B, LinkError> {
        let body = serde_json::to_vec(message).expect("types of our own always serialise");
        let response = self.send(Method::POST, path, body.into()).await?;
        self.message(response).await
    }

    /// As [`Link::ask`], again and again while the service cannot be reached.
    pub(crate) async fn insist<B: DeserializeOwned>(
        &self,
        path: &str,
        message: &impl Serialize,
    ) -> Result<B, LinkError> {
        self.again(|| self.ask(path, message)).await
    }

    /// Says something to which there is no answer, again and again while the service cannot be
    /// reached.
    pub(crate) async fn tell(&self, path: &str, message: &impl Serialize) -> Result<(), LinkError> {
        let body = serde_json::to_vec(message).expect("types of our own always serialise");
        self.tell_bytes(path, &body).await
    }

    /// As [`Link::tell`], of bytes.
    pub(crate) async fn tell_bytes(&self, path: &str, bytes: &[u8]) -> Result<(), LinkError> {
        let say = || self.send(Method::POST, path, bytes.to_vec().into());
        self.again(say).await.map(drop)
    }

    /// Fetches a blob that a lease names into the store, where it isn't there. What arrived stays
    /// when the connection breaks.
    pub(crate) async fn fetch(
        &self,
        cas: &Cas,
        key: LeaseKey,
        digest: &Digest,
        size: u64,
    ) -> Result<(), LinkError> {
        if cas.has(digest) {
            return Ok(());
        }
        self.again(|| self.fetch_once(cas, key, digest, size)).await
    }

    async fn fetch_once(
        &self,
        cas: &Cas,
        key: LeaseKey,
        digest: &Digest,
        size: u64,
    ) -> Result<(), LinkError> {
        let path = format!("/worker/v1/jobs/{}/{}/blobs/{digest}", key.job, key.epoch.0);
        let response = self.send(Method::GET, &path, Body::default()).await?;
        let (cas, digest) = (cas.clone(), *digest);
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(16);
        let write = move || -> Result<(), CasError> {
            let Some(mut partial) = cas.download(&digest, size)? else { return Ok(()) };
            partial.restart()?;
            while let Some(piece) = receiver.blocking_recv() {
                partial.write_all(&piece).map_err(|source| CasError::Io {
                    doing: "writing",
                    path: cas.path(&digest),
                    source,
                })?;
            }
            partial.finish()
        };
        let written = tokio::task::spawn_blocking(write);
        let mut response = response;
        loop {
            match response.chunk().await {
                Ok(Some(piece)) => {
                    if sender.send(piece.to_vec()).await.is_err() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => return Err(network(&self.server, &error)),
            }
        }
        drop(sender);
        Ok(written.await.map_err(|error| self.nonsense(&error.to_string()))??)
    }

    /// Hands a blob of the store over; only what the service lacks is sent.
    pub(crate) async fn deliver(
        &self,
        cas: &Cas,
        key: LeaseKey,
        digest: &Digest,
        size: u64,
    ) -> Result<(), LinkError> {
        self.again(|| self.deliver_once(cas, key, digest, size)).await
    }

    async fn deliver_once(
        &self,
        cas: &Cas,
        key: LeaseKey,
        digest: &Digest,
        size: u64,
    ) -> Result<(), LinkError> {
        let LeaseKey { job, epoch } = key;
        let path = |offset: u64| {
            let place = format!("/worker/v1/jobs/{job}/{}/artifacts/{digest}/{size}", epoch.0);
            format!("{place}?offset={offset}")
        };
        let response = self.send(Method::PUT, &path(0), Body::default()).await?;
        let have: Upload = self.message(response).await?;
        if have.is_whole {
            return Ok(());
        }
        let wrong = |source| CasError::Io { doing: "reading", path: cas.path(digest), source };
        let mut file = tokio::fs::File::open(cas.path(digest)).await.map_err(wrong)?;
        file.seek(SeekFrom::Start(have.have)).await.map_err(wrong)?;
        let body = Body::wrap_stream(tokio_util::io::ReaderStream::new(file));
        let response = self.send(Method::PUT, &path(have.have), body).await?;
        let have: Upload = self.message(response).await?;
        if have.is_whole { Ok(()) } else { Err(self.nonsense("it lost a part of an artifact")) }
    }

    async fn send(&self, method: Method, path: &str, body: Body) -> Result<Response, LinkError> {
        let url = format!("{}{path}", self.server);
        let request = self
            .client
            .request(method, url)
            .bearer_auth(&self.credential)
            .header("content-type", "application/json")
            .headers(traced())
            .body(body);
        let response = request.send().await.map_err(|error| network(&self.server, &error))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(self.refusal(status, response).await),
        }
    }

    async fn message<B: DeserializeOwned>(&self, mut response: Response) -> Result<B, LinkError> {
        let mut bytes = Vec::new();
        while let Some(piece) =
            response.chunk().await.map_err(|error| network(&self.server, &error))?
        {
            bytes.extend_from_slice(&piece);
            if bytes.len() > ANSWER_CAP {
                return Err(self.nonsense("it is endless"));
            }
        }
        serde_json::from_slice(&bytes).map_err(|error| self.nonsense(&error.to_string()))
    }

    async fn refusal(&self, status: StatusCode, response: Response) -> LinkError {
        match self.message::<Refusal>(response).await {
            Ok(refusal) => LinkError::Refused(refusal.report(), status.as_u16()),
            Err(_) if status.is_server_error() => LinkError::Network {
                server: self.server.clone(),
                why: Foreign::new(&status.to_string()),
            },
            Err(error) => error,
        }
    }

    /// Tries again while it is the network that fails, with longer and longer pauses.
    async fn again<T, F: Future<Output = Result<T, LinkError>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, LinkError> {
        let until = tokio::time::Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(50);
        loop {
            match attempt().await {
                Err(error) if error.is_passing() && tokio::time::Instant::now() < until => {
                    tracing::warn!(%error, "trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE);
                }
                result => return result,
            }
        }
    }

    fn nonsense(&self, why: &str) -> LinkError {
        LinkError::Nonsense { server: self.server.clone(), why: Foreign::new(why) }
    }
}

/// Where in a trace this request belongs (W3C Trace Context), if traces go anywhere.
fn traced() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let context = tracing::Span::current().context();
    let mut into = HeaderInjector(&mut headers);
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut into));
    headers
}

fn network(server: &str, error: &reqwest::Error) -> LinkError {
    let mut inner: &dyn Error = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    LinkError::Network { server: server.to_owned(), why: Foreign::new(&inner.to_string()) }
}
