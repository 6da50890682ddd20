//! Metalink 3.0 as Fedora's MirrorManager serves it for `repomd.xml`: mirrors in order of
//! preference, and what the file hashes to now and, in the `alternates`, hashed to lately.
//!
//! Format: <http://www.metalinker.org/> version 3.0, with MirrorManager's `mm0` extension.

use kiln_model::Foreign;

use crate::checksum::Checksum;
use crate::place;
use crate::xml::{self, Element, XmlError};

/// The most bytes a metalink may have. Fedora's, with every mirror of the world, is under 60 KiB.
pub const METALINK_CAP: u64 = 4 << 20;

/// Mirrors that are kept, the best ones.
const MIRRORS: usize = 200;

/// Earlier generations that are kept. MirrorManager lists a handful.
const ALTERNATES: usize = 64;

/// The file that the metalink is about, under a mirror's base.
const REPOMD: &str = "repodata/repomd.xml";

/// What a metalink says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metalink {
    /// The repository's base on each mirror, ending in `/`, best first.
    pub places: Vec<String>,
    /// The newest generation of `repomd.xml` first, then those that mirrors may still have.
    pub generations: Vec<Generation>,
}

/// One generation of `repomd.xml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its size in bytes, where that is said.
    pub size: Option<u64>,
    /// When it was made, in seconds since 1970, where that is said.
    pub timestamp: Option<u64>,
    /// The strongest checksum that is given.
    pub checksum: Checksum,
}

/// Why a metalink cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetalinkError {
    /// It cannot be read at all.
    #[error("reading the metalink")]
    Xml(#[source] XmlError),
    /// It says nothing about a `repomd.xml`.
    #[error("the metalink says nothing about repomd.xml, but about {0}")]
    Other(Foreign),
    /// It gives no sha256 and no sha512.
    #[error("the metalink has no sha256 and no sha512 of repomd.xml")]
    NoChecksum,
    /// It has no mirror that kiln could ask.
    #[error("the metalink names no https, http or file mirror")]
    NoMirror,
}

impl Metalink {
    /// Reads the bytes of a metalink, which the caller has held under [`METALINK_CAP`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MetalinkError> {
        let root = xml::read(bytes, "metalink").map_err(MetalinkError::Xml)?;
        let files: Vec<&Element> =
            root.children("files").flat_map(|files| files.children("file")).collect();
        let file = files
            .iter()
            .find(|file| file.attribute("name") == Some("repomd.xml"))
            .ok_or_else(|| {
                let first = files.first().and_then(|file| file.attribute("name"));
                MetalinkError::Other(Foreign::new(first.unwrap_or("nothing")))
            })?;
        let newest = generation(file).ok_or(MetalinkError::NoChecksum)?;
        let earlier = file
            .children("alternates")
            .flat_map(|alternates| alternates.children("alternate"))
            .filter_map(generation)
            .take(ALTERNATES);
        let places = places(file);
        if places.is_empty() {
            return Err(MetalinkError::NoMirror);
        }
        Ok(Self { places, generations: std::iter::once(newest).chain(earlier).collect() })
    }
}

fn generation(element: &Element) -> Option<Generation> {
    let number = |name| element.child(name).and_then(|child| child.text().parse().ok());
    let hashes: Vec<&Element> = element
        .children("verification")
        .flat_map(|verification| verification.children("hash"))
        .collect();
    let checksum = ["sha512", "sha256"].into_iter().find_map(|kind| {
        let hash = hashes.iter().find(|hash| hash.attribute("type") == Some(kind))?;
        Checksum::parse(kind, hash.text()).ok()
    })?;
    Some(Generation { size: number("size"), timestamp: number("timestamp"), checksum })
}

