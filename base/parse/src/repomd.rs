//! `repomd.xml`: which metadata a repository has, where, and what their bytes hash to.
//!
//! Format: the `repomd` document of rpm-md, as createrepo_c writes it (`xml_dump_repomd.c`) and
//! as librepo reads it; there is no other standard.

use kiln_model::Foreign;

use crate::checksum::{Checksum, ChecksumError};
use crate::place::{self, PlaceError};
use crate::xml::{self, Element, XmlError};

/// The most bytes a `repomd.xml` may have. Fedora's has about 8 KiB.
pub const REPOMD_CAP: u64 = 1 << 20;

/// Records in one document; Fedora's has 19.
const RECORDS: usize = 256;

/// Characters of a revision.
const REVISION_CAP: usize = 128;

/// What a record describes. Others exist; kiln has no use for them and passes them by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The packages with their requirements.
    Primary,
    /// Every file of every package.
    Filelists,
    /// Which packages belong to which module stream (YAML).
    Modules,
}

impl Kind {
    /// The word for it in `repomd.xml`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Filelists => "filelists",
            Self::Modules => "modules",
        }
    }

    const ALL: [Self; 3] = [Self::Primary, Self::Filelists, Self::Modules];
}

/// A whole `repomd.xml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repomd {
    /// What the repository calls this generation; by habit a number of seconds. May be empty.
    pub revision: String,
    /// Its records of the kinds that kiln uses, each kind at most once.
    pub records: Vec<Record>,
    /// The newest time stamp of any record, in seconds since 1970; 0 where there is none.
    pub made: u64,
}

/// One piece of metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub kind: Kind,
    /// Where it is, relative to the repository's base; checked to stay in it.
    pub location: String,
    /// What the bytes as they lie there hash to.
    pub checksum: Checksum,
    /// What they hash to unpacked, where that is said in an algorithm that kiln takes.
    pub open_checksum: Option<Checksum>,
    /// The number of bytes as they lie there, where that is said.
    pub size: Option<u64>,
    /// The number of bytes unpacked, where that is said.
    pub open_size: Option<u64>,
    /// Its time stamp in seconds since 1970, where that is said.
    pub timestamp: Option<u64>,
}

