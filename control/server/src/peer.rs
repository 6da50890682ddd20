//! Who is at the other end: the address that a connection comes from or, where that is a proxy's
//! which the operator named, the one that the proxy says it comes from.
//!
//! Anybody can write `X-Forwarded-For`, and each proxy adds to what is there: the list is read from
//! its end, and the first address that is no proxy's is whom one of ours spoke to. `Forwarded`
//! (RFC 7239) is not read: a proxy that writes one of the two passes on what a stranger wrote into
//! the other.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use kiln_model::Foreign;

use crate::plain::PlainListener;
use crate::service::App;
use crate::tls::TlsListener;

/// What is noted of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Connection(IpAddr);

impl From<IpAddr> for Connection {
    /// From that address.
    fn from(address: IpAddr) -> Self {
        Self(address)
    }
}

impl Connected<IncomingStream<'_, PlainListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, PlainListener>) -> Self {
        Self(stream.remote_addr().ip())
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(stream.remote_addr().ip())
    }
}

/// Addresses with the same beginning: `10.0.0.0/8`, `2001:db8::/32`, or one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    /// How many bits are the same.
    bits: u32,
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an address, nor a network as 10.0.0.0/8: {0}")]
pub struct NetworkError(Foreign);

/// The other end of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its address; nothing where nobody listens, as in tests.
    pub(crate) address: Option<IpAddr>,
    /// Whether it spoke TLS to a proxy of ours.
    pub(crate) is_secure: bool,
}

impl Peer {
    /// For the audit log.
    pub(crate) fn said(&self) -> String {
        self.address.map_or(String::new(), |address| format!("from {address}"))
    }

    /// Whose requests are counted together: with IPv6, who has one address has all of its /64.
    pub(crate) fn house(&self) -> Option<IpAddr> {
        self.address.map(|address| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        })
    }
}

/// Notes who is at the other end, for all that comes after.
pub(crate) async fn peer(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<ConnectInfo<Connection>>();
    let address = connection.map(|ConnectInfo(Connection(address))| address.to_canonical());
    let peer = behind(&app.settings.proxies, address, request.headers());
    request.extensions_mut().insert(peer);
    next.run(request).await
}

fn behind(proxies: &[Network], address: Option<IpAddr>, headers: &HeaderMap) -> Peer {
    let is_proxy = |address: &IpAddr| proxies.iter().any(|proxy| proxy.has(*address));
    let Some(nearest) = address.filter(is_proxy) else {
        return Peer { address, is_secure: false };
    };
    let mut address = nearest;
    for said in all_of(headers, "x-forwarded-for").into_iter().rev() {
        // What is no address was not written by one of ours: whoever wrote it is the last known.
        let Ok(before) = said.parse::<IpAddr>() else { break };
        address = before.to_canonical();
        if !is_proxy(&address) {
            break;
        }
    }
    let scheme = all_of(headers, "x-forwarded-proto").pop();
    Peer { address: Some(address), is_secure: scheme == Some("https") }
}

/// The words of a header that may stand there several times.
fn all_of<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty()).collect()
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let differ = base.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= self.bits
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differ = base.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(Foreign::new(text));
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { base, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(rows: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in rows {
            headers.append(*name, value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn only_a_proxy_that_the_operator_named_is_believed_and_the_list_from_its_end() {
        let named = ["10.0.0.0/8", "fd00::/8", "192.0.2.1"];
        let named: Vec<Network> = named.map(|text| text.parse().expect(text)).to_vec();
        for (from, forwarded, address) in [
            ("198.51.100.7", "1.1.1.1", "198.51.100.7"),
            ("192.0.2.2", "1.1.1.1", "192.0.2.2"),
            ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
            ("192.0.2.1", "1.1.1.1", "1.1.1.1"),
            ("fd00::1", "2001:db8::7", "2001:db8::7"),
            ("10.0.0.1", "::ffff:1.1.1.1", "1.1.1.1"),
            // A stranger wrote the first: the proxy added whom it saw.
            ("10.0.0.1", "127.0.0.1, 203.0.113.5", "203.0.113.5"),
            ("10.0.0.1", "1.1.1.1, 10.2.3.4", "1.1.1.1"),
            ("10.0.0.1", "10.9.9.9, 10.2.3.4", "10.9.9.9"),
            ("10.0.0.1", "1.1.1.1, nonsense, 10.2.3.4", "10.2.3.4"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
            ("10.0.0.1", "", "10.0.0.1"),
        ] {
            let from = Some(from.parse().expect(from));
            let peer = behind(&named, from, &headers(&[("x-forwarded-for", forwarded)]));
            assert_eq!(peer.address, Some(address.parse().expect(address)), "{forwarded}");
        }
        let proxy = Some("10.0.0.1".parse().expect("an address"));
        let two = headers(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")]);
        assert_eq!(behind(&named, proxy, &two).address, "2.2.2.2".parse().ok());
        assert_eq!(behind(&[], proxy, &two).address, proxy, "none is named");
        assert_eq!(behind(&named, None, &two).address, None);
    }

    #[test]
    fn tls_before_a_proxy_is_believed_of_a_proxy_alone() {
        let named = ["10.0.0.1".parse().expect("an address")];
        let at = |text: &str| Some(text.parse().expect(text));
        let https = headers(&[("x-forwarded-proto", "https")]);
        assert!(behind(&named, at("10.0.0.1"), &https).is_secure);
        assert!(!behind(&named, at("10.0.0.2"), &https).is_secure);
        let last = headers(&[("x-forwarded-proto", "https, http")]);
        assert!(!behind(&named, at("10.0.0.1"), &last).is_secure, "the nearest says http");
    }

    #[test]
    fn networks_are_read_and_wrong_ones_are_not() {
        let has = |network: &str, address: &str| {
            let network: Network = network.parse().expect(network);
            network.has(address.parse().expect(address))
        };
        assert!(has("0.0.0.0/0", "8.8.8.8") && has("::/0", "::1") && has("::1", "::1"));
        assert!(has("10.1.0.0/16", "10.1.255.255") && !has("10.1.0.0/16", "10.2.0.0"));
        assert!(!has("0.0.0.0/0", "::1") && !has("127.0.0.1", "127.0.0.2"));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "proxy", "10.0.0.0/-1"]
        {
            assert!(wrong.parse::<Network>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn with_ipv6_a_house_is_one_network() {
        let peer = |text: &str| Peer { address: text.parse().ok(), is_secure: false };
        assert_eq!(peer("2001:db8:1:2:3:4:5:6").house(), peer("2001:db8:1:2::9").house());
        assert_ne!(peer("2001:db8:1:2::1").house(), peer("2001:db8:1:3::1").house());
        assert_ne!(peer("192.0.2.1").house(), peer("192.0.2.2").house());
    }
}
