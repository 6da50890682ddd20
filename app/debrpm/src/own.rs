//! The packages that are ours: the tree under `distro/`, as `distro/packages.toml` packs it.

use std::collections::{BTreeMap, BTreeSet};

use include_dir::{Dir, include_dir};
use serde::Deserialize;

use crate::arch::Arch;
use crate::debian::version::Version;
use crate::error::DebrpmError;
use crate::plan::Plan;
use crate::recipe::{Dep, Entry, Evr, Mark, Recipe, Script, Trigger, What};

/// The files of our packages, one folder a package.
static TREE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/distro");

/// The date of everything of ours: 2026-01-01.
const DATE: u32 = 1_767_225_600;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    package: Vec<Own>,
}

/// One package of ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    name: String,
    summary: String,
    #[serde(default)]
    requires: Vec<String>,
    /// The Debian package that it belongs to: where the plan lacks that, there is no use for it.
    #[serde(default)]
    with: Option<String>,
    #[serde(default)]
    provides: Vec<String>,
    /// Folders to their modes, in octal.
    #[serde(default)]
    folders: BTreeMap<String, String>,
    /// Links to their targets.
    #[serde(default)]
    links: BTreeMap<String, String>,
    /// Files that are not readable by everyone, or that are to be run: to their modes.
    #[serde(default)]
    modes: BTreeMap<String, String>,
    #[serde(default)]
    trigger: Option<Trigger>,
}

/// What is written in our files for what only the plan knows.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    pub(crate) arch: Arch,
    /// Python's version: `3.13`.
    pub(crate) python: &'a str,
    pub(crate) plan: &'a Plan,
}

impl Values<'_> {
    /// The tag of packages that are built for the distribution: `.kt13`.
    pub(crate) fn dist(&self) -> String {
        let number = self.plan.release.split('.').next().unwrap_or_default();
        format!(".kt{number}")
    }

    /// Perl's version, as `5.40.1`; empty where the plan has no Perl.
    fn perl(&self) -> &str {
        let package = self.plan.packages.iter().find(|package| package.name == "perl-base");
        package.map_or("", |package| Version::parse(&package.version).upstream)
    }

    fn fill(&self, text: &str) -> String {
        let perl = self.perl();
        let major = self.plan.release.split('.').next().unwrap_or_default();
        text.replace("@PYTHON@", self.python)
            .replace("@PYTHON_NODOTS@", &self.python.replace('.', ""))
            .replace("@PERL@", perl.rsplit_once('.').map_or(perl, |(series, _)| series))
            .replace("@PERL_VERSION@", perl)
            .replace("@RELEASE_MAJOR@", major)
            .replace("@DIST@", &self.dist())
            .replace("@RELEASE@", &self.plan.release)
            .replace("@SUITE@", &self.plan.suite)
            .replace("@ARCH@", self.arch.rpm)
            .replace("@TRIPLET@", self.arch.triplet)
            .replace("@LIB@", crate::recipe::paths::LIB)
    }
}

fn table() -> Result<Vec<Own>, DebrpmError> {
    let broken = |why: String| DebrpmError::Policy { subject: "distro/packages.toml".into(), why };
    let file = TREE.get_file("packages.toml").and_then(include_dir::File::contents_utf8);
    let text = file.ok_or_else(|| broken("it is not there".to_owned()))?;
    let table: Table = toml::from_str(text).map_err(|error| broken(error.to_string()))?;
    Ok(table.package)
}

/// The folders that our packages own: Debian's packages need not.
pub(crate) fn folders() -> Result<BTreeSet<String>, DebrpmError> {
    let mut folders = BTreeSet::new();
    for own in table()? {
        folders.extend(own.folders.into_keys());
        folders.extend(own.links.into_keys());
    }
    Ok(folders)
}

/// Our packages, and one for each set of seeds that requires all of it. `named` are the RPMs
/// that each of Debian's packages becomes.
pub(crate) fn recipes(
    values: &Values<'_>,
    named: &BTreeMap<String, Vec<String>>,
) -> Result<Vec<Recipe>, DebrpmError> {
    let mut recipes = Vec::new();
    for own in table()? {
        if own.with.as_ref().is_none_or(|debian| named.contains_key(debian)) {
            recipes.push(recipe(&own, values));
        }
    }
    for (set, seeds) in &values.plan.sets {
        let name = format!("kiln-set-{set}");
        let summary = format!("Everything that the set of seeds '{set}' asks for");
        let requires =
            seeds.iter().filter_map(|seed| named.get(seed)).flatten().map(Dep::any).collect();
        recipes.push(Recipe { requires, ..empty(&name, &summary, values) });
    }
    Ok(recipes)
}