/// Why a `repomd.xml` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepomdError {
    /// It cannot be read at all.
    #[error("reading repomd.xml")]
    Xml(#[source] XmlError),
    /// More records than a repository has.
    #[error("repomd.xml has more than {RECORDS} records")]
    Many,
    /// A record that kiln needs is there twice.
    #[error("repomd.xml has two records of '{0}'")]
    Twice(&'static str),
    /// There is no record of the packages.
    #[error("repomd.xml has no record of 'primary'")]
    NoPrimary,
    /// A record lacks something.
    #[error("the record of '{0}' in repomd.xml has no {1}")]
    Lacks(&'static str, &'static str),
    /// A location is not one, or leads out of the repository.
    #[error("the location of '{0}' in repomd.xml")]
    Location(&'static str, #[source] PlaceError),
    /// The location is said to be relative to another place.
    #[error("the location of '{0}' in repomd.xml has a base of its own: {1}")]
    Base(&'static str, Foreign),
    /// A checksum is malformed or of a kind that is too weak.
    #[error("the checksum of '{0}' in repomd.xml")]
    Checksum(&'static str, #[source] ChecksumError),
    /// A number is not one.
    #[error("the {1} of '{0}' in repomd.xml is not a number: {2}")]
    Number(&'static str, &'static str, Foreign),
}

impl Repomd {
    /// Reads the bytes of a `repomd.xml`, which the caller has held under [`REPOMD_CAP`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RepomdError> {
        let root = xml::read(bytes, "repomd").map_err(RepomdError::Xml)?;
        let revision = root.child("revision").map(Element::text).unwrap_or_default();
        let mut repomd = Self { revision: tame(revision), records: Vec::new(), made: 0 };
        for (index, data) in root.children("data").enumerate() {
            if index == RECORDS {
                return Err(RepomdError::Many);
            }
            if let Ok(Some(timestamp)) = number(data, "", "timestamp") {
                repomd.made = repomd.made.max(timestamp);
            }
            let word = data.attribute("type").unwrap_or_default();
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.word() == word) else {
                continue;
            };
            if repomd.find(kind).is_some() {
                return Err(RepomdError::Twice(kind.word()));
            }
            repomd.records.push(record(data, kind)?);
        }
        if repomd.find(Kind::Primary).is_none() {
            return Err(RepomdError::NoPrimary);
        }
        Ok(repomd)
    }

    /// The record of that kind.
    pub fn find(&self, kind: Kind) -> Option<&Record> {
        self.records.iter().find(|record| record.kind == kind)
    }

    /// The record of the packages.
    pub fn primary(&self) -> &Record {
        self.find(Kind::Primary).expect("parse refuses a document without it")
    }
}

fn tame(revision: &str) -> String {
    Foreign::capped(revision, REVISION_CAP).as_str().to_owned()
}

fn record(data: &Element, kind: Kind) -> Result<Record, RepomdError> {
    let word = kind.word();
    let location = data.child("location").ok_or(RepomdError::Lacks(word, "location"))?;
    // `xml:base` lets a record lie on another host; nobody uses it, and it would lead anywhere.
    if let Some(base) = location.attribute("base").or(data.attribute("base")) {
        return Err(RepomdError::Base(word, Foreign::new(base)));
    }
    let href = location.attribute("href").ok_or(RepomdError::Lacks(word, "location"))?;
    place::check_location(href).map_err(|error| RepomdError::Location(word, error))?;
    let sum = data.child("checksum").ok_or(RepomdError::Lacks(word, "checksum"))?;
    Ok(Record {
        kind,
        location: href.to_owned(),
        checksum: checksum(sum).map_err(|error| RepomdError::Checksum(word, error))?,
        open_checksum: data.child("open-checksum").and_then(|open| checksum(open).ok()),
        size: number(data, word, "size")?,
        open_size: number(data, word, "open-size")?,
        timestamp: number(data, word, "timestamp")?,
    })
}

fn checksum(element: &Element) -> Result<Checksum, ChecksumError> {
    Checksum::parse(element.attribute("type").unwrap_or_default(), element.text())
}

/// A number of bytes or of seconds. Old createrepo wrote time stamps with a fraction.
fn number(
    data: &Element,
    word: &'static str,
    what: &'static str,
) -> Result<Option<u64>, RepomdError> {
    let Some(element) = data.child(what) else { return Ok(None) };
    let text = element.text();
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    match whole.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(RepomdError::Number(word, what, Foreign::new(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn document(records: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <repomd xmlns=\"http://linux.duke.edu/metadata/repo\" \
             xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\">\n\
             <revision>1760000000</revision>{records}</repomd>"
        )
    }

    fn primary(location: &str, checksum: &str) -> String {
        format!(
            "<data type=\"primary\">{checksum}\
             <open-checksum type=\"sha256\">{SUM}</open-checksum>{location}\
             <timestamp>1760000001.25</timestamp><size>5</size><open-size>9</open-size></data>"
        )
    }

    fn sound() -> String {
        primary(
            "<location href=\"repodata/primary.xml.zst\"/>",
            &format!("<checksum type=\"sha256\">{SUM}</checksum>"),
        )
    }

    #[test]
    fn records_are_read_with_their_sizes_and_stamps() {
        let other = "<data type=\"primary_db\"><checksum type=\"md5\">x</checksum></data>";
        let repomd = Repomd::parse(document(&format!("{}{other}", sound())).as_bytes());
        let repomd = repomd.expect("a document");
        assert_eq!(repomd.revision, "1760000000");
        assert_eq!(repomd.made, 1_760_000_001);
        let primary = repomd.primary();
        assert_eq!(primary.location, "repodata/primary.xml.zst");
        assert_eq!(primary.checksum, Checksum::parse("sha256", SUM).expect("a checksum"));
        assert_eq!((primary.size, primary.open_size), (Some(5), Some(9)));
        assert!(repomd.find(Kind::Filelists).is_none());
    }

    #[test]
    fn what_could_lead_out_of_the_repository_is_refused() {
        let sum = format!("<checksum type=\"sha256\">{SUM}</checksum>");
        for location in [
            "",
            "<location/>",
            "<location href=\"\"/>",
            "<location href=\"../primary.xml\"/>",
            "<location href=\"/etc/passwd\"/>",
            "<location href=\"file:///etc/passwd\"/>",
            "<location href=\"https://evil.example/primary.xml\"/>",
            "<location href=\"repodata/%2e%2e/%2e%2e/x\"/>",
            "<location href=\"repodata/x&#10;y\"/>",
            "<location href=\"repodata/x\" xml:base=\"https://evil.example/\"/>",
        ] {
            let text = document(&primary(location, &sum));
            assert!(Repomd::parse(text.as_bytes()).is_err(), "{location}");
        }
    }

    #[test]
    fn weak_or_missing_checksums_are_refused() {
        let location = "<location href=\"repodata/primary.xml\"/>";
        for sum in [
            "",
            "<checksum>x</checksum>",
            "<checksum type=\"md5\">d41d8cd98f00b204e9800998ecf8427e</checksum>",
            "<checksum type=\"sha\">da39a3ee5e6b4b0d3255bfef95601890afd80709</checksum>",
            "<checksum type=\"sha256\">e3b0</checksum>",
        ] {
            let text = document(&primary(location, sum));
            assert!(Repomd::parse(text.as_bytes()).is_err(), "{sum}");
        }
    }

    #[test]
    fn what_is_missing_twice_or_endless_is_named() {
        let many = document(&"<data type=\"x\"/>".repeat(1_000_000));
        let nan = sound().replace("<size>5", "<size>-5");
        for (text, why) in [
            (document(""), "no record of 'primary'"),
            (document(&sound().repeat(2)), "two records"),
            (document(&nan), "not a number"),
            (many, "reading repomd.xml"),
            (document(&"<data type=\"x\"/>".repeat(300)), "more than 256"),
            ("<html>Not Found</html>".to_owned(), "reading repomd.xml"),
            (sound()[..40].to_owned(), "reading repomd.xml"),
        ] {
            let error = Repomd::parse(text.as_bytes()).expect_err(why).to_string();
            assert!(error.contains(why), "{error} has not '{why}'");
        }
    }
}
