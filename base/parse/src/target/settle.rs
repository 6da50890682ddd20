use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kiln_model::{Foreign, Target};

use super::{Flaw, Origin, flaw};
use crate::place;

/// What repositories call an architecture: `basearch` of dnf.
fn basearch(arch: &str) -> &str {
    match arch {
        "i586" | "i686" => "i386",
        "armv7hl" | "armv7hnl" => "armhfp",
        other => other,
    }
}

/// Puts values in for the variables in the places of repositories and keys.
pub(super) fn variables(target: &mut Target) -> Result<(), Flaw> {
    for (name, value) in &target.vars {
        let key = format!("vars.{}", Foreign::new(name).as_str());
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(fine) {
            return flaw(key, "not a variable's name", "use letters, digits and '_'");
        }
        if value.contains('$') || value.contains(char::is_control) {
            return flaw(key, "not a plain value", "give one line without '$'");
        }
    }
    let mut vars = target.vars.clone();
    let usual = [("arch", target.arch.as_str()), ("basearch", basearch(&target.arch))];
    let release = target.vars.get("releasever").map(String::as_str);
    let (major, minor) =
        release.map(|release| release.split_once('.').unwrap_or((release, ""))).unwrap_or_default();
    let parts = [("releasever_major", major), ("releasever_minor", minor)];
    for (name, value) in usual.into_iter().chain(parts.into_iter().filter(|_| release.is_some())) {
        vars.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    for repo in &mut target.repos {
        let id = Foreign::new(&repo.id).as_str().to_owned();
        let keys =
            repo.keys.iter_mut().flat_map(|key| &mut key.from).map(|from| ("keys.from", from));
        let texts = repo.baseurl.iter_mut().map(|base| ("baseurl", base));
        let lists = repo.mirrorlist.iter_mut().map(|list| ("mirrorlist", list));
        let metalinks = repo.metalink.iter_mut().map(|list| ("metalink", list));
        for (name, text) in texts.chain(lists).chain(metalinks).chain(keys) {
            *text = expand(text, &vars).map_err(|unknown| Flaw {
                key: format!("repo '{id}': {name}"),
                problem: format!("no value for the variable {unknown}"),
                fix: format!(
                    "give it under [vars]; known here: {}",
                    vars.keys().cloned().collect::<Vec<_>>().join(", ")
                ),
            })?;
        }
    }
    Ok(())
}

/// Puts values in for `$name` and `${name}`; an error is the first name without one.
fn expand(text: &str, vars: &BTreeMap<String, String>) -> Result<String, Foreign> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, next) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}').unwrap_or((braced, "")),
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                after.split_at(end.unwrap_or(after.len()))
            }
        };
        out.push_str(vars.get(name).ok_or_else(|| Foreign::new(name))?);
        rest = next;
    }
    out.push_str(rest);
    Ok(out)
}

/// Puts keys in where a repository names them.
pub(super) fn named_keys(target: &mut Target) -> Result<(), Flaw> {
    let named = std::mem::take(&mut target.key);
    let mut unused: BTreeSet<&String> = named.keys().collect();
    for repo in &mut target.repos {
        for key in &mut repo.keys {
            let Some(name) = key.name().map(str::to_owned) else { continue };
            let Some((name, found)) = named.get_key_value(&name) else {
                let id = Foreign::new(&repo.id);
                let problem = format!("no key is called {}", Foreign::new(&name));
                let fix = format!(
                    "add a [key.{}] with from and fingerprint",
                    Foreign::new(&name).as_str()
                );
                return flaw(format!("repo '{}': keys", id.as_str()), problem, fix);
            };
            unused.remove(name);
            *key = found.clone();
        }
    }
    if let Some(name) = unused.first() {
        let key = format!("key.{}", Foreign::new(name).as_str());
        return flaw(key, "no repository names it", "name it in a repo's keys, or take it out");
    }
    Ok(())
}

/// Makes the places of keys absolute and fingerprints comparable.
pub(super) fn keys(target: &mut Target, origin: &Origin) -> Result<(), Flaw> {
    for repo in &mut target.repos {
        for key in &mut repo.keys {
            let at =
                |name: &str| format!("repo '{}': keys.{name}", Foreign::new(&repo.id).as_str());
            for source in &mut key.from {
                if source.starts_with('/') {
                    *source = place::of_file(Path::new(&source));
                } else if !source.contains("://") {
                    let Some(folder) = &origin.folder else {
                        let problem = format!("{} lies beside nothing", Foreign::new(source));
                        return flaw(at("from"), problem, "give https://… or an absolute path");
                    };
                    *source = place::of_file(&folder.join(&source));
                }
            }
            if let Some(fingerprint) = &mut key.fingerprint {
                *fingerprint = plain_fingerprint(fingerprint).ok_or_else(|| Flaw {
                    key: at("fingerprint"),
                    problem: format!("{} is no fingerprint", Foreign::new(fingerprint)),
                    fix: "give all 40 (or, for a v6 key, 64) hexadecimal digits; a short key id \
                          can be forged"
                        .to_owned(),
                })?;
            }
        }
    }
    Ok(())
}

/// A fingerprint in upper-case digits without spaces; `None` where it is none.
fn plain_fingerprint(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let fine = [40, 64].contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_hexdigit());
    fine.then(|| digits.to_ascii_uppercase())
}
