//! What a report shows of strangers' bytes: tame, and as much as a person reads.

use kiln_model::Foreign;

/// The most characters of one value.
pub(crate) const VALUE: usize = 200;

/// Some bytes as a person reads them: text as text, anything else in hexadecimal digits.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    const HEX: usize = 32;
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n');
    if !bytes.is_empty() && bytes.iter().take(VALUE * 4).all(is_text) {
        return text(&String::from_utf8_lossy(&bytes[..bytes.len().min(VALUE * 4)]));
    }
    let mut shown: String = bytes.iter().take(HEX).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > HEX {
        shown.push('…');
    }
    shown
}

/// A text on one line, at most [`VALUE`] characters of it.
pub(crate) fn text(text: &str) -> String {
    Foreign::capped(&text.replace(['\n', '\t'], " "), VALUE).as_str().to_owned()
}

/// Two lines, cut to where they first differ where they are long.
pub(crate) fn lines(original: &[u8], rebuilt: &[u8]) -> (String, String) {
    const BEFORE: usize = 60;
    let same = original.iter().zip(rebuilt).take_while(|(a, b)| a == b).count();
    let from = if same > VALUE - BEFORE { same - BEFORE } else { 0 };
    let cut = |line: &[u8]| {
        let rest = line.get(from..).unwrap_or_default();
        let rest = String::from_utf8_lossy(&rest[..rest.len().min(VALUE * 4)]).into_owned();
        format!("{}{}", if from > 0 { "…" } else { "" }, text(rest.trim_end_matches('\n')))
    };
    (cut(original), cut(rebuilt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_text_and_bytes_in_digits() {
        assert_eq!(bytes(b"built on\nMonday"), "built on Monday");
        assert_eq!(bytes(&[0, 255]), "00ff");
        assert_eq!(bytes(&[7; 40]).chars().count(), 65);
    }

    #[test]
    fn long_lines_are_cut_to_where_they_differ() {
        let (a, b) = (
            [vec![b'x'; 5000], b"one".to_vec()].concat(),
            [vec![b'x'; 5000], b"two".to_vec()].concat(),
        );
        let (a, b) = lines(&a, &b);
        assert!(a.ends_with("one") && b.ends_with("two") && a.len() < 100, "{a}");
    }
}
