//! Target files: TOML becomes a [`Target`] that does not contradict itself.
//!
//! The schema is [`kiln_model::Target`] and docs/targets.md. Every error names the file, the key
//! and what would mend it.

mod check;
mod settle;

use std::path::{Path, PathBuf};

use kiln_model::{Fault, Faulty, Foreign, RepoSpec, Target};

/// The most bytes a target file may have. The longest that ships has under 8 KiB.
pub const TARGET_CAP: u64 = 1 << 20;

/// Architectures that rpm builds for and some distribution ships.
pub const ARCHES: &[&str] = &[
    "aarch64",
    "armv5tl",
    "armv6hl",
    "armv7hl",
    "armv7hnl",
    "i386",
    "i586",
    "i686",
    "loongarch64",
    "ppc64",
    "ppc64le",
    "riscv64",
    "s390",
    "s390x",
    "x86_64",
    "x86_64_v2",
    "x86_64_v3",
];

/// Where a target's text comes from: for errors, and for keys that lie beside it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// What errors call it: a path, or the name of a target that is built in.
    pub name: String,
    /// The folder that relative places of keys start from; `None` where there is none.
    pub folder: Option<PathBuf>,
}

impl Origin {
    /// A target file at `path`, which is absolute.
    pub fn file(path: &Path) -> Self {
        Self { name: path.display().to_string(), folder: path.parent().map(Path::to_owned) }
    }

    /// A target that lies in no folder.
    pub fn built_in(name: &str) -> Self {
        Self { name: format!("{name} (built in)"), folder: None }
    }
}

/// What is wrong with a target file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {key}: {problem}")]
pub struct TargetError {
    /// Which file.
    pub file: String,
    /// Where in it: a key, or a line and a column.
    pub key: String,
    /// What is wrong there.
    pub problem: String,
    /// What would mend it.
    pub fix: String,
}

impl Faulty for TargetError {
    fn fault(&self) -> Fault {
        Fault::Caller
    }

    fn hint(&self) -> Option<String> {
        Some(self.fix.clone())
    }
}

/// What is wrong, before the file's name is put to it.
struct Flaw {
    key: String,
    problem: String,
    fix: String,
}

fn flaw<T>(
    key: impl Into<String>,
    problem: impl Into<String>,
    fix: impl Into<String>,
) -> Result<T, Flaw> {
    Err(Flaw { key: key.into(), problem: problem.into(), fix: fix.into() })
}

/// Reads a target file: variables are put into its places, its keys' places are made absolute,
/// and whatever contradicts itself is refused.
pub fn parse(text: &str, origin: &Origin) -> Result<Target, TargetError> {
    let named =
        |Flaw { key, problem, fix }| TargetError { file: origin.name.clone(), key, problem, fix };
    let mut target: Target = toml::from_str(text).map_err(|error| named(syntax(text, &error)))?;
    settle::named_keys(&mut target).map_err(named)?;
    settle::variables(&mut target).map_err(named)?;
    settle::keys(&mut target, origin).map_err(named)?;
    check::all(&target).map_err(named)?;
    Ok(target)
}

/// Writes a target as a target file.
pub fn write(target: &Target) -> String {
    toml::to_string_pretty(target).expect("texts, numbers and lists of them can be TOML")
}

/// What is allowed and still worth a second look, one sentence each.
pub fn doubts(target: &Target) -> Vec<String> {
    let mut doubts = Vec::new();
    for repo in &target.repos {
        let unchecked = !repo.check_packages && !repo.check_metadata;
        if unchecked && places(repo).any(|place| place.starts_with("http:")) {
            doubts.push(format!(
                "nothing vouches for repo '{}': it is fetched over http and no signature is checked",
                repo.id
            ));
        }
    }
    doubts
}

fn places(repo: &RepoSpec) -> impl Iterator<Item = &String> {
    repo.baseurl.iter().chain(&repo.mirrorlist).chain(&repo.metalink)
}

