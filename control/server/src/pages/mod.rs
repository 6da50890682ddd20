//! Pages for people: server-rendered, readable without JavaScript but for what is live.
//!
//! A page asks the same functions as the API and shows what they answer; a form of a page is a
//! POST that ends with a redirect to a page. All text goes through [`Tame`].

pub(crate) mod account;
mod ansi;
pub(crate) mod assets;
pub(crate) mod builds;
mod chart;
pub(crate) mod faces;
mod fields;
pub(crate) mod jobs;
pub(crate) mod links;
pub(crate) mod live;
pub(crate) mod locks;
pub(crate) mod log;
mod logfile;
pub(crate) mod oidc;
pub(crate) mod operate;
pub(crate) mod projects;
pub(crate) mod queue;
pub(crate) mod repo;
mod shell;
pub(crate) mod start;
pub(crate) mod submit;
mod words;

use std::fmt;

use askama::Template;
use askama::filters::Escaper;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use kiln_model::is_plain;

use crate::problem::Answer;

pub(crate) use fields::Fields;
pub(crate) use shell::Shell;

/// Nothing but what comes from here: no inline script or style, no frame, no other site.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// How every text gets into a page: markup as text, and characters that nobody sees or that turn
/// what follows as a dot. A template cannot forget it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tame;

impl Escaper for Tame {
    fn write_escaped_str<W: fmt::Write>(&self, mut to: W, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| write_tame(&mut to, c))
    }
}

fn write_tame(to: &mut impl fmt::Write, c: char) -> fmt::Result {
    match c {
        '&' => to.write_str("&amp;"),
        '<' => to.write_str("&lt;"),
        '>' => to.write_str("&gt;"),
        '"' => to.write_str("&quot;"),
        '\'' => to.write_str("&#39;"),
        '\n' | '\t' => to.write_char(c),
        c if is_plain(c) => to.write_char(c),
        _ => to.write_char('·'),
    }
}

/// A page as the answer.
fn page(template: &impl Template) -> Answer<Response> {
    Ok(page_with(StatusCode::OK, template))
}

/// A page with another status.
fn page_with(status: StatusCode, template: &impl Template) -> Response {
    let text = template.render().expect("a template writes to a String");
    let mut response = (status, Html(text)).into_response();
    guarded(response.headers_mut());
    response
}

/// The headers of a page.
fn guarded(headers: &mut HeaderMap) {
    let rows = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        // What is private stays out of caches, and a page that one goes back to is asked for anew.
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Cookie, Accept"),
    ];
    for (name, value) in rows {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// After a form: the page that shows what became of it.
fn to(path: &str) -> Answer<Response> {
    Ok(Redirect::to(path).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_what_turns_text_is_shown_and_not_obeyed() {
        let tame = |text: &str| {
            let mut shown = String::new();
            Tame.write_escaped_str(&mut shown, text).expect("written");
            shown
        };
        for (given, shown) in [
            ("<b>\"x\" & 'y'</b>", "&lt;b&gt;&quot;x&quot; &amp; &#39;y&#39;&lt;/b&gt;"),
            ("a\u{202e}b\u{200b}c", "a·b·c"),
            ("\u{1b}[31m\u{9b}m\0", "·[31m·m·"),
            ("two\nlines\tünï", "two\nlines\tünï"),
        ] {
            assert_eq!(tame(given), shown);
        }
    }
}
