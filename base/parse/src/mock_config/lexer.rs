use super::value::{Place, Text};

/// A word of Python's or Jinja's.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    Name(String),
    Text(Text),
    Number(i64),
    Sign(&'static str),
    /// The end of a line that is not inside brackets.
    Newline,
}

/// A word and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) place: Place,
    /// How far in its line it begins, in bytes.
    pub(super) column: usize,
}

/// Signs that mean something to us, longer ones first.
const SIGNS: &[&str] = &[
    "==", "!=", "<=", ">=", "+=", "=", "<", ">", "+", "-", "(", ")", "[", "]", "{", "}", ",", ":",
    ".", "|", "~", "%", "*", "/",
];

/// Takes text apart; a text that does not end or a letter that means nothing ends it early, and
/// the place of that is given as well.
pub(super) fn tokens(text: &str, begin: Place) -> (Vec<Token>, Option<Place>) {
    let mut lexer = Lexer { text, at: 0, place: begin, line_start: 0, depth: 0 };
    let mut tokens = Vec::new();
    loop {
        match lexer.next() {
            Ok(Some(token)) => tokens.push(token),
            Ok(None) => return (tokens, None),
            Err(()) => return (tokens, Some(lexer.place)),
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    place: Place,
    line_start: usize,
    /// How many brackets are open.
    depth: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn newline(&mut self) {
        self.place.line += 1;
        self.line_start = self.at;
    }

    fn next(&mut self) -> Result<Option<Token>, ()> {
        loop {
            let Some(c) = self.rest().chars().next() else { return Ok(None) };
            let (place, column) = (self.place, self.at - self.line_start);
            let token = |word| Ok(Some(Token { word, place, column }));
            if self.rest().starts_with("\\\n") {
                self.at += 2;
                self.newline();
            } else if c == '\n' {
                self.at += 1;
                self.newline();
                if self.depth == 0 {
                    return token(Word::Newline);
                }
            } else if c.is_whitespace() {
                self.at += c.len_utf8();
            } else if c == '#' {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            } else if c.is_ascii_digit() {
                let end = self.rest().find(|c: char| !c.is_ascii_digit());
                let digits = &self.rest()[..end.unwrap_or(self.rest().len())];
                let (number, count) = (digits.parse().map_err(drop)?, digits.len());
                self.at += count;
                return token(Word::Number(number));
            } else if c == '"' || c == '\'' {
                return token(Word::Text(self.string(false)?));
            } else if c.is_alphabetic() || c == '_' {
                let end = self.rest().find(|c: char| !c.is_alphanumeric() && c != '_');
                let name = self.rest()[..end.unwrap_or(self.rest().len())].to_owned();
                self.at += name.len();
                let quoted = self.rest().starts_with(['"', '\'']);
                return match (quoted, name.as_str()) {
                    (true, "r" | "R") => token(Word::Text(self.string(true)?)),
                    (true, "u" | "U") => token(Word::Text(self.string(false)?)),
                    (true, _) => Err(()),
                    (false, _) => token(Word::Name(name)),
                };
            } else if let Some(sign) = SIGNS.iter().find(|sign| self.rest().starts_with(**sign)) {
                self.at += sign.len();
                match *sign {
                    "(" | "[" | "{" => self.depth += 1,
                    ")" | "]" | "}" => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                return token(Word::Sign(sign));
            } else {
                return Err(());
            }
        }
    }

    /// A text in quotes, of one line or in three of them; the quotes are next.
    fn string(&mut self, is_raw: bool) -> Result<Text, ()> {
        let quote = if self.rest().starts_with("\"\"\"") || self.rest().starts_with("'''") {
            &self.text[self.at..self.at + 3]
        } else {
            &self.text[self.at..=self.at]
        };
        self.at += quote.len();
        let mut text = Text::new(String::new(), self.place);
        let mut plain = String::new();
        let mut begin = self.place;
        loop {
            if self.rest().starts_with(quote) {
                self.at += quote.len();
                text.push(&plain, begin);
                return Ok(text);
            }
            let c = self.rest().chars().next().ok_or(())?;
            self.at += c.len_utf8();
            match c {
                '\n' if quote.len() == 1 => return Err(()),
                '\n' => {
                    plain.push(c);
                    self.newline();
                }
                '\\' => {
                    let next = self.rest().chars().next().ok_or(())?;
                    self.at += next.len_utf8();
                    if next == '\n' {
                        self.newline();
                    }
                    if is_raw {
                        plain.push(c);
                        plain.push(next);
                    } else {
                        plain.push_str(&escape(next));
                    }
                    // A line of the file and one of the text are no longer the same.
                    text.push(&plain, begin);
                    plain.clear();
                    begin = self.place;
                }
                _ => plain.push(c),
            }
        }
    }
}

/// What Python makes of a backslash and the letter after it; what it does not know stays.
fn escape(c: char) -> String {
    match c {
        'n' => "\n".to_owned(),
        't' => "\t".to_owned(),
        '\n' => String::new(),
        '\\' | '\'' | '"' => c.to_string(),
        other => format!("\\{other}"),
    }
}
