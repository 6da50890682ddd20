//! The service's first client: what is asked of it over `/api/v1`.

pub(crate) mod accounts;
pub(crate) mod again;
pub(crate) mod builds;
pub(crate) mod hooks;
pub(crate) mod operating;
pub(crate) mod projects;
pub(crate) mod repos;
pub(crate) mod sbom;
pub(crate) mod servers;
mod settings;
pub(crate) mod submit;
pub(crate) mod sweep;
pub(crate) mod workers;

use std::error::Error;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use kiln_model::{Fault, Foreign, Report};
use kiln_wire::refusal::Refusal;
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::failure::{Failure, doing};

use servers::Servers;

/// After how many milliseconds something is asked again of a service that was not heard.
const AGAIN: [u64; 4] = [200, 500, 1500, 4000];

/// How long a service is waited with in all that is asked too often.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whom a service is believed by, besides those whom this host believes.
static AUTHORITIES: OnceLock<Vec<u8>> = OnceLock::new();

/// Believes services by the authorities of a file, from now on.
pub(crate) fn believe(file: &Path) -> Result<(), Failure> {
    let read = std::fs::read(file).map_err(doing(format!("reading {}", file.display())))?;
    // Said once, at the start.
    let _ = AUTHORITIES.set(read);
    Ok(())
}

/// The certificates of those authorities, PEM; nothing where none were named.
pub(crate) fn authorities() -> &'static [u8] {
    AUTHORITIES.get().map_or(&[], Vec::as_slice)
}

/// A service, as somebody who is signed in to it.
pub(crate) struct Client {
    runtime: Runtime,
    http: reqwest::Client,
    /// Its address, without a slash at the end.
    pub(crate) server: String,
    token: Option<String>,
}

impl Client {
    /// The service that `KILN_SERVER` names, or that one signed in to last.
    pub(crate) fn find() -> Result<Self, Failure> {
        let servers = Servers::load()?;
        let server = std::env::var("KILN_SERVER").ok().filter(|text| !text.is_empty());
        let Some(server) = server.or(servers.last.clone()) else {
            let hint =
                "sign in to one with 'kiln login URL', or build on this machine with --local";
            return Err(Failure::caller("this kiln knows no server", Some(hint.to_owned())));
        };
        let token = std::env::var("KILN_TOKEN").ok().filter(|text| !text.is_empty());
        let token = token.or_else(|| servers.token(&server));
        Self::new(&server, token)
    }

    pub(crate) fn new(server: &str, token: Option<String>) -> Result<Self, Failure> {
        // The first provider of a process stays; a second attempt is no error worth telling.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = server.trim_end_matches('/').to_owned();
        if !server.starts_with("https://") && !server.starts_with("http://") {
            let error = format!("{} is not the address of a service", Foreign::new(&server));
            let hint = "as https://kiln.example.org".to_owned();
            return Err(Failure::caller(error, Some(hint)));
        }
        let authorities = reqwest::Certificate::from_pem_bundle(authorities());
        let authorities = authorities.map_err(|error| unreachable(&server, &error))?;
        let http = reqwest::Client::builder()
            .tls_certs_merge(authorities)
            .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| unreachable(&server, &error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(doing("starting the runtime"))?;
        Ok(Self { runtime, http, server, token })
    }

    /// What is at a path.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.message(self.request(Method::GET, path))
    }

    /// What comes of saying something.
    pub(crate) fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T, Failure> {
        self.message(self.request(method, path).json(message))
    }

