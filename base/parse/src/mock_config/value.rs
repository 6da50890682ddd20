use std::ops::Range;

/// Where something stands: which file, by its number, and which line, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) line: usize,
}

/// What an option holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A name that nobody gave a value.
    Undefined,
    None,
    Bool(bool),
    Number(i64),
    Text(Text),
    List(Vec<Value>),
    Dict(Vec<(String, Value)>),
}

/// Text that knows which line each part of it comes from.
#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    text: String,
    /// From this byte on, lines are counted from that place.
    marks: Vec<(usize, Place)>,
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Text {
    pub(super) fn new(text: String, place: Place) -> Self {
        Self { text, marks: vec![(0, place)] }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn push(&mut self, text: &str, place: Place) {
        self.marks.push((self.text.len(), place));
        self.text.push_str(text);
    }

    pub(super) fn append(&mut self, other: &Self) {
        let at = self.text.len();
        self.marks.extend(other.marks.iter().map(|(offset, place)| (at + offset, *place)));
        self.text.push_str(&other.text);
    }

    /// A part of it, with its places.
    pub(super) fn part(&self, range: Range<usize>) -> Self {
        let mut part = Self::new(String::new(), self.place(range.start));
        let inside = self.marks.iter().filter(|(at, _)| *at > range.start && *at < range.end);
        part.marks.extend(inside.map(|(at, place)| (at - range.start, *place)));
        part.text.push_str(&self.text[range]);
        part
    }

    /// Where the byte at `offset` stands.
    pub(super) fn place(&self, offset: usize) -> Place {
        let last = self.marks.iter().rev().find(|(at, _)| *at <= offset);
        let Some((at, place)) = last else { return Place::default() };
        let lines = self.text[*at..offset].matches('\n').count();
        Place { line: place.line + lines, ..*place }
    }
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(Text::new(text.to_owned(), Place::default()))
    }

    /// As Python and Jinja see it in a condition.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Undefined | Self::None => false,
            Self::Bool(bool) => *bool,
            Self::Number(number) => *number != 0,
            Self::Text(text) => !text.as_str().is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Dict(dict) => !dict.is_empty(),
        }
    }

    /// As Jinja writes it into a text.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Undefined => String::new(),
            Self::None => "None".to_owned(),
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.as_str().to_owned(),
            Self::List(list) => list.iter().map(Self::written).collect::<Vec<_>>().join(", "),
            Self::Dict(_) => "{…}".to_owned(),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Dict(dict) = self else { return None };
        dict.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The value under `key`, made if it is not there; `None` where this is no dictionary.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Self::Dict(dict) = self else { return None };
        let found = dict.iter().position(|(name, _)| name == key);
        let at = found.unwrap_or_else(|| {
            dict.push((key.to_owned(), Self::Undefined));
            dict.len() - 1
        });
        dict.get_mut(at).map(|(_, value)| value)
    }
}
