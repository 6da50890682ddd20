//! What rpm-md says of a package: read from its header, as createrepo_c reads it.
//!
//! There is no standard; the source is createrepo_c's src/parsehdr.c and src/xml_dump_*.c, and
//! an oracle test compares with the program itself.

mod dependencies;
mod files;

use std::fmt::Write as _;
use std::io::{self, Read};

use kiln_model::{Digest, Fault, Faulty, Hasher, Nevra, NevraError};
use kiln_parse::rpmfile::{HeadCap, RpmError};
use kiln_parse::rpmhead::{Head, Tags};
use serde::{Deserialize, Serialize};

use crate::markup::{MarkupError, exact, prose, push_attribute, push_element, push_text};
use dependencies::push_dependencies;
use files::Files;

/// Changelog entries that are kept, as createrepo_c does without options.
const CHANGES: usize = 10;

/// Tags of rpm's lib/rpmtag.h.
mod tag {
    pub(super) const LONG_ARCHIVE_SIZE: u32 = 271;
    pub(super) const NAME: u32 = 1000;
    pub(super) const VERSION: u32 = 1001;
    pub(super) const RELEASE: u32 = 1002;
    pub(super) const EPOCH: u32 = 1003;
    pub(super) const SUMMARY: u32 = 1004;
    pub(super) const DESCRIPTION: u32 = 1005;
    pub(super) const BUILD_TIME: u32 = 1006;
    /// In the signature header, the size of the payload unpacked.
    pub(super) const SIG_PAYLOAD_SIZE: u32 = 1007;
    pub(super) const BUILD_HOST: u32 = 1007;
    pub(super) const SIZE: u32 = 1009;
    pub(super) const VENDOR: u32 = 1011;
    pub(super) const LICENSE: u32 = 1014;
    pub(super) const PACKAGER: u32 = 1015;
    pub(super) const GROUP: u32 = 1016;
    pub(super) const URL: u32 = 1020;
    pub(super) const ARCH: u32 = 1022;
    pub(super) const SOURCE_RPM: u32 = 1044;
    pub(super) const ARCHIVE_SIZE: u32 = 1046;
    pub(super) const CHANGELOG_TIME: u32 = 1080;
    pub(super) const CHANGELOG_NAME: u32 = 1081;
    pub(super) const CHANGELOG_TEXT: u32 = 1082;
    pub(super) const LONG_SIZE: u32 = 5009;
}

/// Why a package cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// Not an RPM that kiln reads.
    #[error("reading its header")]
    Rpm(#[source] RpmError),
    /// Reading it failed.
    #[error("reading it")]
    Io(#[source] io::Error),
    /// What it calls itself is not a package's name.
    #[error("what it calls itself")]
    Nevra(#[source] NevraError),
    /// A text of it that something goes by cannot be written as XML.
    #[error(transparent)]
    Markup(#[from] MarkupError),
}

impl Faulty for DescribeError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io(_) => Fault::Host,
            Self::Rpm(_) | Self::Nevra(_) | Self::Markup(_) => Fault::Package,
        }
    }
}

/// What rpm-md says of one package, but for where its file lies. It depends on the package's
/// bytes alone, so it can be kept by their digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The digest of the file: `pkgid`.
    pub digest: Digest,
    /// What it is.
    pub nevra: Nevra,
    /// The size of the file in bytes.
    pub size: u64,
    /// When it was built, in seconds since 1970.
    pub built: u64,
    pub(crate) installed: u64,
    pub(crate) archive: u64,
    /// From `<name>` to `<url>`.
    pub(crate) head: String,
    /// The element `<format>`, without its files.
    pub(crate) format: String,
    /// The files that stand in primary metadata.
    pub(crate) primary_files: String,
    /// Every file, as in file lists.
    pub(crate) files: String,
    /// The newest changes.
    pub(crate) changes: String,
}

impl Record {
    /// Reads a package to its end: its header is described, the rest only hashed.
    pub fn read(from: &mut impl Read) -> Result<Self, DescribeError> {
        let head = Head::read(from, HeadCap::BINARY).map_err(DescribeError::Rpm)?;
        let mut hasher = Hasher::new();
        hasher.update(head.bytes());
        io::copy(from, &mut hasher).map_err(DescribeError::Io)?;
        let size = hasher.bytes();
        Self::of(&head, hasher.finish(), size)
    }

