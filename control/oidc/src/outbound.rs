//! The requests that are made to a provider: to its own host wherever that is, since an operator
//! named it, and to others only over TLS in the public internet. A provider's document says where
//! keys are and codes are exchanged, and must not lead a server to its neighbours.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kiln_fetch::{PublicNames, names_a_private_address};
use kiln_model::{Outlet, Outlets, Permit};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse, http};
use reqwest::{Certificate, Client, Url};

use crate::OidcError;

/// How long a provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of an answer.
const CAP: usize = 1 << 20;

/// Makes requests to one provider.
pub(crate) struct Outbound {
    issuer: Outlet,
    outlets: Outlets,
    /// Speaks to the provider's own host.
    any: Client,
    /// Speaks to the public internet alone.
    public: Client,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("{0} is neither the provider's own host nor one of the public internet over TLS")]
    Forbidden(String),
    #[error("no answer")]
    Network(#[source] reqwest::Error),
    #[error("an answer of more than {CAP} bytes")]
    Long,
    #[error("a request that cannot be made")]
    Request,
}

impl Outbound {
    pub(crate) fn new(issuer: &str, authorities: &[u8]) -> Result<Self, OidcError> {
        // The first provider of a process stays; a second attempt is no error worth telling.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let setup = |error: &dyn std::fmt::Display| OidcError::Setup(error.to_string());
        let authorities = Certificate::from_pem_bundle(authorities).map_err(|it| setup(&it))?;
        let client = || {
            Client::builder()
                .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
                .timeout(PATIENCE)
                // Where it leads to, nobody has allowed.
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .tls_certs_merge(authorities.clone())
        };
        let any = client().build().map_err(|it| setup(&it))?;
        let public = client().dns_resolver(Arc::new(PublicNames)).build();
        let public = public.map_err(|it| setup(&it))?;
        let url: Url = issuer.parse().map_err(|_| setup(&"the issuer is not an address"))?;
        let issuer = outlet_of(&url).ok_or_else(|| setup(&"the issuer is not an address"))?;
        let mut outlets = Outlets::public();
        outlets.0.push(issuer.clone());
        Ok(Self { issuer, outlets, any, public })
    }

    /// Whether browsers may be sent there.
    pub(crate) fn may_lead_to(&self, url: &Url) -> bool {
        url.scheme() == "https" || outlet_of(url).is_some_and(|outlet| outlet == self.issuer)
    }

    /// By which client that may be spoken to, if it may be.
    fn client_for(&self, url: &Url) -> Result<&Client, Lost> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(0);
        let is_web = matches!(url.scheme(), "http" | "https");
        match self.outlets.permit(url.scheme() == "http", host, port) {
            Permit::Any if is_web => Ok(&self.any),
            Permit::Public if is_web && !names_a_private_address(url) => Ok(&self.public),
            Permit::Any | Permit::Public | Permit::No => Err(Lost::Forbidden(host.to_owned())),
        }
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Lost> {
        let request = reqwest::Request::try_from(request).map_err(|_| Lost::Request)?;
        let client = self.client_for(request.url())?;
        let network = |error: reqwest::Error| Lost::Network(error.without_url());
        let mut response = client.execute(request).await.map_err(network)?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(network)? {
            if body.len() + piece.len() > CAP {
                return Err(Lost::Long);
            }
            body.extend_from_slice(&piece);
        }
        let mut answer = http::Response::new(body);
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        Ok(answer)
    }
}

impl<'c> AsyncHttpClient<'c> for Outbound {
    type Error = Lost;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Lost>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// The very host, port and scheme of an address.
fn outlet_of(url: &Url) -> Option<Outlet> {
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    format!("{}://{host}:{port}", url.scheme()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_document_leads_to_its_own_host_or_over_tls_to_the_public_and_nowhere_else() {
        let outbound = |issuer| Outbound::new(issuer, b"").expect("clients");
        let (near, far) = (outbound("http://127.0.0.1:8080/realm"), outbound("https://id.corp"));
        for (outbound, url, may) in [
            (&near, "http://127.0.0.1:8080/token", true),
            (&near, "https://keys.example.org/jwks", true),
            (&near, "http://127.0.0.1:8081/token", false),
            (&near, "https://127.0.0.1:8080/token", false),
            (&near, "https://10.0.0.1/token", false),
            (&near, "https://[::1]/token", false),
            (&near, "http://keys.example.org/jwks", false),
            (&near, "http://169.254.169.254/latest/meta-data", false),
            (&near, "ftp://127.0.0.1:8080/token", false),
            (&far, "https://id.corp/token", true),
            (&far, "http://id.corp/token", false),
            (&far, "https://id.corp:8443/token", false),
        ] {
            let url: Url = url.parse().expect(url);
            assert_eq!(outbound.client_for(&url).is_ok(), may, "{url}");
        }
        for (outbound, url, may) in [
            (&near, "http://127.0.0.1:8080/auth", true),
            (&near, "https://login.corp:8443/auth", true),
            (&near, "http://127.0.0.1:8081/auth", false),
            (&far, "http://id.corp/auth", false),
            (&far, "javascript:alert(1)", false),
        ] {
            let url: Url = url.parse().expect(url);
            assert_eq!(outbound.may_lead_to(&url), may, "{url}");
        }
        for wrong in ["", "id.example.org", "file:///etc/passwd"] {
            assert!(Outbound::new(wrong, b"").is_err(), "{wrong:?}");
        }
    }
}
