use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest piece of foreign text that an error or a log line carries, in characters.
pub const LINE_CAP: usize = 240;

/// Text that a stranger wrote, made fit to be shown: bounded, on one line, with nothing in it
/// that a terminal, a log or a reader's eye would obey (control characters, bidirectional
/// overrides, zero-width marks). Shown in quotes.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Foreign(String);

impl Foreign {
    /// Tames `text`. What is left out is marked: `·` for a character, `…` for a cut end.
    pub fn new(text: &str) -> Self {
        Self::capped(text, LINE_CAP)
    }

    /// As [`Foreign::new`], with another bound in characters.
    pub fn capped(text: &str, cap: usize) -> Self {
        let mut tame = String::new();
        for (index, c) in text.trim_end_matches(['\n', '\r']).chars().enumerate() {
            if index == cap {
                tame.push('…');
                break;
            }
            tame.push(if is_plain(c) { c } else { '·' });
        }
        Self(tame)
    }

    /// As [`Foreign::new`], for bytes that may not be UTF-8.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        // A character is at most four bytes, so this prefix decides the result and bounds the work.
        let prefix = &bytes[..bytes.len().min(4 * (LINE_CAP + 1))];
        Self::new(&String::from_utf8_lossy(prefix))
    }

    /// The tamed text, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a character is one that nothing obeys: no control character, none that turns the
/// direction of text, none without a width.
pub fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0)
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_terminal_obeys_survives() {
        for (given, shown) in [
            ("plain ünïcode", "'plain ünïcode'"),
            ("\u{1b}]52;c;aGk=\u{7}x", "'·]52;c;aGk=·x'"),
            ("a\rb\tc", "'a·b·c'"),
            ("\u{9b}31m", "'·31m'"),
            ("abc\u{202e}cba", "'abc·cba'"),
            ("line\n", "'line'"),
            ("two\nlines", "'two·lines'"),
        ] {
            assert_eq!(Foreign::new(given).to_string(), shown);
        }
    }

    #[test]
    fn it_is_bounded_in_characters_and_in_work() {
        let long = "é".repeat(LINE_CAP * 10);
        let tame = Foreign::from_bytes(long.as_bytes());
        assert_eq!(tame.as_str().chars().count(), LINE_CAP + 1);
        assert!(tame.as_str().ends_with('…'));
    }
}
