//! Requests, each of them timed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::meter::Meter;

/// The longest that an answer may take: more than the longest question waits.
const PATIENCE: Duration = Duration::from_secs(120);

/// The way to the service of somebody who has a secret.
#[derive(Clone)]
pub(crate) struct Line {
    client: Client,
    server: Arc<str>,
    secret: Arc<str>,
    meter: Arc<Meter>,
}

impl Line {
    pub(crate) fn new(server: &str, meter: Arc<Meter>) -> Result<Self> {
        // The first provider of a process stays; nothing here speaks TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { client, server: server.into(), secret: "".into(), meter })
    }

    /// The same way, for who has that secret.
    pub(crate) fn of(&self, secret: &str) -> Self {
        Self { secret: secret.into(), ..self.clone() }
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Says something as JSON, and reads the answer as such.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T> {
        let body = serde_json::to_vec(message)?;
        let answer = self.send(what, Method::POST, path, body).await?;
        read(what, &answer)
    }

    /// Reads something as JSON.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
    ) -> Result<T> {
        read(what, &self.send(what, Method::GET, path, Vec::new()).await?)
    }

    /// Sends bytes; whatever the answer is, as long as it is a good one.
    pub(crate) async fn send(
        &self,
        what: &'static str,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>> {
        let began = Instant::now();
        let answer = self.quietly(method, path, body).await.with_context(|| what.to_owned())?;
        self.meter.note(what, began.elapsed());
        Ok(answer)
    }

    /// As [`Line::send`], not noted: for questions that wait by themselves.
    pub(crate) async fn quietly(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>> {
        let request = self
            .client
            .request(method, format!("{}{path}", self.server))
            .bearer_auth(&self.secret)
            .header("content-type", "application/json")
            .body(body);
        let response = request.send().await?;
        let status = response.status();
        let bytes = response.bytes().await?;
        if !status.is_success() {
            bail!("{path}: {status}: {}", String::from_utf8_lossy(&bytes));
        }
        Ok(bytes.to_vec())
    }
}

pub(crate) fn read<T: DeserializeOwned>(what: &str, answer: &[u8]) -> Result<T> {
    serde_json::from_slice(answer)
        .with_context(|| format!("{what}: {}", String::from_utf8_lossy(answer)))
}
