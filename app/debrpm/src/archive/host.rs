//! What the host's own apt is set up to fetch from, turned to another suite.
//!
//! Formats: sources.list(5), in both of its styles.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command;
use crate::debian::stanza::Stanza;
use crate::debian::stanzas;
use crate::error::{DebrpmError, io_error};

/// Parts of an archive that a distribution is made from.
const COMPONENTS: &[&str] = &["main", "universe"];
/// Names that stand for a release besides its codename.
const STEMS: &[&str] = &["stable", "oldstable", "testing"];

/// One source of binary packages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    /// `Signed-By` and its like, as they stand.
    options: Vec<(String, String)>,
}

impl Source {
    /// Reads a stanza of a `.sources` file; `None` where it gives no binary packages.
    fn from_stanza(stanza: &Stanza<'_>) -> Option<Self> {
        let words = |field| -> Vec<String> {
            let value = stanza.field(field).unwrap_or_default();
            value.split_whitespace().map(str::to_owned).collect()
        };
        let off = stanza.field("Enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
        if off || !words("Types").iter().any(|word| word == "deb") {
            return None;
        }
        let options = ["Signed-By", "Trusted"]
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), stanza.field(name)?.to_owned())))
            .collect();
        Some(Self {
            uris: words("URIs"),
            suites: words("Suites"),
            components: words("Components"),
            options,
        })
    }

    /// Reads a line of a `.list` file: `deb [option=value …] URI suite component…`.
    fn from_line(line: &str) -> Option<Self> {
        let rest = line.split('#').next()?.trim().strip_prefix("deb")?;
        let rest = rest.strip_prefix([' ', '\t'])?.trim();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(bracket) => bracket.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace().map(str::to_owned);
        let (uri, suite) = (words.next()?, words.next()?);
        let options = options
            .split_whitespace()
            .filter_map(|option| option.split_once('='))
            .filter_map(|(name, value)| {
                let name = match name.trim_end_matches(['+', '-']) {
                    "signed-by" => "Signed-By",
                    "trusted" => "Trusted",
                    _ => return None,
                };
                Some((name.to_owned(), value.replace(',', " ")))
            })
            .collect();
        Some(Self { uris: vec![uri], suites: vec![suite], components: words.collect(), options })
    }

    /// The same source for another release, if it is one of the release `own` that the host
    /// runs: its `-updates` and `-security` go along.
    fn turned(&self, own: &str, suite: &str) -> Option<Self> {
        let components: Vec<String> = COMPONENTS
            .iter()
            .filter(|name| self.components.iter().any(|component| component == *name))
            .map(|name| (*name).to_owned())
            .collect();
        let rolling = ["sid", "unstable"].contains(&suite);
        let suites: Vec<String> = self
            .suites
            .iter()
            .filter_map(|known| {
                let stems = STEMS.iter().copied().chain([own]);
                stems.filter_map(|stem| known.strip_prefix(stem)).find(|suffix| {
                    suffix.is_empty() || ["-updates", "-security"].contains(suffix) && !rolling
                })
            })
            .map(|suffix| format!("{suite}{suffix}"))
            .collect();
        let fits = components.iter().any(|name| name == "main") && !suites.is_empty();
        fits.then(|| Self { suites, components, ..self.clone() })
    }

    /// The source in the style of a `.sources` file.
    pub(crate) fn stanza(&self) -> String {
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\n",
            self.uris.join(" "),
            self.suites.join(" "),
            self.components.join(" ")
        );
        for (name, value) in &self.options {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text
    }
}

