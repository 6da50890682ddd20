use std::collections::BTreeSet;

use kiln_model::{Foreign, Key, RepoSpec, Requirement, TARGET_SCHEMA, Target};

use super::{ARCHES, Flaw, flaw};
use crate::need::Need;
use crate::place;

/// The most characters of a summary, of a variable's value and of an exclusion.
const TEXT_CAP: usize = 512;

/// Folders that packages may lie above their repository.
const ABOVE_CAP: u8 = 8;

/// Every rule, in the order of the schema.
pub(super) fn all(target: &Target) -> Result<(), Flaw> {
    if target.schema != TARGET_SCHEMA {
        let problem = format!("{} is not a schema that this kiln reads", target.schema);
        return flaw("schema", problem, format!("write 'schema = {TARGET_SCHEMA}'"));
    }
    if target.summary.is_empty() || !is_line(&target.summary) {
        let fix = format!("write one line of at most {TEXT_CAP} characters");
        return flaw("summary", "not one line of text", fix);
    }
    check_arch("arch", &target.arch)?;
    check_macros(target)?;
    check_profiles(target)?;
    check_repos(target)
}

fn is_line(text: &str) -> bool {
    text.chars().count() <= TEXT_CAP && !text.chars().any(char::is_control)
}

fn check_arch(key: &str, arch: &str) -> Result<(), Flaw> {
    if ARCHES.contains(&arch) {
        return Ok(());
    }
    let problem = format!("{} is not an architecture that kiln knows", Foreign::new(arch));
    flaw(key, problem, format!("write one of {}", ARCHES.join(", ")))
}

fn check_macros(target: &Target) -> Result<(), Flaw> {
    for (name, body) in &target.macros {
        let key = format!("macros.{}", Foreign::new(name).as_str());
        if name.starts_with('%') {
            let fix = format!("write it without '%': {}", name.trim_start_matches('%'));
            return flaw(key, "a macro's name with a '%'", fix);
        }
        // rpm takes what begins with a letter or '_' (rpmio/macro.c, `isblank`/`risalpha`).
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.starts_with(first) || !name.chars().all(rest) || name.len() > 128 {
            let fix = "use letters, digits and '_', a letter or '_' first";
            return flaw(key, "not a macro's name", fix);
        }
        let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
        if body.contains(odd) || body.len() > 1 << 16 {
            return flaw(key, "a body with control characters or over 64 KiB", "shorten it");
        }
    }
    Ok(())
}

fn check_profiles(target: &Target) -> Result<(), Flaw> {
    if target.rpm.toolbox.is_empty() {
        let fix = "name the package of the distribution's rpm, as toolbox = ['rpm']";
        return flaw("rpm.toolbox", "empty: nothing could install the buildroot", fix);
    }
    check_requirements("rpm.toolbox", &target.rpm.toolbox)?;
    if target.profile.is_empty() {
        let fix = "add a [profile.distribution] with version and packages";
        return flaw("profile", "no base profile", fix);
    }
    for (name, profile) in &target.profile {
        let key = format!("profile.{}", Foreign::new(name).as_str());
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(fine) {
            return flaw(key, "not a profile's name", "use lower-case letters, digits and '-'");
        }
        if profile.version == 0 {
            let fix = "begin with 1 and add 1 with each change of the list";
            return flaw(format!("{key}.version"), "0 is no version", fix);
        }
        if profile.packages.is_empty() {
            let fix = "list at least a shell and rpm-build";
            return flaw(format!("{key}.packages"), "empty", fix);
        }
        check_requirements(&format!("{key}.packages"), &profile.packages)?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = profile.packages.iter().find(|package| !seen.insert(*package)) {
            let problem = format!("{} stands there twice", Foreign::new(twice.as_str()));
            return flaw(format!("{key}.packages"), problem, "take one of them out");
        }
    }
    Ok(())
}

fn check_requirements(key: &str, requirements: &[Requirement]) -> Result<(), Flaw> {
    for requirement in requirements {
        if let Err(error) = Need::parse(requirement.as_str()) {
            return flaw(key, error.to_string(), "write it as a spec would: 'name >= version'");
        }
    }
    Ok(())
}

