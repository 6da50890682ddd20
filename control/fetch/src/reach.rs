//! Which addresses may be asked where only the public internet may be.

use std::net::{IpAddr, SocketAddr};

use kiln_model::is_public;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names to public addresses alone, so that no name leads to a machine inside: the
/// connection is made to the very addresses that are checked here.
#[derive(Debug)]
pub struct PublicNames;

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// A name that leads nowhere in the public internet.
#[derive(Debug, thiserror::Error)]
#[error("not an address of the public internet")]
pub(crate) struct NotPublic;

/// Whether the address stands in the URL itself and is not a public one: no name is resolved
/// then, so nothing else would notice.
pub fn names_a_private_address(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok_and(|address| !is_public(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_url_is_seen_however_it_is_written() {
        for text in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]:80/",
            "http://[::ffff:169.254.169.254]/",
            "http://017700000001/",
        ] {
            let url = Url::parse(text).expect(text);
            assert!(names_a_private_address(&url), "{text}");
        }
        assert!(!names_a_private_address(&Url::parse("https://example.org/").expect("a URL")));
    }
}