fn empty(name: &str, summary: &str, values: &Values<'_>) -> Recipe {
    let release = format!("1{}", values.dist());
    Recipe {
        name: name.to_owned(),
        evr: Evr { epoch: 0, version: env!("CARGO_PKG_VERSION").to_owned(), release },
        arch: "noarch".to_owned(),
        summary: summary.to_owned(),
        description: format!("{summary}.\n\nA part of kiln's trial distribution."),
        license: "Apache-2.0 OR MIT".to_owned(),
        url: String::new(),
        group: "Unspecified".to_owned(),
        provides: Vec::new(),
        requires: Vec::new(),
        conflicts: Vec::new(),
        entries: Vec::new(),
        scripts: Vec::new(),
        date: DATE,
        deb: None,
        policy: None,
    }
}

fn recipe(own: &Own, values: &Values<'_>) -> Recipe {
    let deps = |texts: &[String]| -> Vec<Dep> {
        texts.iter().map(|text| Dep::parse(&values.fill(text))).collect()
    };
    let mut entries = Vec::new();
    for (path, mode) in &own.folders {
        entries.push(entry(path, octal(mode), What::Folder));
    }
    for (path, target) in &own.links {
        let path = values.fill(path);
        entries.push(entry(&path, 0o777, What::Link(values.fill(target))));
    }
    if let Some(tree) = TREE.get_dir(&own.name) {
        files(tree, own, values, &mut entries);
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut provides = deps(&own.provides);
    provides.extend(accounts(&entries));
    provides.sort();
    let mut requires = deps(&own.requires);
    if own.name != "filesystem" {
        requires.push(Dep { first: true, ..Dep::any("filesystem") });
    }
    requires.sort();
    let scripts = own.trigger.clone().map(Script::TransFileTrigger).into_iter().collect();
    Recipe { provides, requires, entries, scripts, ..empty(&own.name, &own.summary, values) }
}

/// Every file under `tree`, at the path that it has under the package's own folder.
fn files(tree: &Dir<'_>, own: &Own, values: &Values<'_>, entries: &mut Vec<Entry>) {
    for file in tree.files() {
        let path = file.path().to_string_lossy();
        let path = path.strip_prefix(own.name.as_str()).unwrap_or(&path);
        let text = String::from_utf8_lossy(file.contents());
        let usual = if text.starts_with("#!") { 0o755 } else { 0o644 };
        let mode = own.modes.get(path).map_or(usual, |mode| octal(mode));
        let mark = if path.starts_with("/etc/") { Mark::Config } else { Mark::Plain };
        let what = What::Text(values.fill(&text));
        entries.push(Entry { mark, ..entry(&values.fill(path), mode, what) });
    }
    for folder in tree.dirs() {
        files(folder, own, values, entries);
    }
}

fn entry(path: &str, mode: u16, what: What) -> Entry {
    let root = || "root".to_owned();
    let (user, group, mark) = (root(), root(), Mark::Plain);
    Entry { path: path.to_owned(), mode, user, group, mtime: DATE, what, mark }
}

fn octal(mode: &str) -> u16 {
    u16::from_str_radix(mode, 8).unwrap_or(0o755)
}

/// `user(…)` and `group(…)` for what stands in `/etc/passwd` and `/etc/group`, as rpm would.
fn accounts(entries: &[Entry]) -> Vec<Dep> {
    let mut provides = Vec::new();
    for (file, word) in [("/etc/passwd", "user"), ("/etc/group", "group")] {
        let found = entries.iter().find(|entry| entry.path == file);
        let Some(What::Text(text)) = found.map(|entry| &entry.what) else { continue };
        let names = text.lines().filter_map(|line| line.split(':').next());
        provides.extend(names.map(|name| Dep::any(format!("{word}({name})"))));
    }
    provides
}
