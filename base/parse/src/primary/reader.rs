use std::borrow::Cow;
use std::io::{self, BufRead, Read};
use std::ops::Range;

use kiln_model::{Foreign, Nevra, stays_inside};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::package::{Entry, Kind, Package};
use super::{Caps, EXAMPLES, PrimaryError, Skipped, Summary};
use crate::checksum::{Checksum, ChecksumError};
use crate::need::Compare;

/// Fails a read that goes on beyond `left` bytes: one tag or text must fit in it.
struct Budget<R> {
    inner: R,
    left: usize,
}

impl<R: BufRead> Read for Budget<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Budget<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            let text = "one tag or text is larger than any package's";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let bytes = self.inner.fill_buf()?;
        Ok(&bytes[..bytes.len().min(self.left)])
    }

    fn consume(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
        self.inner.consume(count);
    }
}

/// The element of a package whose text is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Arch,
    Checksum,
    Source,
    File,
}

pub(super) struct Reading<R, T> {
    xml: Reader<Budget<R>>,
    caps: Caps,
    prefix: String,
    take: T,
    summary: Summary,
    package: Package,
    /// Whether the list itself was opened.
    begun: bool,
    /// How many elements are open; the list itself is 1, a package 2.
    depth: usize,
    field: Option<Field>,
    list: Option<Kind>,
    /// Where in the package's text the field's text begins.
    start: usize,
    checksum_kind: String,
    /// The first thing that is wrong with the package.
    wrong: Option<String>,
}

impl<R: BufRead, T: FnMut(&Package)> Reading<R, T> {
    pub(super) fn new(from: R, caps: Caps, prefix: &str, take: T) -> Self {
        Self {
            xml: Reader::from_reader(Budget { inner: from, left: caps.text }),
            caps,
            prefix: prefix.to_owned(),
            take,
            summary: Summary::default(),
            package: Package::default(),
            begun: false,
            depth: 0,
            field: None,
            list: None,
            start: 0,
            checksum_kind: String::new(),
            wrong: None,
        }
    }

