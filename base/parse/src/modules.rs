//! Module metadata (`modules.yaml`): which packages of a repository belong to which stream of
//! which module, and which stream counts where nobody chooses.
//!
//! A repository of Enterprise Linux 8 or 9 holds the packages of all streams side by side; dnf
//! hides those of streams that are not active, and so must whoever solves over it.
//!
//! Source: libmodulemd's yaml_specs (modulemd_stream_v2.yaml, modulemd_defaults_v1.yaml). Only
//! the block style that libmodulemd itself writes is read, line by line, and only the few keys
//! that decide: no general YAML, whose anchors and tags nobody needs here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read};

use kiln_model::{Foreign, Nevra};

/// The most bytes of a document unpacked. AlmaLinux 8's has about 10 MB.
pub const MODULES_CAP: u64 = 256 << 20;

/// The longest line, in bytes.
const LINE_CAP: u64 = 64 << 10;

/// Streams, and packages of all of them.
const STREAMS: usize = 20_000;
const ARTIFACTS: usize = 2_000_000;

/// Why module metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// They cannot be read or unpacked.
    #[error("reading the modules")]
    Io(#[source] io::Error),
    /// A document that says too little, or something that is not what it should be.
    #[error("line {line} of the modules: {what}")]
    Form {
        /// Where.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// More than any repository has.
    #[error("more than {0} of them")]
    Many(usize),
}

/// Everything that a repository says of modules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Modules {
    streams: Vec<Stream>,
    /// Module to the stream that counts where nobody chooses.
    defaults: BTreeMap<String, String>,
}

/// One build of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Stream {
    name: String,
    stream: String,
    /// Of each alternative, the modules that it needs and in which streams.
    needs: Vec<BTreeMap<String, Vec<String>>>,
    artifacts: Vec<String>,
}

impl Modules {
    /// Reads the documents.
    pub fn parse(from: impl BufRead) -> Result<Self, ModulesError> {
        Parser::default().run(from)
    }

    /// The packages that nobody may see: of streams that are neither in `chosen`
    /// (`module:stream`), nor the default of a module that is not in it, nor needed by one of
    /// these; and of builds that need another stream than the active one. Sorted, as NEVRAs;
    /// source and debug packages are left out, since nothing is built against them.
    pub fn hidden(&self, chosen: &[String]) -> Vec<Nevra> {
        let active = self.active(chosen);
        let (shown, hidden): (Vec<&Stream>, Vec<&Stream>) =
            self.streams.iter().partition(|stream| stream.is_active(&active));
        // A package may belong to several builds; one that is active is enough.
        let shown: BTreeSet<&String> = shown.into_iter().flat_map(|one| &one.artifacts).collect();
        let hidden = hidden.into_iter().flat_map(|one| &one.artifacts);
        let hidden: BTreeSet<Nevra> = hidden
            .filter(|package| !shown.contains(package))
            .filter_map(|package| package.parse().ok())
            .filter(is_built_against)
            .collect();
        hidden.into_iter().collect()
    }

    /// Module to active stream. What an active stream needs becomes active with it, unless
    /// another stream of that module is; as in dnf.
    fn active<'a>(&'a self, chosen: &'a [String]) -> BTreeMap<&'a str, &'a str> {
        let mut active: BTreeMap<&str, &str> =
            self.defaults.iter().map(|(name, stream)| (&**name, &**stream)).collect();
        active.extend(chosen.iter().filter_map(|choice| choice.split_once(':')));
        loop {
            let more = self.streams.iter().filter(|one| one.is_chosen(&active)).find_map(|one| {
                let needs = one.needs.first()?.iter();
                let mut open = needs.filter(|(name, _)| {
                    **name != "platform" && !active.contains_key(name.as_str())
                });
                open.find_map(|(name, streams)| self.newest(name, streams))
            });
            match more {
                Some((name, stream)) => active.insert(name, stream),
                None => return active,
            };
        }
    }

    /// The last of the streams that there are of a module and that will do.
    fn newest(&self, name: &str, streams: &[String]) -> Option<(&str, &str)> {
        let mut there = self.streams.iter().rev().filter(|one| one.name == name);
        let found = there.find(|one| will_do(streams, &one.stream))?;
        Some((&found.name, &found.stream))
    }
}

impl Stream {
    fn is_chosen(&self, active: &BTreeMap<&str, &str>) -> bool {
        active.get(&*self.name) == Some(&&*self.stream)
    }

    fn is_active(&self, active: &BTreeMap<&str, &str>) -> bool {
        let met = |needs: &BTreeMap<String, Vec<String>>| {
            needs.iter().all(|(name, streams)| match active.get(name.as_str()) {
                Some(active) => will_do(streams, active),
                // The platform is the distribution itself.
                None => name == "platform",
            })
        };
        self.is_chosen(active) && (self.needs.is_empty() || self.needs.iter().any(met))
    }
}