/// The host's sources, turned to `suite`. Empty where none of them holds the host's own release.
pub(crate) fn sources(suite: &str) -> Result<Vec<Source>, DebrpmError> {
    let own = codename()?;
    let mut found = BTreeSet::new();
    for file in files()? {
        let text = fs::read_to_string(&file).map_err(io_error("reading", &file))?;
        let sources: Vec<Source> = match file.extension().and_then(|ending| ending.to_str()) {
            Some("sources") => stanzas(&text).filter_map(|s| Source::from_stanza(&s)).collect(),
            _ => text.lines().filter_map(Source::from_line).collect(),
        };
        found.extend(sources.iter().filter_map(|source| source.turned(&own, suite)));
    }
    Ok(found.into_iter().collect())
}

/// The codename of the release that the host runs (os-release(5)).
fn codename() -> Result<String, DebrpmError> {
    let path = Path::new("/etc/os-release");
    let text = fs::read_to_string(path).map_err(io_error("reading", path))?;
    let value = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(value.unwrap_or_default().trim_matches('"').to_owned())
}

/// Where apt reads its sources from: it may be told so by its own configuration.
fn files() -> Result<Vec<PathBuf>, DebrpmError> {
    let mut ask = Command::new("apt-config");
    ask.args(["shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"]);
    let answer = command::run(&mut ask, "asking where sources are")?;
    let answer = String::from_utf8_lossy(&answer);
    let path = |name: &str| {
        let value = answer.lines().find_map(|line| line.strip_prefix(name));
        value.map(|value| PathBuf::from(value.trim_matches('\'')))
    };
    let mut files: Vec<PathBuf> = path("LIST=").into_iter().filter(|file| file.is_file()).collect();
    let Some(parts) = path("PARTS=") else { return Ok(files) };
    let entries = match fs::read_dir(&parts) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(io_error("listing", &parts)(error)),
    };
    for entry in entries {
        let file = entry.map_err(io_error("listing", &parts))?.path();
        let ending = file.extension().and_then(|ending| ending.to_str());
        if matches!(ending, Some("list" | "sources")) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Source {
        Source::from_stanza(&stanzas(text).next().expect("a stanza")).expect("a source")
    }

    #[test]
    fn a_source_of_the_hosts_release_turns_to_another() {
        let source = read(
            "Types: deb deb-src\nURIs: http://a.example/debian\nSuites: bookworm bookworm-updates\n\
             Components: main contrib\nSigned-By: /k.gpg\n",
        );
        let turned = source.turned("bookworm", "trixie").expect("it fits");
        let expected = "Types: deb\nURIs: http://a.example/debian\nSuites: trixie trixie-updates\n\
                        Components: main\nSigned-By: /k.gpg\n";
        assert_eq!(turned.stanza(), expected);
        assert_eq!(source.turned("bookworm", "sid").expect("it fits").suites, ["sid"]);
        assert_eq!(source.turned("noble", "trixie"), None);
    }

    #[test]
    fn a_line_reads_as_the_stanza_that_says_the_same() {
        let line =
            "deb [arch=amd64 signed-by=/k.gpg] https://b.example/d bookworm-security main # x";
        let source = Source::from_line(line).expect("a source");
        assert_eq!(source.options, [("Signed-By".to_owned(), "/k.gpg".to_owned())]);
        let turned = source.turned("bookworm", "trixie").expect("it fits");
        assert_eq!(turned.suites, ["trixie-security"]);
    }

    #[test]
    fn other_peoples_archives_and_sources_that_are_off_are_passed_over() {
        for line in ["# deb x y z", "deb-src http://a b main", "deb http://a", ""] {
            assert_eq!(Source::from_line(line), None, "{line:?}");
        }
        let line = Source::from_line("deb http://a bookworm-pgdg main").expect("a source");
        assert_eq!(line.turned("bookworm", "trixie"), None);
        let line = Source::from_line("deb http://a bookworm stable").expect("a source");
        assert_eq!(line.turned("bookworm", "trixie"), None);
        let off = "Types: deb\nEnabled: no\nURIs: http://a\nSuites: bookworm\nComponents: main\n";
        assert_eq!(Source::from_stanza(&stanzas(off).next().expect("a stanza")), None);
    }
}
