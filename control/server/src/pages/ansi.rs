//! A line of a log as HTML. What is in it is a stranger's: colours become classes of our own
//! (ECMA-48, Select Graphic Rendition), every other sequence is dropped, every other character
//! goes through [`write_tame`]. A line begins without colour, so that each can be shown alone.

use std::fmt::Write as _;

use super::write_tame;

/// The most bytes of a line that are shown.
pub(super) const LINE_CAP: usize = 8 << 10;

/// The most parameters of one sequence that are looked at.
const PARAMETERS: usize = 16;

/// The look of what follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Look {
    bold: bool,
    faint: bool,
    italic: bool,
    underline: bool,
    /// 0 to 15.
    front: Option<u8>,
    back: Option<u8>,
}

/// Adds a line, without its newline, to a page.
pub(super) fn write_line(bytes: &[u8], to: &mut String) {
    let shown = &bytes[..bytes.len().min(LINE_CAP)];
    let text = String::from_utf8_lossy(shown);
    let mut chars = text.trim_end_matches(['\n', '\r']).chars();
    let (mut look, mut is_open) = (Look::default(), false);
    let mut open = Look::default();
    while let Some(c) = chars.next() {
        let kept = match c {
            '\u{1b}' => escape(&mut chars, &mut look),
            '\u{9b}' => control(&mut chars, &mut look),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => string(&mut chars),
            // What comes after would stand over what came before.
            '\r' => Some('␍'),
            '\u{8}' => Some('·'),
            c => Some(c),
        };
        let Some(c) = kept else { continue };
        if look != open {
            if is_open {
                to.push_str("</span>");
            }
            is_open = look != Look::default();
            if is_open {
                write!(to, "<span class=\"{}\">", classes(look)).expect(WRITES);
            }
            open = look;
        }
        write_tame(to, c).expect(WRITES);
    }
    if is_open {
        to.push_str("</span>");
    }
    if bytes.len() > LINE_CAP {
        to.push('…');
    }
}

const WRITES: &str = "writing to a String cannot fail";

/// After ESC: a sequence, which is read to its end.
fn escape(chars: &mut std::str::Chars<'_>, look: &mut Look) -> Option<char> {
    match chars.next()? {
        '[' => control(chars, look),
        // DCS, SOS, OSC, PM, APC
        'P' | 'X' | ']' | '^' | '_' => string(chars),
        // Intermediate bytes, then one that ends it.
        ' '..='/' => {
            chars.find(|c| !(' '..='/').contains(c));
            None
        }
        _ => None,
    }
}

/// A control sequence: parameters, intermediates, and the character that says what it does.
fn control(chars: &mut std::str::Chars<'_>, look: &mut Look) -> Option<char> {
    let mut parameters = Vec::new();
    let mut number: Option<u16> = None;
    for c in chars.by_ref() {
        match c {
            '0'..='9' => {
                let digit = c as u16 - '0' as u16;
                number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(digit));
            }
            ';' | ':' => {
                if parameters.len() < PARAMETERS {
                    parameters.push(number.unwrap_or(0));
                }
                number = None;
            }
            ' '..='/' | '<'..='?' => {}
            '@'..='~' => {
                parameters.push(number.unwrap_or(0));
                if c == 'm' {
                    render(&parameters, look);
                }
                return None;
            }
            // Not a sequence after all: the character is shown as any other.
            c => return Some(c),
        }
    }
    None
}

/// A control string (titles, links, the clipboard): up to BEL or ST; to the end of the line where
/// it has no end.
fn string(chars: &mut std::str::Chars<'_>) -> Option<char> {
    while let Some(c) = chars.next() {
        match c {
            '\u{7}' | '\u{9c}' => return None,
            '\u{1b}' => {
                let mut ahead = chars.clone();
                if ahead.next() == Some('\\') {
                    *chars = ahead;
                }
                return None;
            }
            _ => {}
        }
    }
    None
}

fn render(parameters: &[u16], look: &mut Look) {
    let mut rest = parameters.iter().copied();
    while let Some(parameter) = rest.next() {
        let low = |base: u16| u8::try_from(parameter - base).ok();
        match parameter {
            0 => *look = Look::default(),
            1 => look.bold = true,
            2 => look.faint = true,
            3 => look.italic = true,
            4 => look.underline = true,
            22 => (look.bold, look.faint) = (false, false),
            23 => look.italic = false,
            24 => look.underline = false,
            30..=37 => look.front = low(30),
            39 => look.front = None,
            40..=47 => look.back = low(40),
            49 => look.back = None,
            90..=97 => look.front = low(82),
            100..=107 => look.back = low(92),
            38 => look.front = colour(&mut rest).or(look.front),
            48 => look.back = colour(&mut rest).or(look.back),
            _ => {}
        }
    }
}

/// One of 16 colours out of 256; others, and those of 24 bits, are read over.
fn colour(rest: &mut impl Iterator<Item = u16>) -> Option<u8> {
    match rest.next()? {
        5 => rest.next().and_then(|index| u8::try_from(index).ok()).filter(|index| *index < 16),
        2 => {
            rest.nth(2);
            None
        }
        _ => None,
    }
}

