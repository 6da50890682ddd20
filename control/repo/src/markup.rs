//! Text as XML, so that a reader gets back what went in.

use kiln_model::Foreign;

/// Why a text cannot stand in XML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its {what} cannot be written as XML: {text}")]
pub struct MarkupError {
    /// What the text is.
    pub what: &'static str,
    /// The text.
    pub text: Foreign,
}

/// Whether XML 1.0 has the character at all (section 2.2).
fn exists(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// A text that something goes by: it comes back as it is, or it is refused.
pub(crate) fn exact<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a str, MarkupError> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.chars().all(exists));
    text.ok_or_else(|| MarkupError { what, text: Foreign::from_bytes(bytes) })
}

/// A text that only people read: what XML does not have is shown as `U+FFFD`.
pub(crate) fn prose(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if exists(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// Appends text between tags.
pub(crate) fn push_text(to: &mut String, text: &str) {
    push(to, text, false);
}

/// Appends ` name="value"`.
pub(crate) fn push_attribute(to: &mut String, name: &str, value: &str) {
    to.push(' ');
    to.push_str(name);
    to.push_str("=\"");
    push(to, value, true);
    to.push('"');
}

/// Appends `<tag>text</tag>`; `<tag/>` where there is no text, as createrepo_c does.
pub(crate) fn push_element(to: &mut String, tag: &str, text: &str) {
    if text.is_empty() {
        to.push('<');
        to.push_str(tag);
        to.push_str("/>");
        return;
    }
    to.push('<');
    to.push_str(tag);
    to.push('>');
    push_text(to, text);
    to.push_str("</");
    to.push_str(tag);
    to.push('>');
}

fn push(to: &mut String, text: &str, in_attribute: bool) {
    for c in text.chars() {
        match c {
            '&' => to.push_str("&amp;"),
            '<' => to.push_str("&lt;"),
            // `]]>` may not stand in text.
            '>' => to.push_str("&gt;"),
            '"' if in_attribute => to.push_str("&quot;"),
            // A reader turns these into others where they stand as they are (sections 2.11, 3.3.3).
            '\r' => to.push_str("&#13;"),
            '\n' if in_attribute => to.push_str("&#10;"),
            '\t' if in_attribute => to.push_str("&#9;"),
            _ => to.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_what_cannot_is_refused() {
        for text in ["", "plain", "a<b>&\"c\"'d'", "]]>", "<!--", "a\r\nb\tc", "ü\u{10ffff}", " x "]
        {
            let text = exact("name", text.as_bytes()).expect(text);
            let mut xml = "<e".to_owned();
            push_attribute(&mut xml, "a", text);
            xml.push('>');
            push_text(&mut xml, text);
            xml.push_str("</e>");
            let mut reader = quick_xml::Reader::from_str(&xml);
            let quick_xml::events::Event::Start(start) = reader.read_event().expect("well-formed")
            else {
                panic!("{xml}")
            };
            let attribute = start.attributes().next().expect("one").expect("well-formed");
            let value = attribute.normalized_value(quick_xml::XmlVersion::Explicit1_0);
            assert_eq!(value.expect("a value"), text, "{xml}");
        }
        for bytes in [&b"a\0b"[..], b"\x1b[31m", b"\xff", b"\x08", "\u{ffff}".as_bytes()] {
            assert!(exact("name", bytes).is_err(), "{bytes:?}");
            assert!(prose(bytes).contains('\u{fffd}'), "{bytes:?}");
        }
    }
}
