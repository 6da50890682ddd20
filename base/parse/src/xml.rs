//! Small XML documents as a tree, with a bound on everything a stranger could let grow.
//!
//! XML 1.0 without a document type: there are no entities but the five that XML itself has and
//! character references, so nothing is ever expanded or fetched.

use kiln_model::Foreign;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// Elements in one document. A metalink of Fedora's has about 700.
const ELEMENTS: usize = 50_000;

/// How deep they lie in each other.
const DEPTH: usize = 32;

/// Attributes of one element.
const ATTRIBUTES: usize = 32;

/// Why a document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// It is not UTF-8.
    #[error("not UTF-8 at byte {0}")]
    Utf8(usize),
    /// It is not well-formed.
    #[error("not well-formed XML at byte {at}: {what}")]
    Form {
        /// Where.
        at: u64,
        /// What the reader says.
        what: Foreign,
    },
    /// It declares a document type or names an entity; both are refused unread.
    #[error("an entity or a document type at byte {0}: neither is allowed here")]
    Entity(u64),
    /// More elements, depth or attributes than such a document has.
    #[error("more than {0}")]
    Bound(String),
    /// No root element, or one with another name.
    #[error("not a <{0}> document")]
    Root(&'static str),
}

/// An element with its local name (no prefix), its attributes and what is in it.
#[derive(Debug, Default)]
pub(crate) struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The value of the attribute with that local name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let (_, value) = self.attributes.iter().find(|(key, _)| key == name)?;
        Some(value)
    }

    /// The text directly in the element, without white space around it.
    pub(crate) fn text(&self) -> &str {
        self.text.trim()
    }

    pub(crate) fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    pub(crate) fn child<'a>(&'a self, name: &'a str) -> Option<&'a Element> {
        self.children(name).next()
    }
}

/// Reads a document whose root element has the local name `root`.
pub(crate) fn read(bytes: &[u8], root: &'static str) -> Result<Element, XmlError> {
    let text = std::str::from_utf8(bytes).map_err(|error| XmlError::Utf8(error.valid_up_to()))?;
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut tree = Tree::default();
    loop {
        let at = reader.buffer_position();
        let form =
            |what: &dyn ToString| XmlError::Form { at, what: Foreign::new(&what.to_string()) };
        match reader.read_event().map_err(|error| form(&error))? {
            Event::Start(start) => tree.open(&start, at)?,
            Event::Empty(start) => {
                tree.open(&start, at)?;
                tree.close();
            }
            Event::End(_) => tree.close(),
            Event::Text(text) => tree.text(&text.xml_content(XmlVersion::Explicit1_0)),
            Event::CData(text) => tree.text(&text.xml_content(XmlVersion::Explicit1_0)),
            Event::GeneralRef(reference) => {
                let c = match reference.resolve_char_ref().map_err(|error| form(&error))? {
                    Some(c) => c,
                    None => predefined(&reference).ok_or(XmlError::Entity(at))?,
                };
                tree.text(c.encode_utf8(&mut [0; 4]));
            }
            Event::DocType(_) => return Err(XmlError::Entity(at)),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    tree.finish(root)
}

fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "apos" => '\'',
        "quot" => '"',
        _ => return None,
    })
}

#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Tree {
    fn open(&mut self, start: &BytesStart<'_>, at: u64) -> Result<(), XmlError> {
        self.elements += 1;
        if self.elements > ELEMENTS {
            return Err(XmlError::Bound(format!("{ELEMENTS} elements")));
        }
        if self.open.is_empty() && self.root.is_some() {
            let what = Foreign::new("a second root element");
            return Err(XmlError::Form { at, what });
        }
        if self.open.len() == DEPTH {
            return Err(XmlError::Bound(format!("{DEPTH} elements in each other")));
        }
        let mut element = Element { name: local(start.name().as_ref()), ..Element::default() };
        for attribute in start.attributes() {
            let form =
                |what: &dyn ToString| XmlError::Form { at, what: Foreign::new(&what.to_string()) };
            let attribute = attribute.map_err(|error| form(&error))?;
            let value = attribute
                .normalized_value(XmlVersion::Explicit1_0)
                .map_err(|error| form(&error))?;
            element.attributes.push((local(attribute.key.as_ref()), value.into_owned()));
            if element.attributes.len() > ATTRIBUTES {
                return Err(XmlError::Bound(format!("{ATTRIBUTES} attributes of one element")));
            }
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self) {
        let Some(element) = self.open.pop() else { return };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = self.root.take().or(Some(element)),
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(element) = self.open.last_mut() {
            element.text.push_str(text);
        }
    }

    fn finish(self, name: &'static str) -> Result<Element, XmlError> {
        if !self.open.is_empty() {
            let what = Foreign::new("it ends before its elements do");
            return Err(XmlError::Form { at: 0, what });
        }
        self.root.filter(|root| root.name() == name).ok_or(XmlError::Root(name))
    }
}

fn local(name: &str) -> String {
    name.rsplit_once(':').map_or(name, |(_, local)| local).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_attributes_and_text_are_read_without_their_prefixes() {
        let text = "<?xml version='1.0'?>\n<!-- x --><r:root xmlns:r='u' r:a='1 &lt; &#50;'>\
            <one> a&amp;b<![CDATA[ ]]&gt;]]> </one><one/><two>&#x41;</two></r:root>\n";
        let root = read(text.as_bytes(), "root").expect("a document");
        assert_eq!(root.attribute("a"), Some("1 < 2"));
        assert_eq!(root.children("one").count(), 2);
        assert_eq!(root.child("one").expect("there").text(), "a&b ]]&gt;");
        assert_eq!(root.child("two").expect("there").text(), "A");
    }

    #[test]
    fn what_is_not_such_a_document_is_refused() {
        let deep = "<a>".repeat(1_000_000);
        let many = format!("<root>{}</root>", "<a/>".repeat(1_000_000));
        let wide = format!("<root {}/>", (0..99).map(|n| format!("a{n}='' ")).collect::<String>());
        for (text, why) in [
            ("", "not a <root>"),
            ("<other/>", "not a <root>"),
            ("<root>", "not well-formed"),
            ("<root></other>", "not well-formed"),
            ("<root/><root/>", "second root"),
            ("<root a='1' a='2'/>", "not well-formed"),
            ("<!DOCTYPE root [<!ENTITY e 'x'>]><root>&e;</root>", "entity"),
            ("<root>&xxe;</root>", "entity"),
            ("<root a='&xxe;'/>", "not well-formed"),
            ("<root>&#0;</root>", "not well-formed"),
            (&deep, "in each other"),
            (&many, "elements"),
            (&wide, "attributes"),
        ] {
            let error = read(text.as_bytes(), "root").expect_err(why).to_string();
            assert!(error.contains(why), "{error} has not '{why}'");
        }
        assert!(matches!(read(b"<root>\xff</root>", "root"), Err(XmlError::Utf8(6))));
    }
}
