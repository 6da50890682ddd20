//! Style and scripts, under names that change with what is in them.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use kiln_model::Digest;

use crate::problem::{Answer, Refused};

/// Where each is.
pub(crate) struct Urls {
    pub(crate) style: String,
    pub(crate) htmx: String,
    pub(crate) live: String,
    pub(crate) icon: String,
}

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const STYLE: Asset = Asset {
    name: "kiln.css",
    kind: "text/css; charset=utf-8",
    bytes: include_bytes!("../../assets/kiln.css"),
};
const HTMX: Asset = Asset {
    name: "htmx.js",
    kind: "text/javascript; charset=utf-8",
    bytes: include_bytes!("../../assets/htmx.js"),
};
const LIVE: Asset = Asset {
    name: "live.js",
    kind: "text/javascript; charset=utf-8",
    bytes: include_bytes!("../../assets/live.js"),
};
const ICON: Asset = Asset {
    name: "kiln.svg",
    kind: "image/svg+xml",
    bytes: include_bytes!("../../assets/kiln.svg"),
};

pub(crate) static URLS: LazyLock<Urls> = LazyLock::new(|| Urls {
    style: STYLE.url(),
    htmx: HTMX.url(),
    live: LIVE.url(),
    icon: ICON.url(),
});

impl Asset {
    fn url(&self) -> String {
        format!("/assets/{}/{}", &Digest::of(self.bytes).hex()[..16], self.name)
    }
}

pub(crate) async fn asset(Path((digest, name)): Path<(String, String)>) -> Answer<Response> {
    let url = format!("/assets/{digest}/{name}");
    let known =
        [(&STYLE, &URLS.style), (&HTMX, &URLS.htmx), (&LIVE, &URLS.live), (&ICON, &URLS.icon)];
    let found = known.into_iter().find(|(_, known)| **known == url);
    let (asset, _) = found.ok_or_else(|| Refused::none("asset", &name))?;
    let mut response = asset.bytes.into_response();
    let rows = [
        (header::CONTENT_TYPE, asset.kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    for (name, value) in rows {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