fn check_repos(target: &Target) -> Result<(), Flaw> {
    if target.repos.is_empty() {
        return flaw("repo", "no repository", "add a [[repo]] with id and baseurl");
    }
    let mut ids = BTreeSet::new();
    for repo in &target.repos {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.:+".contains(c);
        let sound = repo.id.starts_with(|c: char| c.is_ascii_alphanumeric())
            && repo.id.len() <= 128
            && repo.id.chars().all(fine);
        if !sound {
            let problem = format!("{} is not an id", Foreign::new(&repo.id));
            let fix = "use letters, digits, '-', '_', '.', ':' and '+', a letter or digit first";
            return flaw("repo.id", problem, fix);
        }
        let key = |name: &str| format!("repo '{}': {name}", repo.id);
        if !ids.insert(&repo.id) {
            return flaw(key("id"), "two repositories have it", "rename one of them");
        }
        check_place(repo, &key)?;
        check_trust(repo, &key)?;
        check_details(repo, &key)?;
    }
    Ok(())
}

fn check_place(repo: &RepoSpec, key: &dyn Fn(&str) -> String) -> Result<(), Flaw> {
    let given = [
        ("baseurl", !repo.baseurl.is_empty()),
        ("mirrorlist", repo.mirrorlist.is_some()),
        ("metalink", repo.metalink.is_some()),
    ];
    let given: Vec<&str> =
        given.into_iter().filter_map(|(name, given)| given.then_some(name)).collect();
    let [_] = given[..] else {
        let (problem, fix) = match given[..] {
            [] => (
                "it says nowhere where it is".to_owned(),
                "add one of baseurl, mirrorlist, metalink",
            ),
            _ => (format!("it has {}", given.join(" and ")), "keep one; a metalink is the safest"),
        };
        return flaw(key(given.first().unwrap_or(&"baseurl")), problem, fix);
    };
    for base in &repo.baseurl {
        if let Err(error) = place::base(base) {
            return flaw(key("baseurl"), error.to_string(), "give an address without '?' and '#'");
        }
    }
    for (name, list) in [("mirrorlist", &repo.mirrorlist), ("metalink", &repo.metalink)] {
        if let Some(Err(error)) = list.as_deref().map(place::check) {
            return flaw(key(name), error.to_string(), "give an https:// address");
        }
    }
    Ok(())
}

fn check_trust(repo: &RepoSpec, key: &dyn Fn(&str) -> String) -> Result<(), Flaw> {
    let checks = repo.check_packages || repo.check_metadata;
    if checks && repo.keys.is_empty() {
        let name = if repo.check_packages { "check_packages" } else { "check_metadata" };
        let fix = "add keys = [{ from = '…', fingerprint = '…' }], or set it to false";
        return flaw(key(name), "signatures are to be checked, and no key is named", fix);
    }
    if !checks && !repo.keys.is_empty() {
        let fix = "set check_packages = true (or check_metadata = true), or take the keys out";
        return flaw(key("keys"), "keys are named, and no signature is checked by them", fix);
    }
    for Key { fingerprint, from } in &repo.keys {
        if from.is_empty() {
            return flaw(key("keys.from"), "no place to get the key", "name at least one");
        }
        for source in from {
            if let Err(error) = place::check(source) {
                let fix = "give https://…, file:///… or a path beside the target file";
                return flaw(key("keys.from"), error.to_string(), fix);
            }
            if fingerprint.is_none() && source.starts_with("http:") {
                let problem = "a key over http without a fingerprint: anyone on the way could \
                               hand over another";
                return flaw(key("keys.fingerprint"), problem, "add the fingerprint, or use https");
            }
        }
    }
    Ok(())
}

fn check_details(repo: &RepoSpec, key: &dyn Fn(&str) -> String) -> Result<(), Flaw> {
    if repo.packages_above > ABOVE_CAP {
        let fix = format!("give at most {ABOVE_CAP}");
        return flaw(key("packages_above"), "more folders than any repository climbs", fix);
    }
    if repo.stale_after_days == Some(0) {
        let fix = "give a number of days, or take it out";
        return flaw(key("stale_after_days"), "every generation would be stale", fix);
    }
    for module in &repo.modules {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        let sound = module.split_once(':').is_some_and(|(name, stream)| {
            !name.is_empty()
                && !stream.is_empty()
                && [name, stream].iter().all(|part| part.chars().all(fine))
        });
        if !sound || module.len() > TEXT_CAP {
            let problem = format!("{} is no stream of a module", Foreign::new(module));
            return flaw(key("modules"), problem, "write it as 'module:stream'");
        }
    }
    for pattern in &repo.exclude {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.+*?".contains(c);
        if pattern.is_empty() || pattern.len() > TEXT_CAP || !pattern.chars().all(fine) {
            let problem = format!("{} is no package's name", Foreign::new(pattern));
            return flaw(key("exclude"), problem, "write a name or name.arch, '*' and '?' allowed");
        }
    }
    Ok(())
}
