//! The HTTP clients, and what their errors mean.

use std::error::Error;
use std::sync::Arc;

use kiln_model::Foreign;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client};

use crate::reach::{NotPublic, PublicNames, names_a_private_address};
use crate::{FetchError, Options, PlaceFault};

/// Two clients that differ in one thing: where a redirect may lead.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    /// For what a digest vouches for: any mirror will do, over http too.
    pub(crate) verified: Client,
    /// For what nothing else vouches for: never from https to http.
    pub(crate) trusting: Client,
}

impl Clients {
    pub(crate) fn new(options: &Options) -> Result<Self, FetchError> {
        // The first provider of a process stays; a second attempt is no error worth telling.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self { verified: client(options, true)?, trusting: client(options, false)? })
    }
}

fn client(options: &Options, may_weaken: bool) -> Result<Client, FetchError> {
    let setup = |error: reqwest::Error| FetchError::Setup(innermost(&error));
    let mut authorities = Vec::new();
    for pem in &options.authorities {
        authorities.extend(Certificate::from_pem_bundle(pem).map_err(setup)?);
    }
    let (most, public_only) = (options.redirects, options.public_only);
    let follow = move |attempt: Attempt<'_>| match refuse(&attempt, most, may_weaken, public_only) {
        Some(why) => attempt.error(Refused(why)),
        None => attempt.follow(),
    };
    let mut builder = Client::builder()
        .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.stall_timeout)
        .referer(false)
        .redirect(Policy::custom(follow))
        .tls_certs_merge(authorities);
    if options.public_only {
        builder = builder.dns_resolver(Arc::new(PublicNames));
    }
    builder.build().map_err(setup)
}

/// A redirect that is not followed, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

fn refuse(
    attempt: &Attempt<'_>,
    most: usize,
    may_weaken: bool,
    public_only: bool,
) -> Option<String> {
    let (from, to) = (attempt.previous(), attempt.url());
    if from.len() > most {
        return Some(format!("more than {most} times"));
    }
    let weaker = from.last().is_some_and(|last| last.scheme() == "https") && to.scheme() != "https";
    if weaker && !may_weaken {
        return Some("from https to http, and nothing else vouches for these bytes".to_owned());
    }
    if !to.username().is_empty() || to.password().is_some() {
        return Some("to an address that names a user".to_owned());
    }
    (public_only && names_a_private_address(to))
        .then(|| "to an address that is not of the public internet".to_owned())
}

/// What a failed request says about the place.
pub(crate) fn fault_of(error: &reqwest::Error, options: &Options) -> PlaceFault {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(Refused(why)) = cause.downcast_ref() {
            return PlaceFault::Redirect(Foreign::new(why));
        }
        if cause.is::<NotPublic>() {
            return PlaceFault::Private;
        }
        next = cause.source();
    }
    if error.is_timeout() {
        let patience =
            if error.is_connect() { options.connect_timeout } else { options.stall_timeout };
        return PlaceFault::Slow(patience.as_secs());
    }
    PlaceFault::Connection(Foreign::new(&innermost(error)))
}

/// The cause that no other stands behind: 'connection refused', not 'error sending request'.
fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn Error = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    inner.to_string()
}
