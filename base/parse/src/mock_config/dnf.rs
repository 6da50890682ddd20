//! The repositories of a `dnf.conf`: sections of `name = value` lines.
//!
//! Source: dnf.conf(5) of dnf 4 and of dnf 5.

use kiln_model::{Key, RepoSpec};

use super::python::Configuration;
use super::value::{Place, Text, Value};
use crate::place;

/// Sections in one file, and characters of a value.
const SECTIONS: usize = 2000;
const VALUE_CAP: usize = 64 << 10;

/// What says nothing about which packages there are, or what kiln does anyhow.
const NO_MATTER: &[&str] = &[
    "assumeyes",
    "best",
    "cachedir",
    "countme",
    "debuglevel",
    "enabled",
    "failovermethod",
    "fastestmirror",
    "gpgcheck",
    "gpgkey",
    "install_weak_deps",
    "keepcache",
    "logfile",
    "max_parallel_downloads",
    "mdpolicy",
    "metadata_expire",
    "minrate",
    "module_platform_id",
    "name",
    "obsoletes",
    "protected_packages",
    "repo_gpgcheck",
    "reposdir",
    "retries",
    "skip_if_unavailable",
    "sslverify",
    "syslog_device",
    "syslog_ident",
    "sysleg_device",
    "system_cachedir",
    "timeout",
    "type",
    "ui_repoid_vars",
    "user_agent",
    "baseurl",
    "mirrorlist",
    "metalink",
    "priority",
    "exclude",
    "excludepkgs",
];

#[derive(Debug)]
struct Section {
    id: String,
    place: Place,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: String,
    value: String,
    place: Place,
}

impl Section {
    /// The last value of a key counts, as in dnf.
    fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    fn list(&self, key: &str) -> Vec<String> {
        let split = |value: &str| -> Vec<String> {
            let parts = value.split(|c: char| c.is_whitespace() || c == ',');
            parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        self.get(key).map(|entry| split(&entry.value)).unwrap_or_default()
    }

    fn is_on(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, |entry| {
            ["1", "true", "yes", "on"].contains(&entry.value.to_lowercase().as_str())
        })
    }
}

/// The enabled repositories of a `dnf.conf` whose templates are filled in.
pub(super) fn repositories(text: &Text, configuration: &mut Configuration) -> Vec<RepoSpec> {
    let sections = sections(text, configuration);
    let (main, others): (Vec<Section>, Vec<Section>) =
        sections.into_iter().partition(|section| section.id == "main");
    let none = Section { id: "main".to_owned(), place: Place::default(), entries: Vec::new() };
    let main = main.into_iter().next().unwrap_or(none);
    note_unknown(&main, configuration);
    let mut repos: Vec<RepoSpec> = Vec::new();
    let mut disabled = Vec::new();
    let mut first_disabled = None;
    for section in others {
        if !section.is_on("enabled", true) {
            first_disabled.get_or_insert(section.place);
            disabled.push(section.id);
        } else if repos.iter().any(|repo| repo.id == section.id) {
            configuration.leave_out(section.place, &section.id, "a second section of that name");
        } else if let Some(repo) = repository(&section, &main, configuration) {
            repos.push(repo);
        }
    }
    if let Some(place) = first_disabled {
        let why = "these repositories are not enabled there";
        configuration.leave_out(place, &disabled.join(", "), why);
    }
    repos
}

fn repository(
    section: &Section,
    main: &Section,
    configuration: &mut Configuration,
) -> Option<RepoSpec> {
    note_unknown(section, configuration);
    let mut keys: Vec<Key> = section
        .list("gpgkey")
        .into_iter()
        .map(|from| Key { fingerprint: None, from: vec![from] })
        .collect();
    keys.dedup();
    let mut check_packages = section.is_on("gpgcheck", main.is_on("gpgcheck", false));
    let mut check_metadata = section.is_on("repo_gpgcheck", main.is_on("repo_gpgcheck", false));
    if (check_packages || check_metadata) && keys.is_empty() {
        let why = "signatures are to be checked, and no key is named: none are checked";
        configuration.leave_out(section.place, &section.id, why);
        (check_packages, check_metadata) = (false, false);
    }
    if !check_packages && !check_metadata {
        keys.clear();
    }
    let (baseurl, mirrorlist, metalink) = places(section, configuration)?;
    let mut exclude = main.list("excludepkgs");
    exclude.extend(main.list("exclude"));
    exclude.extend(section.list("excludepkgs"));
    exclude.extend(section.list("exclude"));
    Some(RepoSpec {
        id: section.id.clone(),
        baseurl,
        mirrorlist,
        metalink,
        keys,
        check_packages,
        check_metadata,
        priority: priority(section, configuration),
        exclude,
        modules: modules(configuration),
        packages_above: 0,
        stale_after_days: None,
    })
}