fn classes(look: Look) -> String {
    let mut all = Vec::new();
    let flags = [(look.bold, "b"), (look.faint, "f"), (look.italic, "i"), (look.underline, "u")];
    all.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, class)| (*class).to_owned()));
    all.extend(look.front.map(|index| format!("c{index}")));
    all.extend(look.back.map(|index| format!("k{index}")));
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        let mut html = String::new();
        write_line(bytes, &mut html);
        html
    }

    #[test]
    fn colours_become_classes() {
        for (given, html) in [
            ("plain", "plain"),
            ("\x1b[31mred\x1b[0m on", "<span class=\"c1\">red</span> on"),
            ("\x1b[1;4;92mx", "<span class=\"b u c10\">x</span>"),
            (
                "\x1b[01;35;41mx\x1b[39;22my\x1b[m",
                "<span class=\"b c5 k1\">x</span><span class=\"k1\">y</span>",
            ),
            ("\x1b[38;5;9mx\x1b[38;5;200my", "<span class=\"c9\">xy</span>"),
            ("\x1b[38;2;1;2;3;1mx", "<span class=\"b\">x</span>"),
            ("\x1b[31m\x1b[0mx", "x"),
        ] {
            assert_eq!(shown(given.as_bytes()), html, "{given:?}");
        }
    }

    /// Sequences that a terminal or a browser would obey, each with what may be seen of it.
    const CORPUS: &[(&[u8], &str)] = &[
        (b"\x1b]52;c;aGVsbG8=\x07after", "after"),
        (b"\x1b]52;c;aGVsbG8=\x1b\\after", "after"),
        (b"\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b]8;;https://evil.example/\x07link\x1b]8;;\x07", "link"),
        (b"\x1b]0;title\x07x", "x"),
        (b"\x1b]2;title\x9cx", ""),
        (b"\x1b]0;no end", ""),
        (b"\xc2\x9d0;title\xc2\x9cx", "x"),
        (b"\x9b31mx", "\u{fffd}31mx"),
        (b"\xc2\x9b31mx", "<span class=\"c1\">x</span>"),
        (b"\x1bPq#0;2;0;0;0\x1b\\x", "x"),
        (b"\xc2\x90q\xc2\x9cx", "x"),
        (b"\x1b_apc\x1b\\x", "x"),
        (b"\x1b^pm\x1b\\x", "x"),
        (b"\x1bXsos\x1b\\x", "x"),
        (b"\x1b[2J\x1b[Hx", "x"),
        (b"\x1b[1A\x1b[2Kx", "x"),
        (b"\x1b[6nx", "x"),
        (b"\x1b[21tx", "x"),
        (b"\x1b[?1049hx", "x"),
        (b"\x1b[?25lx", "x"),
        (b"\x1b[>cx", "x"),
        (b"\x1b[5ix", "x"),
        (b"\x1bcx", "x"),
        (b"\x1b7x\x1b8", "x"),
        (b"\x1b(0x", "x"),
        (b"\x1b#8x", "x"),
        (b"\x1b%Gx", "x"),
        (b"\x1b", ""),
        (b"\x1b[", ""),
        (b"\x1b[999999999999999999mx", "x"),
        (b"\x1b[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;31mx", "<span class=\"b c1\">x</span>"),
        (b"\x1b[3\n1mx", "\n1mx"),
        (b"FAILED\rSUCCESS", "FAILED␍SUCCESS"),
        (b"bad\x08\x08\x08good", "bad···good"),
        (b"\x07\x00\x0e\x0f\x7fx", "·····x"),
        (b"<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        (
            b"\x1b[31m<b onmouseover=\"x\">",
            "<span class=\"c1\">&lt;b onmouseover=&quot;x&quot;&gt;</span>",
        ),
        (b"<\x1b[0mscript>", "&lt;script&gt;"),
        (b"a\xe2\x80\xaeb\xe2\x81\xa6c", "a·b·c"),
        (b"a\xe2\x80\x8bb\xef\xbb\xbfc", "a·b·c"),
        (b"\xff\xfe\xc3", "\u{fffd}\u{fffd}\u{fffd}"),
        (b"crlf\r\n", "crlf"),
    ];

    #[test]
    fn every_sequence_that_something_would_obey_is_harmless() {
        assert!(CORPUS.len() >= 40);
        for (given, html) in CORPUS {
            assert_eq!(shown(given), *html, "{:?}", String::from_utf8_lossy(given));
        }
    }

    #[test]
    fn nothing_but_our_own_elements_comes_out_of_any_two_of_them() {
        for (first, _) in CORPUS {
            for (second, _) in CORPUS {
                let html = shown(&[*first, *second].concat());
                let ours = html.matches("<span class=\"").count();
                assert_eq!(html.matches('<').count(), 2 * ours, "{html:?}");
                assert_eq!(html.matches("</span>").count(), ours, "{html:?}");
                let is_obeyed = |c: char| c != '\n' && !kiln_model::is_plain(c);
                assert!(!html.contains(is_obeyed), "{html:?}");
            }
        }
    }

    #[test]
    fn a_long_line_is_cut() {
        let html = shown(&vec![b'x'; 10 << 20]);
        assert_eq!(html.chars().count(), LINE_CAP + 1);
        let many = shown(&b"\x1b[31mx\x1b[32my".repeat(100_000));
        assert!(many.len() < 16 * LINE_CAP);
    }
}