    pub(super) fn run(mut self) -> Result<Summary, PrimaryError> {
        let mut buffer = Vec::with_capacity(1 << 14);
        loop {
            buffer.clear();
            self.xml.get_mut().left = self.caps.text;
            let event =
                self.xml.read_event_into(&mut buffer).map_err(|error| PrimaryError::Xml {
                    at: self.xml.buffer_position(),
                    why: Foreign::new(&error.to_string()),
                })?;
            match event {
                Event::Start(tag) => self.open(&tag)?,
                Event::Empty(tag) => {
                    self.open(&tag)?;
                    self.close()?;
                }
                Event::End(_) => self.close()?,
                Event::Text(text) if self.field.is_some() => self.text(&text.xml10_content())?,
                Event::CData(text) if self.field.is_some() => self.text(&text.xml10_content())?,
                Event::GeneralRef(entity) if self.field.is_some() => self.entity(&entity)?,
                Event::Eof if self.begun && self.depth == 0 => return Ok(self.summary),
                Event::Eof => return Err(PrimaryError::Form { why: "it ends too soon" }),
                _ => {}
            }
        }
    }

    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), PrimaryError> {
        self.depth += 1;
        let name = tag.name();
        let name = name.as_ref();
        match self.depth {
            1 if name != "metadata" || self.begun => {
                Err(PrimaryError::Form { why: "it is not one <metadata>" })
            }
            1 => {
                self.begun = true;
                Ok(())
            }
            2 if name == "package" => self.begin(),
            3 => self.open_part(name, tag),
            4 => self.open_format(name),
            5 => match self.list {
                Some(kind) if name == "rpm:entry" => self.entry(kind, tag),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn begin(&mut self) -> Result<(), PrimaryError> {
        let seen = self.summary.packages + self.summary.sources + self.summary.skipped;
        if seen == self.caps.packages {
            return Err(PrimaryError::Large { what: "packages", cap: self.caps.packages });
        }
        self.package.clear();
        self.checksum_kind.clear();
        self.wrong = None;
        Ok(())
    }

    fn open_part(&mut self, name: &str, tag: &BytesStart<'_>) -> Result<(), PrimaryError> {
        match name {
            "name" => self.begin_field(Field::Name),
            "arch" => self.begin_field(Field::Arch),
            "checksum" => {
                self.checksum_kind = attribute(tag, "type").unwrap_or_default().into_owned();
                self.begin_field(Field::Checksum);
            }
            "version" => self.version(tag),
            "size" => match attribute(tag, "package").and_then(|size| size.parse().ok()) {
                Some(size) => self.package.size = size,
                None => self.spoil("its size is not a number"),
            },
            "location" => {
                if attribute(tag, "xml:base").is_some() {
                    self.spoil("it lies in another repository (xml:base)");
                }
                let location = attribute(tag, "href").unwrap_or_default();
                let location = location.strip_prefix(&self.prefix).unwrap_or(&location);
                if !stays_inside(location) {
                    self.spoil(format!(
                        "its location leaves the repository: {}",
                        Foreign::new(location)
                    ));
                }
                self.package.location = self.package.keep(location);
            }
            _ => {}
        }
        Ok(())
    }

    fn open_format(&mut self, name: &str) -> Result<(), PrimaryError> {
        match name {
            "file" => self.begin_field(Field::File),
            "rpm:provides" => self.list = Some(Kind::Provides),
            "rpm:requires" => self.list = Some(Kind::Requires),
            "rpm:conflicts" => self.list = Some(Kind::Conflicts),
            "rpm:obsoletes" => self.list = Some(Kind::Obsoletes),
            "rpm:recommends" => self.list = Some(Kind::Recommends),
            "rpm:suggests" => self.list = Some(Kind::Suggests),
            "rpm:supplements" => self.list = Some(Kind::Supplements),
            "rpm:enhances" => self.list = Some(Kind::Enhances),
            "rpm:sourcerpm" => self.begin_field(Field::Source),
            _ => {}
        }
        Ok(())
    }

    fn version(&mut self, tag: &BytesStart<'_>) {
        match attribute(tag, "epoch").as_deref().unwrap_or("0") {
            "" => {}
            epoch => match epoch.parse() {
                Ok(epoch) => self.package.epoch = epoch,
                Err(_) => self.spoil("its epoch is not a number"),
            },
        }
        self.package.version = self.package.keep(&attribute(tag, "ver").unwrap_or_default());
        self.package.release = self.package.keep(&attribute(tag, "rel").unwrap_or_default());
    }

    fn entry(&mut self, kind: Kind, tag: &BytesStart<'_>) -> Result<(), PrimaryError> {
        self.count_entry()?;
        self.summary.weak += usize::from(kind.is_weak());
        let package = &mut self.package;
        let (mut name, mut compare, mut early) = (0..0, None, false);
        let (mut epoch, mut version, mut release) = (None, None, None);
        for attribute in tag.attributes().with_checks(false).flatten() {
            let Ok(value) = attribute.normalized_value(XmlVersion::Explicit1_0) else {
                self.spoil("an attribute with an unknown entity");
                return Ok(());
            };
            match attribute.key.as_ref() {
                "name" => name = package.keep(&value),
                "flags" => compare = Compare::of_word(&value),
                "epoch" => epoch = Some(value),
                "ver" => version = Some(value),
                "rel" => release = Some(value),
                "pre" => early = value == "1",
                _ => {}
            }
        }
        let start = package.text.len();
        if compare.is_some() {
            keep_evr(package, epoch.as_deref(), version.as_deref(), release.as_deref());
        }
        let version = start..package.text.len();
        if package.slice(&name).is_empty() || (compare.is_some() && version.is_empty()) {
            self.spoil("an entry without a name, or without the version that it compares");
        } else {
            self.package.entries.push(Entry { kind, name, compare, version, early });
        }
        self.check_text()
    }

    fn begin_field(&mut self, field: Field) {
        self.field = Some(field);
        self.start = self.package.text.len();
    }

    fn text(&mut self, text: &str) -> Result<(), PrimaryError> {
        self.package.text.push_str(text);
        self.check_text()
    }

    fn entity(&mut self, entity: &BytesRef<'_>) -> Result<(), PrimaryError> {
        let name: &str = entity;
        match entity.resolve_char_ref() {
            Ok(Some(c)) => self.package.text.push(c),
            _ => match quick_xml::escape::resolve_predefined_entity(name) {
                Some(text) => self.package.text.push_str(text),
                None => self.spoil("an unknown entity"),
            },
        }
        self.check_text()
    }

    fn close(&mut self) -> Result<(), PrimaryError> {
        self.depth = self.depth.checked_sub(1).ok_or(PrimaryError::Form { why: "unbalanced" })?;
        if let Some(field) = self.field.take() {
            return self.end_field(field, self.start..self.package.text.len());
        }
        match self.depth {
            1 => self.end_package(),
            3 => self.list = None,
            _ => {}
        }
        Ok(())
    }

    fn end_field(&mut self, field: Field, text: Range<usize>) -> Result<(), PrimaryError> {
        match field {
            Field::Name => self.package.name = text,
            Field::Arch => self.package.arch = text,
            Field::Source => self.package.source = text,
            Field::File => {
                self.count_entry()?;
                if self.package.slice(&text).starts_with('/') {
                    self.package.files.push(text);
                } else {
                    self.spoil("a file without an absolute path");
                }
            }
            Field::Checksum => {
                match Checksum::parse(&self.checksum_kind, self.package.slice(&text)) {
                    Ok(checksum) => self.package.checksum = Some(checksum),
                    Err(ChecksumError::Kind(kind)) => {
                        let package = Foreign::new(self.package.name());
                        return Err(PrimaryError::Weak { package, kind });
                    }
                    Err(error @ ChecksumError::Form(..)) => self.spoil(error.to_string()),
                }
            }
        }
        Ok(())
    }

    fn end_package(&mut self) {
        let package = &self.package;
        if matches!(package.arch(), "src" | "nosrc") {
            self.summary.sources += 1;
            return;
        }
        let (version, release) = (package.slice(&package.version), package.slice(&package.release));
        let wrong = match (self.wrong.take(), &package.checksum) {
            (Some(why), _) => Some(why),
            _ if package.text.bytes().any(|byte| byte.is_ascii_control()) => {
                Some("a control character in a name".to_owned())
            }
            (None, None) => Some("it has no checksum".to_owned()),
            (None, Some(_)) if package.location().is_empty() => {
                Some("it has no location".to_owned())
            }
            (None, Some(_)) => {
                Nevra::new(package.name(), package.epoch, version, release, package.arch())
                    .err()
                    .map(|error| error.to_string())
            }
        };
        match wrong {
            None => {
                self.summary.packages += 1;
                (self.take)(&self.package);
            }
            Some(why) => {
                self.summary.skipped += 1;
                if self.summary.examples.len() < EXAMPLES {
                    let package = Foreign::new(self.package.name());
                    self.summary.examples.push(Skipped { package, why });
                }
            }
        }
    }

    /// Notes what is wrong with the package; the first thing stays.
    fn spoil(&mut self, why: impl Into<String>) {
        self.wrong.get_or_insert_with(|| why.into());
    }

    fn count_entry(&mut self) -> Result<(), PrimaryError> {
        let cap = self.caps.entries;
        if self.package.entries.len() + self.package.files.len() == cap {
            return Err(PrimaryError::Large { what: "entries of one package", cap });
        }
        Ok(())
    }

    fn check_text(&self) -> Result<(), PrimaryError> {
        let cap = self.caps.text;
        if self.package.text.len() > cap {
            return Err(PrimaryError::Large { what: "bytes of one package", cap });
        }
        Ok(())
    }
}

fn attribute<'a>(tag: &'a BytesStart<'_>, name: &str) -> Option<Cow<'a, str>> {
    tag.attributes()
        .with_checks(false)
        .flatten()
        .find(|attribute| attribute.key.as_ref() == name)
        .and_then(|attribute| attribute.normalized_value(XmlVersion::Explicit1_0).ok())
}

/// Puts `[epoch:]version[-release]` at the end of the package's text. An epoch of 0 is left out,
/// but where the version would read as one.
fn keep_evr(
    package: &mut Package,
    epoch: Option<&str>,
    version: Option<&str>,
    release: Option<&str>,
) {
    let version = version.unwrap_or_default();
    match epoch {
        Some(epoch) if !epoch.is_empty() && epoch != "0" => {
            package.keep(epoch);
            package.keep(":");
        }
        _ if version.contains(':') => {
            package.keep("0:");
        }
        _ => {}
    }
    package.keep(version);
    if let Some(release) = release.filter(|release| !release.is_empty()) {
        package.keep("-");
        package.keep(release);
    }
}