fn syntax(text: &str, error: &toml::de::Error) -> Flaw {
    let key = error.span().map_or_else(
        || "the file".to_owned(),
        |span| {
            let before = &text[..text.floor_char_boundary(span.start.min(text.len()))];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("line {line}, column {column}")
        },
    );
    Flaw {
        key,
        problem: Foreign::new(error.message()).as_str().to_owned(),
        fix: "docs/targets.md lists every key with an example".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = r#"
schema = 1
name = "acme-1.2-x86_64"
summary = "ACME Linux 1"
arch = "x86_64"
[vars]
releasever = "1.2"
[macros]
dist = ".acme1"
[profile.distribution]
version = 1
packages = ["bash", "gcc"]
[key.acme]
from = ["acme.asc", "/usr/share/keys/ACME $releasever"]
[[repo]]
id = "base"
metalink = "https://mirrors.example/$releasever/${releasever_major}/metalink?arch=$basearch"
keys = ["acme"]
check_packages = true
"#;

    fn origin() -> Origin {
        Origin::file(Path::new("/etc/kiln/targets/acme.toml"))
    }

    fn sound() -> Target {
        parse(SOUND, &origin()).expect("a target")
    }

    #[test]
    fn variables_are_put_into_places_and_keys_made_absolute() {
        let target = sound();
        let repo = &target.repos[0];
        assert_eq!(
            repo.metalink.as_deref(),
            Some("https://mirrors.example/1.2/1/metalink?arch=x86_64")
        );
        assert_eq!(
            repo.keys[0].from,
            ["file:///etc/kiln/targets/acme.asc", "file:///usr/share/keys/ACME%201.2"]
        );
    }

    #[test]
    fn a_target_reads_back_as_it_was_written() {
        let target = sound();
        assert_eq!(parse(&write(&target), &origin()).expect("a target"), target);
    }

    #[test]
    fn fingerprints_are_compared_without_spaces_and_case() {
        let digits = "ab cd ".repeat(10);
        let text = SOUND.replace("from =", &format!("fingerprint = '{digits}'\nfrom ="));
        let target = parse(&text, &origin()).expect("a target");
        assert_eq!(target.repos[0].keys[0].fingerprint, Some("ABCD".repeat(10)));
    }

    #[test]
    fn each_contradiction_names_its_key_and_what_would_mend_it() {
        let base = "baseurl = ['https://a.example/']\n";
        for (from, to, key, fix) in [
            ("schema = 1", "schema = 2", "schema", "schema = 1"),
            ("schema = 1\n", "", "line 1", "docs/targets.md"),
            ("schema = 1", "schema = 1\ncolour = 'red'", "line 3, column 1", "docs/targets.md"),
            ("schema = 1", "schema = ", "line 2", "docs/targets.md"),
            ("x86_64\"\n[vars]", "vax\"\n[vars]", "arch", "aarch64"),
            ("ACME Linux 1", "two\\nlines", "summary", "one line"),
            ("dist =", "\"%dist\" =", "macros.%dist", "without '%'"),
            ("dist =", "\"a b\" =", "macros.a b", "letters"),
            ("distribution", "Big", "profile.Big", "lower-case"),
            ("version = 1", "version = 0", "profile.distribution.version", "begin with 1"),
            ("\"gcc\"", "\"bash\"", "profile.distribution.packages", "take one"),
            ("[\"bash\", \"gcc\"]", "[]", "profile.distribution.packages", "a shell"),
            ("\"gcc\"", "\"-rf\"", "line 12", "docs/targets.md"),
            ("\"base\"", "\"../x\"", "repo.id", "letters"),
            ("metalink =", "exclude = ['a b']\nmetalink =", "repo 'base': exclude", "name.arch"),
            (
                "metalink =",
                "modules = ['perl']\nmetalink =",
                "repo 'base': modules",
                "module:stream",
            ),
            ("metalink =", &format!("{base}metalink ="), "repo 'base': baseurl", "keep one"),
            ("metalink =", "#", "repo 'base': baseurl", "add one of"),
            ("https://mirrors", "ftp://mirrors", "repo 'base': metalink", "https://"),
            ("https://mirrors", "https://me:pw@mirrors", "repo 'base': metalink", "https://"),
            ("$basearch", "$colour", "repo 'base': metalink", "known here: arch, basearch"),
            ("releasever =", "\"a-b\" =", "vars.a-b", "letters"),
            ("keys = [\"acme\"]", "keys = []", "key.acme", "take it out"),
            ("[\"acme\"]", "[\"amce\"]", "repo 'base': keys", "add a [key.amce]"),
            ("check_packages = true", "", "repo 'base': keys", "check_packages = true"),
            ("\"acme.asc\", ", "\"http://a.example/k\", ", "keys.fingerprint", "add the"),
            ("from =", "fingerprint = '0123'\nfrom =", "keys.fingerprint", "all 40"),
            ("check_packages", "stale_after_days = 0\ncheck_packages", "stale_after_days", "days"),
            ("check_packages", "packages_above = 9\ncheck_packages", "packages_above", "at most"),
        ] {
            assert!(SOUND.contains(from), "{from}");
            let error = parse(&SOUND.replacen(from, to, 1), &origin()).expect_err(to);
            assert_eq!(error.file, "/etc/kiln/targets/acme.toml");
            assert!(error.key.contains(key), "{to}: {error}");
            assert!(error.fix.contains(fix), "{to}: {}", error.fix);
        }
    }

    #[test]
    fn two_repositories_with_one_id_are_refused() {
        let second = "[[repo]]\nid = \"base\"\nbaseurl = [\"file:///srv\"]\n";
        let error = parse(&format!("{SOUND}{second}"), &origin()).expect_err("twice");
        assert!(error.fix.contains("rename"), "{error}");
    }

    #[test]
    fn signatures_that_are_to_be_checked_need_a_key() {
        let text =
            SOUND.replace("keys = [\"acme\"]", "").replace("[key.acme]", "").replace("from =", "#");
        let error = parse(&text, &origin()).expect_err("no key");
        assert!(error.key.ends_with("check_packages") && error.fix.contains("add keys"), "{error}");
    }

    #[test]
    fn a_built_in_target_has_no_keys_beside_it() {
        let error = parse(SOUND, &Origin::built_in("acme")).expect_err("no folder");
        assert!(error.to_string().contains("lies beside nothing"), "{error}");
    }

    #[test]
    fn what_nobody_vouches_for_is_doubted() {
        assert!(doubts(&sound()).is_empty());
        let open = "[[repo]]\nid = \"open\"\nbaseurl = [\"http://a.example/\"]\n";
        let target = parse(&format!("{SOUND}{open}"), &origin()).expect("a target");
        assert!(doubts(&target)[0].contains("'open'"));
    }

    #[test]
    fn what_a_template_engine_would_expand_arrives_as_it_was_written() {
        for text in ["{{7*7}}", "{% if x %}", "%(id)", "${IFS}", "$(id)", "`id`", "%{lua:x}"] {
            let file = SOUND.replace("ACME Linux 1", text).replace(".acme1", text);
            let target = parse(&file, &origin()).expect(text);
            assert_eq!(target.summary, text);
            assert_eq!(target.macros["dist"], text);
        }
    }
}
