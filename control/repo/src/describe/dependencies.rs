use std::collections::{BTreeMap, BTreeSet};

use kiln_parse::rpmhead::Tags;

use super::files::{Files, is_primary};
use crate::markup::{MarkupError, exact, push_attribute};

/// Name, flags and version of each kind: rpm's lib/rpmtag.h; in the order in which they are
/// written.
const KINDS: [(&str, u32, u32, u32); 8] = [
    ("rpm:provides", 1047, 1112, 1113),
    ("rpm:requires", 1049, 1048, 1050),
    ("rpm:conflicts", 1054, 1053, 1055),
    ("rpm:obsoletes", 1090, 1114, 1115),
    ("rpm:suggests", 5049, 5051, 5050),
    ("rpm:enhances", 5055, 5057, 5056),
    ("rpm:recommends", 5046, 5048, 5047),
    ("rpm:supplements", 5052, 5054, 5053),
];

/// `RPMSENSE_*` of rpm's lib/rpmds.h.
const LESS: u64 = 1 << 1;
const GREATER: u64 = 1 << 2;
const EQUAL: u64 = 1 << 3;
/// Needed before it is installed: `PREREQ`, `SCRIPT_PRE` and `SCRIPT_POST`.
const EARLY: u64 = 1 << 6 | 1 << 9 | 1 << 10;

/// The library whose versions are many and mean one thing: the newest that is asked for.
const LIBC: &str = "libc.so.6";

#[derive(Debug, Clone, PartialEq, Eq)]
struct Dependency<'a> {
    name: &'a str,
    sense: &'static str,
    version: &'a str,
    early: bool,
}

/// Writes all that a package says of others, each kind in an element of its own.
pub(super) fn push_dependencies(
    xml: &mut String,
    main: &Tags<'_>,
    files: &Files,
) -> Result<(), MarkupError> {
    let mut provided = BTreeSet::new();
    for (element, names, flags, versions) in KINDS {
        let mut all = read(main, names, flags, versions)?;
        match element {
            "rpm:provides" => {
                provided.extend(all.iter().map(|one| (one.name, one.sense, one.version)));
                all.iter_mut().for_each(|one| one.early = false);
            }
            "rpm:requires" => all = reduced(all, &provided, files),
            // Only what is required can be required early.
            _ => all.iter_mut().for_each(|one| one.early = false),
        }
        if all.is_empty() {
            continue;
        }
        xml.push('<');
        xml.push_str(element);
        xml.push('>');
        for dependency in &all {
            push(xml, dependency);
        }
        xml.push_str("</");
        xml.push_str(element);
        xml.push('>');
    }
    Ok(())
}

fn read<'a>(
    main: &Tags<'a>,
    names: u32,
    flags: u32,
    versions: u32,
) -> Result<Vec<Dependency<'a>>, MarkupError> {
    let (flags, versions) = (main.numbers(flags), main.texts(versions));
    let one = |(at, name): (usize, &'a [u8])| {
        let flag = flags.get(at).copied().unwrap_or(0);
        let version = versions.get(at).copied().unwrap_or_default();
        Ok(Dependency {
            name: exact("dependency", name)?,
            sense: sense(flag),
            version: exact("dependency's version", version)?,
            early: flag & EARLY != 0,
        })
    };
    main.texts(names).into_iter().enumerate().map(one).collect()
}

fn sense(flags: u64) -> &'static str {
    match flags & (LESS | GREATER | EQUAL) {
        LESS => "LT",
        GREATER => "GT",
        EQUAL => "EQ",
        flags if flags == LESS | EQUAL => "LE",
        flags if flags == GREATER | EQUAL => "GE",
        _ => "",
    }
}

/// What is left of the requirements: rpm answers `rpmlib(…)` itself, a package what it provides
/// and has; one that says the same as the last of its name is left out; of libc's versions the
/// newest stays, which implies the others.
fn reduced<'a>(
    all: Vec<Dependency<'a>>,
    provided: &BTreeSet<(&'a str, &'static str, &'a str)>,
    files: &Files,
) -> Vec<Dependency<'a>> {
    let mut last: BTreeMap<&str, Dependency<'a>> = BTreeMap::new();
    let mut left = Vec::new();
    let mut libc: Option<Dependency<'a>> = None;
    for one in all {
        let own_file = one.name.starts_with('/') && files.has(one.name) && is_primary(one.name);
        if one.name.starts_with("rpmlib(")
            || own_file
            || provided.contains(&(one.name, one.sense, one.version))
            || last.get(one.name) == Some(&one)
        {
            continue;
        }
        last.insert(one.name, one.clone());
        if one.name.starts_with(LIBC) {
            let newer =
                libc.as_ref().is_none_or(|known| libc_rank(one.name) > libc_rank(known.name));
            if newer {
                libc = Some(one);
            }
            continue;
        }
        left.push(one);
    }
    left.extend(libc);
    left
}

/// Orders `libc.so.6(GLIBC_2.34)(64bit)` by its version; what has none comes first.
fn libc_rank(name: &str) -> Vec<u64> {
    let inside = name.split_once("(GLIBC_").and_then(|(_, rest)| rest.split_once(')'));
    let (version, _) = inside.unwrap_or_default();
    version.split('.').filter_map(|part| part.parse().ok()).collect()
}

fn push(xml: &mut String, dependency: &Dependency<'_>) {
    let Dependency { name, sense, version, early } = dependency;
    xml.push_str("<rpm:entry");
    push_attribute(xml, "name", name);
    if !sense.is_empty() {
        push_attribute(xml, "flags", sense);
        let (epoch, rest) = match version.split_once(':') {
            Some((epoch, rest)) if !epoch.is_empty() => (epoch, rest),
            Some((_, rest)) => ("0", rest),
            None => ("0", *version),
        };
        let (version, release) = match rest.rsplit_once('-') {
            Some((version, release)) => (version, Some(release)),
            None => (rest, None),
        };
        push_attribute(xml, "epoch", epoch);
        push_attribute(xml, "ver", version);
        if let Some(release) = release {
            push_attribute(xml, "rel", release);
        }
    }
    if *early {
        push_attribute(xml, "pre", "1");
    }
    xml.push_str("/>");
}
