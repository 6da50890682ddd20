//! Words that strangers choose and that go somewhere: to a page, to a log, to rpmbuild.

use std::collections::BTreeMap;

use crate::problem::{Answer, Refused};

/// Whether it is one line for people, of at most so many bytes: no control characters, and none
/// that turn the direction of text, so that what is read is what is there.
pub(crate) fn is_line(text: &str, cap: usize) -> bool {
    text.len() <= cap && !text.chars().any(|c| c.is_control() || is_turning(c))
}

fn is_turning(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Names of macros and of build conditions become arguments of rpmbuild: only names will do.
pub(crate) fn check(
    macros: &BTreeMap<String, String>,
    with: &[String],
    without: &[String],
) -> Answer<()> {
    if !with.iter().chain(without).all(|name| is_condition(name)) {
        return Err(Refused::wrong("not the name of a build condition"));
    }
    if !macros.iter().all(|(name, body)| is_macro(name, body)) {
        return Err(Refused::wrong("not a macro: a name, and a body without control characters"));
    }
    Ok(())
}

fn is_condition(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 100
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-+.".contains(c))
}

fn is_macro(name: &str, body: &str) -> bool {
    let plain = name.split('(').next().unwrap_or_default();
    plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 200
        && !name.chars().any(|c| c.is_control() || c.is_whitespace())
        && !body.chars().any(|c| c.is_control() && c != '\t' && c != '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rpmbuild_would_take_for_something_else_is_refused() {
        let checked = |name: &str, body: &str, with: &str| {
            let macros = BTreeMap::from([(name.to_owned(), body.to_owned())]);
            check(&macros, &[with.to_owned()], &[]).is_ok()
        };
        assert!(checked("dist", ".x1", "tests") && checked("f(x:)", "%{1}", "_a+b"));
        for with in ["", "-x", "a b", "a;b", "a\nb"] {
            assert!(!checked("dist", ".x1", with), "{with:?}");
        }
        for (name, body) in [("", "x"), ("1x", "x"), ("a b", "x"), ("a", "x\u{0}"), ("a-b", "")] {
            assert!(!checked(name, body, "tests"), "{name:?} {body:?}");
        }
    }

    #[test]
    fn a_line_is_read_as_it_is_written() {
        assert!(is_line("tools für alle", 100));
        for wrong in ["a\nb", "a\u{202e}b", "a\u{1b}[0m"] {
            assert!(!is_line(wrong, 100), "{wrong:?}");
        }
        assert!(!is_line("long", 3));
    }
}