    fn of(head: &Head, digest: Digest, size: u64) -> Result<Self, DescribeError> {
        let main = head.main();
        let nevra = nevra_of(&main)?;
        let files = Files::of(&main)?;
        let first = |tags: &[(Tags<'_>, u32)]| {
            tags.iter().find_map(|(tags, tag)| tags.number(*tag)).unwrap_or(0)
        };
        let signature = head.signature();
        Ok(Self {
            digest,
            size,
            built: main.number(tag::BUILD_TIME).unwrap_or(0),
            installed: first(&[(main, tag::LONG_SIZE), (main, tag::SIZE)]),
            archive: first(&[
                (signature, tag::LONG_ARCHIVE_SIZE),
                (signature, tag::SIG_PAYLOAD_SIZE),
                (main, tag::LONG_ARCHIVE_SIZE),
                (main, tag::ARCHIVE_SIZE),
            ]),
            head: head_of(&main, &nevra, &digest),
            format: format_of(head, &main, &files)?,
            primary_files: files.primary(),
            files: files.all(),
            changes: changes_of(&main),
            nevra,
        })
    }

    /// The `<package>` of primary metadata. `location` is relative to the repository, `mtime`
    /// when the file was last changed, in seconds since 1970.
    pub(crate) fn primary(&self, location: &str, mtime: u64) -> String {
        let mut xml = String::with_capacity(512 + self.head.len() + self.format.len());
        xml.push_str("<package type=\"rpm\">");
        xml.push_str(&self.head);
        let Self { built, size, installed, archive, .. } = self;
        let numbers = format!(
            "<time file=\"{mtime}\" build=\"{built}\"/>\
             <size package=\"{size}\" installed=\"{installed}\" archive=\"{archive}\"/><location"
        );
        xml.push_str(&numbers);
        push_attribute(&mut xml, "href", location);
        xml.push_str("/><format>");
        xml.push_str(&self.format);
        xml.push_str(&self.primary_files);
        xml.push_str("</format></package>\n");
        xml
    }

    /// The `<package>` of file lists.
    pub(crate) fn filelists(&self) -> String {
        self.identified(&self.files)
    }

    /// The `<package>` of other metadata: the changes.
    pub(crate) fn other(&self) -> String {
        self.identified(&self.changes)
    }

    fn identified(&self, inside: &str) -> String {
        let mut xml = format!("<package pkgid=\"{}\"", self.digest.hex());
        push_attribute(&mut xml, "name", self.nevra.name());
        push_attribute(&mut xml, "arch", self.nevra.arch());
        xml.push('>');
        push_version(&mut xml, &self.nevra);
        xml.push_str(inside);
        xml.push_str("</package>\n");
        xml
    }
}

fn nevra_of(main: &Tags<'_>) -> Result<Nevra, DescribeError> {
    let text = |what, tag| exact(what, main.text(tag).unwrap_or_default());
    let epoch = main.number(tag::EPOCH).unwrap_or(0);
    let arch = match main.text(tag::SOURCE_RPM) {
        Some(_) => text("architecture", tag::ARCH)?,
        None => "src",
    };
    Nevra::new(
        text("name", tag::NAME)?,
        u32::try_from(epoch).unwrap_or(u32::MAX),
        text("version", tag::VERSION)?,
        text("release", tag::RELEASE)?,
        arch,
    )
    .map_err(DescribeError::Nevra)
}

fn push_version(xml: &mut String, nevra: &Nevra) {
    xml.push_str("<version");
    push_attribute(xml, "epoch", &nevra.epoch().to_string());
    push_attribute(xml, "ver", nevra.version());
    push_attribute(xml, "rel", nevra.release());
    xml.push_str("/>");
}

fn head_of(main: &Tags<'_>, nevra: &Nevra, digest: &Digest) -> String {
    let mut xml = String::new();
    push_element(&mut xml, "name", nevra.name());
    push_element(&mut xml, "arch", nevra.arch());
    push_version(&mut xml, nevra);
    write!(xml, "<checksum type=\"sha256\" pkgid=\"YES\">{}</checksum>", digest.hex())
        .expect("writing to a String cannot fail");
    for (name, tag) in [
        ("summary", tag::SUMMARY),
        ("description", tag::DESCRIPTION),
        ("packager", tag::PACKAGER),
        ("url", tag::URL),
    ] {
        push_element(&mut xml, name, &prose(main.text(tag).unwrap_or_default()));
    }
    xml
}

fn format_of(head: &Head, main: &Tags<'_>, files: &Files) -> Result<String, DescribeError> {
    let mut xml = String::new();
    for (name, tag) in [
        ("rpm:license", tag::LICENSE),
        ("rpm:vendor", tag::VENDOR),
        ("rpm:group", tag::GROUP),
        ("rpm:buildhost", tag::BUILD_HOST),
        ("rpm:sourcerpm", tag::SOURCE_RPM),
    ] {
        push_element(&mut xml, name, &prose(main.text(tag).unwrap_or_default()));
    }
    let range = head.main_range();
    write!(xml, "<rpm:header-range start=\"{}\" end=\"{}\"/>", range.start, range.end)
        .expect("writing to a String cannot fail");
    push_dependencies(&mut xml, main, files)?;
    Ok(xml)
}

fn changes_of(main: &Tags<'_>) -> String {
    let times = main.numbers(tag::CHANGELOG_TIME);
    let names = main.texts(tag::CHANGELOG_NAME);
    let texts = main.texts(tag::CHANGELOG_TEXT);
    let newest = times.iter().zip(names).zip(texts).take(CHANGES);
    // The header has the newest first, rpm-md the oldest. Entries of one time are told apart by
    // a second each.
    let mut entries: Vec<(u64, &[u8], &[u8])> =
        newest.map(|((time, name), text)| (*time, name, text)).collect();
    entries.reverse();
    let mut before: Option<(u64, u64)> = None;
    for (time, ..) in &mut entries {
        let told = match before {
            Some((same, told)) if same == *time => told + 1,
            _ => *time,
        };
        before = Some((*time, told));
        *time = told;
    }
    let mut xml = String::new();
    for (time, name, text) in entries {
        xml.push_str("<changelog");
        push_attribute(&mut xml, "author", &prose(name));
        push_attribute(&mut xml, "date", &time.to_string());
        xml.push('>');
        push_text(&mut xml, &prose(text));
        xml.push_str("</changelog>");
    }
    xml
}
