//! What a package's maintainer scripts would do, as far as that can be said without running them.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::Scan;
use crate::error::DebrpmError;

/// A link that `update-alternatives` would make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alternative {
    pub(crate) link: String,
    pub(crate) target: String,
    /// The highest wins.
    pub(crate) priority: i64,
}

/// An entry that `update-xmlcatalog` would make.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Catalog {
    /// `public`, `system` or `uri`.
    pub(crate) kind: String,
    /// What is looked up, or what it begins with.
    pub(crate) id: String,
    /// The catalog file that knows it.
    pub(crate) file: String,
}

static INSTALL: LazyLock<Regex> =
    LazyLock::new(|| expression(r"--install\s+(\S+)\s+\S+\s+(\S+)\s+(\d+)"));
static SLAVE: LazyLock<Regex> =
    LazyLock::new(|| expression(r"--(?:slave|follower)\s+(\S+)\s+\S+\s+(\S+)"));
static CATALOG: LazyLock<Regex> = LazyLock::new(|| {
    expression(r#"--type\s+(public|system|uri)\s+--id\s+"([^"]+)".*--local\s+(\S+)"#)
});

static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
    expression(r#"(?m)^\s*([A-Za-z_]\w*)=("[\w./+-]*"|'[\w./+-]*'|[\w./+-]+)\s*$"#)
});

fn expression(text: &str) -> Regex {
    Regex::new(text).expect("the expression is tested")
}

/// Reads a package's control archive into `scan`.
pub(crate) fn read(name: &str, control: &[u8], scan: &mut Scan) -> Result<(), DebrpmError> {
    let broken = |error: std::io::Error| DebrpmError::Deb {
        package: name.to_owned(),
        why: format!("reading its control archive: {error}"),
    };
    let mut archive = tar::Archive::new(control);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let file = entry.path().map_err(broken)?.file_name().map(std::ffi::OsStr::to_owned);
        let Some(file) = file.as_deref().and_then(std::ffi::OsStr::to_str) else { continue };
        if file != "conffiles" && file != "postinst" {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        let text = String::from_utf8_lossy(&bytes);
        match file {
            "conffiles" => scan.conffiles = conffiles(&text),
            _ => (scan.alternatives, scan.catalogs) = (alternatives(&text), catalogs(&text)),
        }
    }
    Ok(())
}

fn conffiles(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split_whitespace().last())
        .filter(|path| path.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

/// Every call of `update-alternatives --install` that names all its words, if need be by variables
/// that the script sets once; what is computed when it runs is not seen, and the policy decides it.
fn alternatives(text: &str) -> Vec<Alternative> {
    let mut found = Vec::new();
    let text = &with_variables(text);
    for line in logical_lines(text).filter(|line| line.contains("update-alternatives")) {
        let Some(install) = INSTALL.captures(&line) else { continue };
        if line.contains('$') {
            continue;
        }
        let priority = install[3].parse().unwrap_or(0);
        let links = std::iter::once((&install[1], &install[2]));
        let slaves = SLAVE.captures_iter(&line).map(|slave| slave.extract().1);
        let slaves: Vec<(String, String)> =
            slaves.map(|[link, target]: [&str; 2]| (link.to_owned(), target.to_owned())).collect();
        let links = links.map(|(link, target)| (link.to_owned(), target.to_owned())).chain(slaves);
        found.extend(links.map(|(link, target)| Alternative { link, target, priority }));
    }
    found
}

fn catalogs(text: &str) -> Vec<Catalog> {
    logical_lines(text)
        .filter(|line| line.contains("update-xmlcatalog") && line.contains("--add"))
        .filter_map(|line| {
            let found = CATALOG.captures(&line)?;
            let [kind, id, file] = found.extract().1;
            Some(Catalog { kind: kind.to_owned(), id: id.to_owned(), file: file.to_owned() })
        })
        .collect()
}

/// The script with its plain variables put in, as far as they have one value.
fn with_variables(text: &str) -> String {
    let mut values: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for set in VARIABLE.captures_iter(text) {
        let [name, value] = set.extract().1;
        let value = value.trim_matches(['"', '\'']);
        let known = values.entry(name).or_insert(Some(value));
        if *known != Some(value) {
            *known = None;
        }
    }
    let mut text = text.to_owned();
    for (name, value) in values.iter().rev() {
        if let Some(value) = value {
            text = text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
        }
    }
    text
}

/// Lines, with those that end in a backslash joined to the next.
fn logical_lines(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let mut line = lines.next()?.to_owned();
        while line.ends_with('\\') {
            line.pop();
            let Some(next) = lines.next() else { break };
            line.push(' ');
            line.push_str(next);
        }
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_and_their_slaves_are_read_over_joined_lines() {
        let script = "#!/bin/sh\nupdate-alternatives --install /usr/bin/awk awk /usr/bin/gawk 10 \\\n  --slave /usr/share/man/awk.1 awk.1 /usr/share/man/gawk.1\nupdate-alternatives --install $a b c 1\nupdate-alternatives --remove x /y\n";
        let found = alternatives(script);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].link.as_str(), found[0].priority), ("/usr/bin/awk", 10));
        assert_eq!(found[1].target, "/usr/share/man/gawk.1");
    }

    #[test]
    fn variables_that_are_set_once_count_and_others_do_not() {
        let script = "ver=1.17\nx=1\nx=2\nupdate-alternatives --install /usr/bin/a a /usr/bin/a-$ver 10 --slave /usr/bin/b b /usr/bin/b-${ver}\nupdate-alternatives --install /usr/bin/c c /usr/bin/c-$x 10\n";
        let found = alternatives(script);
        let targets: Vec<&str> = found.iter().map(|one| one.target.as_str()).collect();
        assert_eq!(targets, ["/usr/bin/a-1.17", "/usr/bin/b-1.17"]);
    }

    #[test]
    fn catalogs_are_read_with_what_they_stand_for() {
        let script = "update-xmlcatalog --add --type public --id \"-//OASIS//X\" --package p --local /usr/share/xml/c.xml || :\n";
        let expected = Catalog {
            kind: "public".to_owned(),
            id: "-//OASIS//X".to_owned(),
            file: "/usr/share/xml/c.xml".to_owned(),
        };
        assert_eq!(catalogs(script), [expected]);
    }

    #[test]
    fn a_conffile_that_is_to_be_removed_counts_by_its_path() {
        assert_eq!(conffiles("/etc/a\nremove-on-upgrade /etc/b\n\n"), ["/etc/a", "/etc/b"]);
    }
}
