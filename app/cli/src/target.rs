//! `kiln target`: where targets come from, which one is meant, and what their repositories say.

mod built_in;
mod import;
mod refresh;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use kiln_model::Target;
use kiln_parse::target::{Origin, TARGET_CAP, doubts, parse};
use serde::Serialize;

use crate::Failure;
use crate::failure::doing;
use crate::folders::Folders;
use built_in::BUILT_IN;

/// Where an operator puts targets for everyone on the machine.
const OF_THE_MACHINE: &str = "/etc/kiln/targets";

/// What to build for.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every target there is, and where it comes from
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// A target as it is written, or as kiln reads it
    Show {
        /// Its name, or a file
        target: String,
        /// As JSON, with variables put in
        #[arg(long)]
        json: bool,
    },
    /// Make a target of a mock configuration file, without running it
    Import(import::Arguments),
    /// Fetch what a target's repositories have, and say how old it is
    Refresh(refresh::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.verb {
        Verb::List { json } => list(*json),
        Verb::Show { target, json } => show(target, *json),
        Verb::Import(arguments) => import::run(arguments),
        Verb::Refresh(arguments) => refresh::run(arguments),
    }
}

/// A target's text and where it is from.
#[derive(Debug)]
struct Source {
    name: String,
    text: String,
    place: Place,
}

/// Where a target is from; the first that has a name wins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A file: this user's, or everyone's on this machine.
    File(PathBuf),
    /// In the program.
    BuiltIn,
}

impl Source {
    fn parse(&self) -> Result<Target, Failure> {
        let origin = match &self.place {
            Place::File(path) => Origin::file(path),
            Place::BuiltIn => Origin::built_in(&self.name),
        };
        Ok(parse(&self.text, &origin)?)
    }

    fn place(&self) -> String {
        match &self.place {
            Place::File(path) => path.display().to_string(),
            Place::BuiltIn => "built in".to_owned(),
        }
    }
}

/// The target with that name, or in that file.
pub(crate) fn find_target(wanted: &str) -> Result<Target, Failure> {
    let source = find(wanted)?;
    let target = source.parse()?;
    if wanted == source.name && target.name.as_str() != wanted {
        let error = format!("{}: it calls itself '{}'", source.place(), target.name);
        let hint = format!("write name = \"{wanted}\" in it, or rename the file");
        return Err(Failure::caller(error, Some(hint)));
    }
    Ok(target)
}

/// The names of this user's own targets, sorted.
pub(crate) fn own_targets(folders: &Folders) -> Vec<String> {
    names_in(&folders.targets())
}

fn find(wanted: &str) -> Result<Source, Failure> {
    if wanted.contains('/') || wanted.ends_with(".toml") {
        let path = std::path::absolute(wanted).unwrap_or_else(|_| PathBuf::from(wanted));
        return read(&path);
    }
    for folder in folders()? {
        let path = folder.join(format!("{wanted}.toml"));
        if path.exists() {
            return read(&path);
        }
    }
    let built_in = BUILT_IN.iter().find(|(name, _)| *name == wanted);
    if let Some((name, text)) = built_in {
        return Ok(Source {
            name: (*name).to_owned(),
            text: (*text).to_owned(),
            place: Place::BuiltIn,
        });
    }
    let known: Vec<String> = all()?.into_iter().map(|source| source.name).collect();
    let hint = match closest(wanted, &known) {
        Some(name) => format!("did you mean '{name}'? 'kiln target list' shows all of them"),
        None => "'kiln target list' shows those there are".to_owned(),
    };
    let error = format!("no target is called {}", kiln_model::Foreign::new(wanted));
    Err(Failure::caller(error, Some(hint)))
}

/// The folders of targets, the one that counts most first.
fn folders() -> Result<Vec<PathBuf>, Failure> {
    Ok(vec![Folders::find()?.targets(), PathBuf::from(OF_THE_MACHINE)])
}