/// Whether a stream meets a requirement: `[]` any does, `[a, b]` one of them, `[-a]` any other.
fn will_do(wanted: &[String], stream: &str) -> bool {
    let refused = wanted.iter().any(|one| one.strip_prefix('-') == Some(stream));
    let mut named = wanted.iter().filter(|one| !one.starts_with('-')).peekable();
    !refused && (named.peek().is_none() || named.any(|one| one == stream))
}

fn is_built_against(package: &Nevra) -> bool {
    let name = package.name();
    package.arch() != "src" && !name.ends_with("-debuginfo") && !name.ends_with("-debugsource")
}

#[derive(Default)]
struct Parser {
    modules: Modules,
    line: usize,
    artifacts: usize,
    document: Document,
}

/// The document that is being read.
#[derive(Default)]
struct Document {
    kind: String,
    stream: Stream,
    /// Of defaults: the module.
    module: String,
    section: Section,
}

/// Where in `data` a line stands.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Section {
    #[default]
    Other,
    Artifacts,
    Rpms,
    Dependencies,
    Requires,
}

impl Parser {
    fn run(mut self, mut from: impl BufRead) -> Result<Modules, ModulesError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            (&mut from).take(LINE_CAP).read_until(b'\n', &mut line).map_err(ModulesError::Io)?;
            if line.is_empty() {
                break;
            }
            self.line += 1;
            if line.len() as u64 == LINE_CAP {
                return Err(self.form("too long"));
            }
            let text = std::str::from_utf8(&line).map_err(|_| self.form("not UTF-8"))?.trim_end();
            match text {
                "---" | "..." => self.end()?,
                _ => self.read(text)?,
            }
        }
        self.end()?;
        Ok(self.modules)
    }

    fn form(&self, what: &'static str) -> ModulesError {
        ModulesError::Form { line: self.line, what }
    }

    fn read(&mut self, text: &str) -> Result<(), ModulesError> {
        let inner = text.trim_start();
        let indent = text.len() - inner.len();
        if inner.is_empty() || inner.starts_with('#') {
            return Ok(());
        }
        if indent == 0 {
            if let Some(kind) = value_of(inner, "document") {
                self.document.kind = kind;
            }
            return Ok(());
        }
        // Lists stand as deep as the key that they belong to, or deeper.
        if indent == 2 && !inner.starts_with("- ") {
            return self.key(inner);
        }
        match self.document.section {
            Section::Artifacts if inner == "rpms:" => self.document.section = Section::Rpms,
            Section::Rpms => match inner.strip_prefix("- ") {
                Some(package) => self.artifact(package)?,
                None => self.document.section = Section::Artifacts,
            },
            Section::Dependencies | Section::Requires => self.dependency(indent, inner)?,
            Section::Artifacts | Section::Other => {}
        }
        Ok(())
    }

    /// A key of `data` itself.
    fn key(&mut self, inner: &str) -> Result<(), ModulesError> {
        let document = &mut self.document;
        document.section = match inner {
            "artifacts:" => Section::Artifacts,
            "dependencies:" => Section::Dependencies,
            _ => Section::Other,
        };
        if let Some(name) = value_of(inner, "name") {
            document.stream.name = name;
        } else if let Some(stream) = value_of(inner, "stream") {
            document.stream.stream = stream;
        } else if let Some(module) = value_of(inner, "module") {
            document.module = module;
        }
        Ok(())
    }

    fn artifact(&mut self, package: &str) -> Result<(), ModulesError> {
        self.artifacts += 1;
        if self.artifacts > ARTIFACTS {
            return Err(ModulesError::Many(ARTIFACTS));
        }
        self.document.stream.artifacts.push(plain(package));
        Ok(())
    }

    /// A line of `dependencies`: alternatives, each with `buildrequires` and `requires`.
    fn dependency(&mut self, indent: usize, inner: &str) -> Result<(), ModulesError> {
        let document = &mut self.document;
        let (begins, inner) = match inner.strip_prefix("- ") {
            Some(rest) => (true, rest.trim_start()),
            None => (false, inner),
        };
        if begins {
            document.stream.needs.push(BTreeMap::new());
        }
        if begins || indent <= 4 {
            let requires = inner == "requires:";
            document.section = if requires { Section::Requires } else { Section::Dependencies };
            return Ok(());
        }
        if document.section != Section::Requires {
            return Ok(());
        }
        let Some((name, streams)) = inner.split_once(':') else {
            return Err(self.form("a requirement without a module"));
        };
        let streams = streams.trim();
        let list = streams.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        // Version 1 has a stream there, not a list.
        let list = list.unwrap_or(streams);
        if streams.is_empty() {
            return Err(self.form("streams that do not stand on one line"));
        }
        let streams = list.split(',').map(plain).filter(|stream| !stream.is_empty()).collect();
        let needs = &mut document.stream.needs;
        if needs.is_empty() {
            needs.push(BTreeMap::new());
        }
        if let Some(needs) = needs.last_mut() {
            needs.insert(plain(name), streams);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ModulesError> {
        let Document { kind, stream, module, .. } = std::mem::take(&mut self.document);
        match kind.as_str() {
            "modulemd" | "modulemd-stream" => {
                if stream.name.is_empty() || stream.stream.is_empty() {
                    return Err(self.form("a stream without a name"));
                }
                if self.modules.streams.len() == STREAMS {
                    return Err(ModulesError::Many(STREAMS));
                }
                self.modules.streams.push(stream);
            }
            "modulemd-defaults" if !stream.stream.is_empty() => {
                self.modules.defaults.insert(module, stream.stream);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The value of `key: value`; `None` where the line is another.
fn value_of(inner: &str, key: &str) -> Option<String> {
    let value = inner.strip_prefix(key)?.strip_prefix(':')?;
    let value = plain(value);
    (!value.is_empty()).then_some(value)
}

/// A scalar without its quotes.
fn plain(text: &str) -> String {
    let text = text.trim();
    let quoted = |quote| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let text = quoted('"').or_else(|| quoted('\'')).unwrap_or(text);
    Foreign::capped(text, 512).as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"---
document: modulemd
version: 2
data:
  name: kiln
  stream: "1.10"
  version: 8000020190424152135
  context: ab753183
  summary: A stream
  description: >-
    name: not a name
  dependencies:
  - buildrequires:
      clay: [9]
      platform: [el8.0.0]
    requires:
      clay: [1, 2]
      platform: [el8]
  profiles:
    default:
      rpms:
      - kiln
  artifacts:
    rpms:
    - kiln-0:1.10-1.module+el8+1+abc.src
    - kiln-0:1.10-1.module+el8+1+abc.x86_64
    - kiln-debuginfo-0:1.10-1.module+el8+1+abc.x86_64
    - shared-0:1-1.module+el8.noarch
...
---
document: modulemd
version: 2
data:
  name: kiln
  stream: 2
  dependencies:
  - requires:
      clay: []
      platform: [el8]
  artifacts:
    rpms:
    - kiln-3:2.0-1.module+el8+2+def.x86_64
    - shared-0:1-1.module+el8.noarch
...
---
document: modulemd
version: 2
data:
  name: clay
  stream: 3
  artifacts:
    rpms:
      - clay-0:3-1.module+el8.x86_64
...
---
document: modulemd-defaults
version: 1
data:
  module: kiln
  stream: 2
  profiles:
    2: []
...
---
document: modulemd-defaults
version: 1
data:
  module: clay
  profiles:
    3: [common]
...
"#;

    fn hidden(chosen: &[&str]) -> Vec<String> {
        let chosen: Vec<String> = chosen.iter().map(|text| (*text).to_owned()).collect();
        let modules = Modules::parse(TEXT.as_bytes()).expect("modules");
        modules.hidden(&chosen).iter().map(ToString::to_string).collect()
    }

    const CLAY: &str = "clay-3-1.module+el8.x86_64";
    const KILN1: &str = "kiln-1.10-1.module+el8+1+abc.x86_64";
    const KILN2: &str = "kiln-3:2.0-1.module+el8+2+def.x86_64";
    const SHARED: &str = "shared-1-1.module+el8.noarch";

    #[test]
    fn packages_of_streams_that_are_not_active_are_hidden() {
        // kiln:2 is the default; it needs any clay, and so the only one there is.
        assert_eq!(hidden(&[]), [KILN1]);
        assert_eq!(hidden(&["kiln:1.10"]), [CLAY, KILN1, KILN2, SHARED]);
        assert_eq!(hidden(&["clay:2", "kiln:1.10"]), [CLAY, KILN2]);
        assert_eq!(hidden(&["kiln:none"]), [CLAY, KILN1, KILN2, SHARED]);
    }

    #[test]
    fn what_a_build_needs_of_others_is_any_one_of_or_none_of_their_streams() {
        let will_do = |streams: &[&str]| {
            let streams: Vec<String> = streams.iter().map(|text| (*text).to_owned()).collect();
            super::will_do(&streams, "2")
        };
        assert!(will_do(&[]) && will_do(&["1", "2"]) && will_do(&["-1"]));
        assert!(!will_do(&["1"]) && !will_do(&["-2"]) && !will_do(&["-2", "2"]));
    }

    #[test]
    fn what_is_no_such_document_is_refused_with_its_line() {
        for (text, line) in [
            ("---\ndocument: modulemd\ndata:\n  name: x\n", 4),
            (
                "document: modulemd\ndata:\n  name: x\n  stream: 1\n  dependencies:\n  - requires:\n      x:\n",
                7,
            ),
            ("document: modulemd\n\u{fffd}".replace('\u{fffd}', "x").as_str(), 2),
        ] {
            let error = Modules::parse(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(&format!("line {line}")), "{error}");
        }
        assert!(Modules::parse(&b"a\xff\n"[..]).is_err());
        assert!(Modules::parse("x".repeat(1 << 20).as_bytes()).is_err());
        assert_eq!(Modules::parse(&b""[..]).expect("nothing"), Modules::default());
        assert_eq!(Modules::parse(&b"<html>\n"[..]).expect("nothing"), Modules::default());
    }
}