fn places(file: &Element) -> Vec<String> {
    let mut ranked: Vec<(u32, String)> = file
        .children("resources")
        .flat_map(|resources| resources.children("url"))
        .filter_map(|url| {
            // The type is also `rsync` or `ftp`; the address says the same and is what counts.
            let base = place::base(url.text().strip_suffix(REPOMD)?).ok()?;
            let preference = url.attribute("preference").and_then(|text| text.parse().ok());
            Some((preference.unwrap_or(0), base))
        })
        .collect();
    // Stable: among equals the order of the document stays. https before http, since nothing
    // is lost by it.
    ranked.sort_by_key(|(preference, base)| {
        (std::cmp::Reverse(*preference), base.starts_with("http:"))
    });
    let mut places: Vec<String> = Vec::new();
    for (_, base) in ranked {
        if places.len() < MIRRORS && !places.contains(&base) {
            places.push(base);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(kind: &str, digits: usize, digit: char) -> String {
        format!("<hash type=\"{kind}\">{}</hash>", digit.to_string().repeat(digits))
    }

    fn document(verification: &str, urls: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\" type=\"dynamic\" \
             xmlns:mm0=\"http://fedorahosted.org/mirrormanager\"><files>\
             <file name=\"repomd.xml\"><mm0:timestamp>1760000000</mm0:timestamp>\
             <size>4500</size><verification>{verification}</verification>\
             <mm0:alternates><mm0:alternate><mm0:timestamp>1750000000</mm0:timestamp>\
             <size>4400</size><verification>{}</verification></mm0:alternate>\
             </mm0:alternates><resources maxconnections=\"1\">{urls}</resources></file>\
             </files></metalink>",
            hash("sha256", 64, 'b')
        )
    }

    fn url(preference: u32, text: &str) -> String {
        format!("<url protocol=\"https\" preference=\"{preference}\">{text}</url>")
    }

    #[test]
    fn mirrors_come_best_first_and_the_strongest_checksum_counts() {
        let urls = [
            url(90, "http://second.example/r/repodata/repomd.xml"),
            url(100, "https://first.example/r/repodata/repomd.xml"),
            url(90, "https://before-second.example/r/repodata/repomd.xml"),
            url(95, "rsync://no.example/r/repodata/repomd.xml"),
            url(99, "https://no.example/r/other.xml"),
            url(10, "https://first.example/r/repodata/repomd.xml"),
        ];
        let sums = [hash("md5", 32, 'a'), hash("sha256", 64, 'a'), hash("sha512", 128, 'a')];
        let metalink = Metalink::parse(document(&sums.concat(), &urls.concat()).as_bytes());
        let metalink = metalink.expect("a metalink");
        assert_eq!(
            metalink.places,
            [
                "https://first.example/r/",
                "https://before-second.example/r/",
                "http://second.example/r/"
            ]
        );
        let [newest, earlier] = &metalink.generations[..] else { panic!("two generations") };
        assert_eq!(newest.checksum.kind(), "sha512");
        assert_eq!((newest.size, newest.timestamp), (Some(4500), Some(1_760_000_000)));
        assert_eq!(earlier.checksum.hex(), "b".repeat(64));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let good = url(1, "https://a.example/repodata/repomd.xml");
        let sum = hash("sha256", 64, 'a');
        for (text, why) in [
            (document(&hash("md5", 32, 'a'), &good), "no sha256"),
            (document("", &good), "no sha256"),
            (document(&sum, ""), "names no"),
            (document(&sum, &url(1, "ftp://a.example/repodata/repomd.xml")), "names no"),
            (document(&sum, &good).replace("\"repomd.xml\"", "\"x.iso\""), "'x.iso'"),
            ("<metalink/>".to_owned(), "'nothing'"),
            ("# a mirrorlist".to_owned(), "reading the metalink"),
        ] {
            let error = Metalink::parse(text.as_bytes()).expect_err(why).to_string();
            assert!(error.contains(why), "{error} has not '{why}'");
        }
    }

    #[test]
    fn a_thousand_mirrors_are_two_hundred() {
        let urls: String = (0..1000)
            .map(|n| url(1, &format!("https://m{n}.example/repodata/repomd.xml")))
            .collect();
        let metalink = Metalink::parse(document(&hash("sha256", 64, 'a'), &urls).as_bytes());
        assert_eq!(metalink.expect("a metalink").places.len(), MIRRORS);
    }
}
