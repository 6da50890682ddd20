//! Where a jail that fetches sources may speak to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Foreign;

/// One host, or several, that sources may be fetched from: `git.example.org`,
/// `*.example.org:8443`, `http://127.0.0.1:8080`, or `*` for every host of the public internet.
///
/// A host that is named may be a machine inside; `*` never reaches one. TLS is asked for where
/// `http://` doesn't stand before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlet {
    is_plain: bool,
    /// In lower case; `*` or `*.` at the beginning for several.
    host: String,
    port: u16,
}

/// Why a text is not an outlet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a host that sources may be fetched from: {0}")]
pub struct OutletError(Foreign);

/// Every outlet that there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outlets(pub Vec<Outlet>);

/// Whether a host may be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permit {
    /// It may not.
    No,
    /// If its address is one of the public internet.
    Public,
    /// Wherever it is.
    Any,
}

impl Outlets {
    /// Every host of the public internet, over TLS.
    pub fn public() -> Self {
        Self(vec![Outlet { is_plain: false, host: "*".to_owned(), port: 443 }])
    }

    /// Whether a host may be spoken to at that port, with TLS or without.
    pub fn permit(&self, is_plain: bool, host: &str, port: u16) -> Permit {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        let permits = self.0.iter().map(|outlet| outlet.permit(is_plain, &host, port));
        permits.max().unwrap_or(Permit::No)
    }

    /// Whether anything may be spoken to without TLS.
    pub fn has_plain(&self) -> bool {
        self.0.iter().any(|outlet| outlet.is_plain)
    }
}

impl Outlet {
    fn permit(&self, is_plain: bool, host: &str, port: u16) -> Permit {
        if self.is_plain != is_plain || self.port != port {
            return Permit::No;
        }
        if self.host == "*" {
            return Permit::Public;
        }
        let is_it = match self.host.strip_prefix('*') {
            Some(domain) => host.len() > domain.len() && host.ends_with(domain),
            None => self.host == host,
        };
        if is_it { Permit::Any } else { Permit::No }
    }
}

impl FromStr for Outlet {
    type Err = OutletError;

    fn from_str(text: &str) -> Result<Self, OutletError> {
        let wrong = || OutletError(Foreign::new(text));
        let (is_plain, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => (false, text),
        };
        let usual = if is_plain { 80 } else { 443 };
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
                (host, rest.strip_prefix(':'))
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = port.map_or(Ok(usual), str::parse).map_err(|_| wrong())?;
        let bare = host.strip_prefix("*.").unwrap_or(host);
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let is_fine = host == "*" || !bare.is_empty() && bare.chars().all(is_name);
        if !is_fine || host.len() > 255 || port == 0 {
            return Err(wrong());
        }
        Ok(Self { is_plain, host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_plain, host, port } = self;
        let scheme = if *is_plain { "http" } else { "https" };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

impl Serialize for Outlet {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Outlet {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlets(texts: &[&str]) -> Outlets {
        Outlets(texts.iter().map(|text| text.parse().expect(text)).collect())
    }

    #[test]
    fn only_what_is_named_may_be_spoken_to() {
        let all = outlets(&["git.example.org", "*.corp.example:8443", "http://127.0.0.1:8080"]);
        for (is_plain, host, port, permit) in [
            (false, "git.example.org", 443, Permit::Any),
            (false, "GIT.example.org", 443, Permit::Any),
            (true, "git.example.org", 443, Permit::No),
            (false, "git.example.org", 8443, Permit::No),
            (false, "xgit.example.org", 443, Permit::No),
            (false, "a.corp.example", 8443, Permit::Any),
            (false, "corp.example", 8443, Permit::No),
            (false, ".corp.example", 8443, Permit::No),
            (false, "evilcorp.example", 8443, Permit::No),
            (true, "127.0.0.1", 8080, Permit::Any),
            (false, "example.com", 443, Permit::No),
        ] {
            assert_eq!(all.permit(is_plain, host, port), permit, "{host}:{port}");
        }
        assert_eq!(Outlets::public().permit(false, "example.com", 443), Permit::Public);
        assert_eq!(Outlets::public().permit(true, "example.com", 80), Permit::No);
    }

    #[test]
    fn an_outlet_reads_back_as_it_was_written() {
        for (text, full) in [
            ("git.example.org", "https://git.example.org:443"),
            ("*", "https://*:443"),
            ("http://*.x.example", "http://*.x.example:80"),
            ("[::1]:8443", "https://[::1]:8443"),
        ] {
            let outlet: Outlet = text.parse().expect(text);
            assert_eq!(outlet.to_string(), full);
            assert_eq!(full.parse(), Ok(outlet));
        }
        for wrong in ["", "a b", "x:0", "x:99999", "ftp://x", "a/b", "*x", "**.x", "x:", "a@b"] {
            assert!(wrong.parse::<Outlet>().is_err(), "{wrong:?}");
        }
    }
}