type Places = (Vec<String>, Option<String>, Option<String>);

fn places(section: &Section, configuration: &mut Configuration) -> Option<Places> {
    // Variables are put in later; their braces are no part of an address.
    let usable = |place: &String| place::check(&place.replace(['{', '}'], "")).is_ok();
    let metalink = section.get("metalink").map(|entry| entry.value.clone());
    let mut mirrorlist = section.get("mirrorlist").map(|entry| entry.value.clone());
    // dnf tells a metalink under the other name by its address.
    let also = mirrorlist.take_if(|list| list.contains("metalink"));
    let metalink = metalink.or(also).filter(usable);
    if metalink.is_some() {
        return Some((Vec::new(), None, metalink));
    }
    let mirrorlist = mirrorlist.filter(usable);
    if mirrorlist.is_some() {
        return Some((Vec::new(), mirrorlist, None));
    }
    let baseurl: Vec<String> = section.list("baseurl").into_iter().filter(usable).collect();
    if baseurl.is_empty() {
        let why = "it has no https, http or file address";
        configuration.leave_out(section.place, &section.id, why);
        return None;
    }
    Some((baseurl, None, None))
}

fn priority(section: &Section, configuration: &mut Configuration) -> u16 {
    const USUAL: u16 = 99;
    let Some(entry) = section.get("priority") else { return USUAL };
    entry.value.parse().unwrap_or_else(|_| {
        configuration.leave_out(entry.place, &entry.value, "not a priority");
        USUAL
    })
}

/// What `module_enable` names, for every repository: those without modules don't mind.
fn modules(configuration: &mut Configuration) -> Vec<String> {
    let Some(Value::List(all)) = configuration.options.get("module_enable") else {
        return Vec::new();
    };
    all.iter().map(Value::written).filter(|module| module.contains(':')).collect()
}

fn note_unknown(section: &Section, configuration: &mut Configuration) {
    for entry in &section.entries {
        let why = match entry.key.as_str() {
            "cost" => "kiln orders repositories by priority alone",
            "includepkgs" => "kiln has no list of the only packages to take",
            "module_hotfixes" => "kiln knows no modules",
            "sslclientcert" | "sslclientkey" | "sslcacert" | "username" | "password" => {
                "kiln has no certificates or passwords of its own to show: this repository may \
                 refuse"
            }
            "proxy" => "kiln takes its proxy from the environment",
            "skip_if_unavailable" if section.is_on("skip_if_unavailable", false) => {
                "kiln builds with every repository or not at all"
            }
            "sslverify" if !section.is_on("sslverify", true) => {
                "kiln always checks who a server is"
            }
            key if NO_MATTER.contains(&key) => continue,
            _ => "kiln knows no such key",
        };
        let what = format!("[{}] {} = {}", section.id, entry.key, entry.value);
        configuration.leave_out(entry.place, &what, why);
    }
}

fn sections(text: &Text, configuration: &mut Configuration) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut offset = 0;
    for line in text.as_str().split_inclusive('\n') {
        let place = text.place(offset);
        offset += line.len();
        let is_indented = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(id) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if sections.len() == SECTIONS {
                configuration.leave_out(place, line, "more sections than any such file has");
                return sections;
            }
            sections.push(Section { id: id.trim().to_owned(), place, entries: Vec::new() });
            continue;
        }
        let entries = sections.last_mut().map(|section| &mut section.entries);
        match (entries, line.split_once('=')) {
            (Some(entries), _) if is_indented && !entries.is_empty() => {
                let last = entries.last_mut().expect("there is one");
                if last.value.len() + line.len() < VALUE_CAP {
                    last.value.push(' ');
                    last.value.push_str(line);
                }
            }
            (Some(entries), Some((key, value))) => {
                let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
                entries.push(Entry { key, value, place });
            }
            _ => configuration.leave_out(place, line, "not a line of a dnf.conf"),
        }
    }
    sections
}