    /// As [`Client::send`], of something that is to be done once: where no answer is heard, it is
    /// asked again by the same key.
    pub(crate) fn send_once<T: DeserializeOwned>(
        &self,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T, Failure> {
        let key = kiln_access::Secret::new("request");
        let mut pauses = AGAIN.iter();
        loop {
            let request = self.request(Method::POST, path).json(message);
            let answer = self.message(request.header("idempotency-key", key.text()));
            match (answer, pauses.next()) {
                (Err(Failure(report)), Some(pause)) if report.fault == Fault::Host => {
                    std::thread::sleep(Duration::from_millis(*pause));
                }
                (answer, _) => return answer,
            }
        }
    }

    /// Something to which there is no answer.
    pub(crate) fn tell(
        &self,
        method: Method,
        path: &str,
        message: Option<&impl Serialize>,
    ) -> Result<(), Failure> {
        let request = self.request(method, path);
        let request = match message {
            Some(message) => request.json(message),
            None => request,
        };
        self.runtime.block_on(self.respond(request)).map(drop)
    }

    /// Sends bytes; what comes of it.
    pub(crate) fn put<T: DeserializeOwned>(&self, path: &str, body: Body) -> Result<T, Failure> {
        self.message(self.request(Method::PUT, path).body(body))
    }

    /// Hands what is at a path over piece by piece, as it comes.
    pub(crate) fn read(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let mut response = self.respond(self.request(Method::GET, path)).await?;
            loop {
                match response.chunk().await {
                    Ok(Some(piece)) => take(&piece)?,
                    Ok(None) => return Ok(()),
                    Err(error) => return Err(unreachable(&self.server, &error)),
                }
            }
        })
    }

    /// What is at a path, of at most so many bytes.
    pub(crate) fn bytes(&self, path: &str, cap: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        self.read(path, |piece| {
            bytes.extend_from_slice(piece);
            match bytes.len() <= cap {
                true => Ok(()),
                false => Err(nonsense(&self.server)),
            }
        })?;
        Ok(bytes)
    }

    /// Runs something that this client's requests are a part of.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.server));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn message<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        self.runtime.block_on(async {
            let response = self.respond(request).await?;
            let bytes = response.bytes().await;
            let bytes = bytes.map_err(|error| unreachable(&self.server, &error))?;
            serde_json::from_slice(&bytes).map_err(|error| {
                let mut failure = nonsense(&self.server);
                failure.0.causes.push(error.to_string());
                failure
            })
        })
    }

    /// The answer; where the service is asked too often, after as long as it says.
    async fn respond(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let mut next = Some(request);
        let mut patience = PATIENCE;
        loop {
            // What is made up as it is sent cannot be sent again: whoever made it tries again.
            let request = next.take().expect("there is one, or it was the last");
            next = request.try_clone();
            let sent = request.send().await;
            let response = sent.map_err(|error| unreachable(&self.server, &error))?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let pause = pause_of(&response).filter(|pause| *pause <= patience);
            let bytes = response.bytes().await.unwrap_or_default();
            let mut failure = refusal(&self.server, status, &bytes);
            let Some(pause) = pause else { return Err(failure) };
            patience -= pause;
            tokio::time::sleep(pause).await;
            if next.is_none() {
                failure.0.fault = Fault::Host;
                return Err(failure);
            }
        }
    }
}

/// How long a service that is asked too often wants to be left alone (RFC 9110, section 10.2.3).
fn pause_of(response: &Response) -> Option<Duration> {
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let said = response.headers().get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(said.parse().ok()?))
}

/// What the service says of a refusal.
fn refusal(server: &str, status: StatusCode, bytes: &[u8]) -> Failure {
    match serde_json::from_slice::<Refusal>(bytes) {
        Ok(refusal) => Failure(refusal.report()),
        Err(_) => {
            let mut failure = nonsense(server);
            failure.0.causes.push(format!("it answered {status}"));
            failure
        }
    }
}

fn nonsense(server: &str) -> Failure {
    let error = format!("{server} answered something that is not kiln's");
    let hint = "is that the address of a kiln, and of this version?".to_owned();
    Failure(Report { fault: Fault::Host, error, causes: Vec::new(), hint: Some(hint) })
}

fn unreachable(server: &str, error: &reqwest::Error) -> Failure {
    let mut inner: &dyn Error = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    let hint = "is it up, and is its address right?".to_owned();
    Failure(Report {
        fault: Fault::Host,
        error: format!("{server} cannot be reached"),
        causes: vec![inner.to_string()],
        hint: Some(hint),
    })
}

/// Prints a list for machines, or a table for people.
pub(crate) fn print<T: Serialize>(json: bool, items: &T, rows: impl FnOnce() -> Vec<Vec<String>>) {
    if json {
        let text = serde_json::to_string_pretty(items);
        println!("{}", text.expect("types of our own always serialise"));
        return;
    }
    let rows = rows();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

/// A moment, given in milliseconds since 1970, as people say it: how long ago it was.
pub(crate) fn ago(at: i64) -> String {
    let seconds = ((crate::control::now() - at) / 1000).max(0);
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