fn read(path: &Path) -> Result<Source, Failure> {
    let because = |cause: String| {
        let error = format!("the target file {} cannot be read", path.display());
        let mut failure = Failure::caller(error, None);
        failure.0.causes.push(cause);
        failure
    };
    let text = read_text(path, TARGET_CAP).map_err(because)?;
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Ok(Source { name: name.unwrap_or_default(), text, place: Place::File(path.to_owned()) })
}

/// The text of a file that is one and not longer than `cap`.
fn read_text(path: &Path, cap: u64) -> Result<String, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a file".to_owned());
    }
    if metadata.len() > cap {
        return Err(format!("over {cap} bytes"));
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let name =
        |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned);
    let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
    names.sort();
    names
}

/// Every target that a name can mean, sorted by name; files before what is built in.
fn all() -> Result<Vec<Source>, Failure> {
    let mut all: Vec<Source> = Vec::new();
    for folder in folders()? {
        for name in names_in(&folder) {
            if all.iter().all(|known| known.name != name) {
                all.push(read(&folder.join(format!("{name}.toml")))?);
            }
        }
    }
    for (name, text) in BUILT_IN {
        if all.iter().all(|known| known.name != *name) {
            let (name, text) = ((*name).to_owned(), (*text).to_owned());
            all.push(Source { name, text, place: Place::BuiltIn });
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Every target that can be read, and what is wrong with the others.
pub(crate) fn every_target() -> Result<(Vec<Target>, Vec<Failure>), Failure> {
    let mut targets = Vec::new();
    let mut failures = Vec::new();
    for source in all()? {
        match source.parse() {
            Ok(target) => targets.push(target),
            Err(failure) => failures.push(failure),
        }
    }
    Ok((targets, failures))
}

/// A line of the list.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    summary: String,
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn list(json: bool) -> Result<(), Failure> {
    let rows: Vec<Row> = all()?
        .iter()
        .map(|source| {
            let (name, from) = (source.name.clone(), source.place());
            match source.parse() {
                Ok(target) => Row { name, summary: target.summary, from, error: None },
                Err(failure) => {
                    Row { name, summary: String::new(), from, error: Some(failure.0.error) }
                }
            }
        })
        .collect();
    if json {
        return print_json(&rows);
    }
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).len()).max().unwrap_or(0);
    let (names, summaries) = (width(|row| &row.name), width(|row| &row.summary));
    let mut text = String::new();
    for Row { name, summary, from, error } in &rows {
        let summary = if error.is_some() { "cannot be read" } else { summary };
        text.push_str(&format!("{name:names$}  {summary:summaries$}  {from}\n"));
    }
    print_text(&text)?;
    for error in rows.iter().filter_map(|row| row.error.as_ref()) {
        eprintln!("{error}");
    }
    Ok(())
}

fn show(wanted: &str, json: bool) -> Result<(), Failure> {
    let source = find(wanted)?;
    let target = source.parse()?;
    if json {
        return print_json(&target);
    }
    print_text(&source.text)?;
    for doubt in doubts(&target) {
        eprintln!("note: {doubt}");
    }
    Ok(())
}

fn print_json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).expect("our own types can be JSON");
    print_text(&format!("{text}\n"))
}

/// Writes to standard output; a reader that has had enough is no failure.
fn print_text(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(doing("writing to standard output")(error))
        }
        _ => Ok(()),
    }
}

/// The name that someone probably meant: at most a third of it mistyped, or the only one that
/// has all that was typed.
fn closest<'a>(wanted: &str, known: &'a [String]) -> Option<&'a String> {
    let best = known.iter().min_by_key(|name| distance(wanted, name))?;
    if distance(wanted, best) <= wanted.len() / 3 {
        return Some(best);
    }
    let mut having = known.iter().filter(|name| !wanted.is_empty() && name.contains(wanted));
    let first = having.next();
    first.filter(|_| having.next().is_none())
}

