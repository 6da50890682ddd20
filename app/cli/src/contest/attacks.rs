//! The attacks: a folder each, with a spec that attacks and a file that says what it is.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use include_dir::{Dir, include_dir};
use kiln_jail::Barrier;
use kiln_model::{Limit, SomeLimits};
use serde::Deserialize;

use crate::Failure;

use super::lie::Lie;

/// All of them, as they lie in the tree.
static FOLDER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../tests/contest/attacks");

/// The file that says what an attack is.
const ABOUT: &str = "attack.toml";

/// What many of them are made of.
const PROBE: &str = "probe.c";

/// The spec that attacks.
pub(super) const SPEC: &str = "attack.spec";

/// What an attack is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    /// Its number in the list of threats.
    pub(super) threat: String,
    /// What it tries.
    pub(super) tries: String,
    /// What it follows.
    pub(super) precedent: String,
    /// What is looked at from outside.
    pub(super) asserted: String,
    /// What stops it.
    pub(super) stopped_by: String,
    /// By what it is known whether it got through.
    pub(super) shown: Shown,
    /// The barriers without which it gets through.
    #[serde(default)]
    pub(super) without: Vec<Barrier>,
    /// Why there is no jail without what stops it.
    #[serde(default)]
    pub(super) why_whole: Option<String>,
    /// Whether it takes little time.
    #[serde(default)]
    pub(super) quick: bool,
    /// Whether its spec gets as far as saying so.
    #[serde(default = "yes")]
    pub(super) runs: bool,
    /// Whether it gets through inside a machine without those barriers. It stays inside.
    #[serde(default)]
    pub(super) machine_weakened: Option<Verdict>,
    /// Specs whose packages it requires, in their order.
    #[serde(default)]
    pub(super) before: Vec<String>,
    /// The limit that it must come to.
    #[serde(default)]
    pub(super) limit: Option<Limit>,
    /// What it may take.
    #[serde(default)]
    pub(super) limits: SomeLimits,
    /// What it must hand over, and nothing else.
    #[serde(default)]
    pub(super) artifacts: Vec<String>,
    /// Whether its packages are those of a stranger, which may not stand in for the distribution's;
    /// in its weakened round they may.
    #[serde(default)]
    pub(super) is_strange: bool,
    /// What is untrue in the source package that comes of its spec: each is handed in, one after the
    /// other, and the last one is looked at.
    #[serde(default)]
    pub(super) lies: Vec<Lie>,
    /// Links beside its spec: the canary's file is `secret`.
    #[serde(default)]
    pub(super) links: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// By what it is known whether an attack got through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Shown {
    /// What its probe says in the log.
    Log,
    /// The canary's word, wherever it comes to light.
    Secret,
    /// A blob with the canary's bytes in the store.
    Blob,
    /// A connection to a canary that listens.
    Listener,
    /// The limit that ended it.
    Limit,
    /// That its build failed.
    Failure,
    /// That none of its source packages was built.
    Refusal,
    /// What it handed over.
    Artifacts,
    /// That what is shown of its log is tame.
    Tame,
}

/// Whether an attack got through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It was stopped.
    Held,
    /// It got through.
    Reached,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Reached => "reached",
        }
    }
}

/// An attack.
#[derive(Debug)]
pub(super) struct Attack {
    /// Its name.
    pub(super) name: String,
    pub(super) about: About,
    files: &'static Dir<'static>,
}

impl Attack {
    /// Whether there is something without which it gets through.
    pub(super) fn has_weak(&self) -> bool {
        !self.about.without.is_empty() || self.about.is_strange
    }

    /// Writes its files to a folder, as they are.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for file in self.files.files() {
            let name = file.path().file_name().unwrap_or_default();
            fs::write(folder.join(name), file.contents())?;
        }
        self.write_probe(folder)
    }

    /// Writes one of its specs, and what it is made of.
    pub(super) fn write_spec(&self, spec: &str, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let file = self.files.get_file(self.files.path().join(spec));
        let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        fs::write(folder.join(spec), file.contents())?;
        let text = file.contents_utf8().unwrap_or_default();
        // Beside it lies what it names, as it would for everyone.
        for source in self.files.files() {
            let name = source.path().file_name().unwrap_or_default();
            if name.to_str().is_some_and(|name| text.contains(&format!(": {name}\n"))) {
                fs::write(folder.join(name), source.contents())?;
            }
        }
        match text.contains(PROBE) {
            true => self.write_probe(folder),
            false => Ok(()),
        }
    }

    fn write_probe(&self, folder: &Path) -> io::Result<()> {
        let probe =
            FOLDER.get_file(PROBE).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        fs::write(folder.join(PROBE), probe.contents())
    }
}

/// Every attack, by its name.
pub(super) fn all() -> Result<Vec<Attack>, Failure> {
    let mut attacks = Vec::new();
    for files in FOLDER.dirs() {
        let name = files.path().to_string_lossy().into_owned();
        let text = files.get_file(files.path().join(ABOUT));
        let text = text.and_then(|file| file.contents_utf8()).unwrap_or_default();
        let about = toml::from_str(text)
            .map_err(|error| Failure::caller(format!("the attack {name}: {error}"), None))?;
        attacks.push(Attack { name, about, files });
    }
    attacks.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(attacks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_says_what_it_is_and_what_stops_it() {
        let all = all().expect("they read");
        assert!(all.len() >= 50, "{}", all.len());
        for Attack { name, about, files } in &all {
            let has_weak = !about.without.is_empty() || about.is_strange;
            assert_ne!(has_weak, about.why_whole.is_some(), "{name}: weakened, or why not");
            let number = about.threat.trim_start_matches('T').parse::<u32>();
            assert!(number.is_ok_and(|number| (1..=25).contains(&number)), "{name}");
            for text in [&about.tries, &about.precedent, &about.asserted, &about.stopped_by] {
                assert!(text.len() > 5, "{name}");
            }
            for spec in about.before.iter().map(String::as_str).chain([SPEC]) {
                assert!(files.get_file(files.path().join(spec)).is_some(), "{name}: {spec}");
            }
            assert_eq!(about.shown == Shown::Limit, about.limit.is_some(), "{name}");
        }
    }

    #[test]
    fn what_is_exported_can_be_built_by_other_tools() {
        let folder = tempfile::tempdir().expect("a folder");
        for attack in all().expect("they read") {
            let to = folder.path().join(&attack.name);
            attack.write(&to).expect("written");
            let spec = fs::read_to_string(to.join(SPEC)).expect("a spec");
            assert!(spec.starts_with("# T"), "{}: says what it is", attack.name);
            assert!(to.join(PROBE).exists());
        }
    }
}