/// How many letters have to be put in, taken out or changed to make one text of the other
/// (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().take(128).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.chars().take(128).enumerate() {
        let mut corner = row[0];
        row[0] = line + 1;
        for (column, b) in to.iter().enumerate() {
            let changed = corner + usize::from(a != *b);
            corner = row[column + 1];
            row[column + 1] = changed.min(corner + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn built_in() -> impl Iterator<Item = Target> {
        BUILT_IN.iter().map(|(name, text)| {
            parse(text, &Origin::built_in(name)).unwrap_or_else(|error| panic!("{error}"))
        })
    }

    #[test]
    fn every_shipped_target_reads_and_bears_the_name_of_its_file() {
        for (target, (name, _)) in built_in().zip(BUILT_IN) {
            assert_eq!(target.name.as_str(), *name);
            assert!(name.ends_with(&target.arch), "{name}");
        }
        assert!(BUILT_IN.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn the_list_and_the_folder_agree() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../targets");
        let names: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names, names_in(&folder));
    }

    #[test]
    fn shipped_targets_check_every_package_by_a_key_with_a_fingerprint() {
        for target in built_in() {
            for repo in &target.repos {
                assert!(repo.check_packages, "{}: {}", target.name, repo.id);
                for key in &repo.keys {
                    assert!(key.fingerprint.is_some(), "{}: {}", target.name, repo.id);
                    let system = "file:///usr/share/distribution-gpg-keys/";
                    let has = |start: &str| key.from.iter().any(|from| from.starts_with(start));
                    assert!(has("https://") && has(system), "{}: {}", target.name, repo.id);
                }
                let plain = repo.baseurl.iter().chain(&repo.metalink).chain(&repo.mirrorlist);
                for place in plain {
                    assert!(place.starts_with("https://"), "{}: {place}", target.name);
                    assert!(!place.contains('$'), "{}: {place}", target.name);
                }
            }
            assert!(doubts(&target).is_empty(), "{}", target.name);
        }
    }

    #[test]
    fn shipped_targets_have_both_profiles_and_the_strict_one_no_compiler() {
        for target in built_in() {
            let names = |profile: &str| {
                let profile = &target.profile[profile];
                profile.packages.iter().map(|one| one.as_str().to_owned()).collect::<BTreeSet<_>>()
            };
            let (whole, strict) = (names("distribution"), names("strict"));
            assert!(whole.contains("rpm-build"), "{}", target.name);
            for tool in ["bash", "coreutils", "rpm-build", "tar", "patch"] {
                assert!(strict.contains(tool), "{} lacks {tool}", target.name);
            }
            for compiler in ["gcc", "gcc-c++", "make", "binutils", "glibc-devel"] {
                assert!(!strict.contains(compiler), "{} has {compiler}", target.name);
            }
        }
    }

    #[test]
    fn one_fingerprint_means_one_key_everywhere() {
        let mut places: std::collections::BTreeMap<String, BTreeSet<String>> = Default::default();
        for key in built_in().flat_map(|target| target.repos).flat_map(|repo| repo.keys) {
            let print = key.fingerprint.expect("tested above");
            places.entry(print).or_default().extend(key.from);
        }
        assert!(places.len() >= 25, "{} keys", places.len());
        let (mut all, mut count) = (BTreeSet::new(), 0);
        for from in places.values() {
            count += from.len();
            all.extend(from);
        }
        // Only AlmaLinux 8 has two keys in one file.
        assert!(count - all.len() <= 3, "one place stands for several keys");
    }

    #[test]
    fn a_mistyped_name_is_guessed_and_nonsense_is_not() {
        let known: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
        for (typed, meant) in [
            ("fedora-43-x86-64", Some("fedora-43-x86_64")),
            ("fedra-43-x86_64", Some("fedora-43-x86_64")),
            ("almalinux-9+epl-x86_64", Some("almalinux-9+epel-x86_64")),
            ("tumbleweed", Some("opensuse-tumbleweed-x86_64")),
            ("amazonlinux", Some("amazonlinux-2023-x86_64")),
            ("debian", None),
            ("", None),
        ] {
            assert_eq!(closest(typed, &known).map(String::as_str), meant, "{typed}");
        }
        assert_eq!((distance("", "abc"), distance("abc", "abc"), distance("ab", "ba")), (3, 0, 2));
    }
}
