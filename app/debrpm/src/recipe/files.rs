//! Which files a package has, and where.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::paths::{Layout, parent, relative};
use super::{Change, Entry, Mark, What};
use crate::error::DebrpmError;
use crate::policy::FilePolicy;
use crate::scan::{Kind, Member, Scan};

/// The files of one Debian package, parted into the RPMs that it becomes.
#[derive(Debug, Default)]
pub(crate) struct Part<'a> {
    pub(crate) entries: Vec<Entry>,
    /// The members that the entries come from: for what they provide and require.
    pub(crate) members: Vec<&'a Member>,
}

/// Lays out the files of a package: by the name of the part, empty for the main one.
pub(crate) fn lay_out<'a>(
    scan: &'a Scan,
    layout: Layout<'_>,
    policy: &FilePolicy<'a>,
    alternatives: &[(String, String)],
    folders: &BTreeSet<String>,
) -> Result<BTreeMap<&'a str, Part<'a>>, DebrpmError> {
    let mut parts: BTreeMap<&str, Part<'a>> = BTreeMap::from([("", Part::default())]);
    parts.extend(policy.parts().map(|split| (split.into.as_str(), Part::default())));
    let mut taken = BTreeSet::new();
    let twins = Twins::of(scan);
    for member in scan.members.iter().filter(|member| !policy.drops(&member.path)) {
        let path = layout.place(&member.path);
        let known_folder = member.kind == Kind::Folder && folders.contains(&path);
        if known_folder || !taken.insert(path.clone()) {
            continue;
        }
        // Two names of one file have one owner, one mode and one time.
        let file = twins.first(member)?;
        let Some(what) = contents(member, file, layout, policy, &twins) else { continue };
        let mark = mark(scan, &what, member);
        let part = policy.part(&path).map_or("", |split| split.into.as_str());
        let part = parts.entry(part).or_default();
        let (user, group) = (file.user.clone(), file.group.clone());
        let (mode, mtime) = (file.mode, file.mtime);
        part.entries.push(Entry { path, mode, user, group, mtime, what, mark });
        part.members.push(member);
    }
    let mtime = scan.members.iter().map(|member| member.mtime).max().unwrap_or_default();
    let main = parts.entry("").or_default();
    main.entries.extend(policy.joins().map(|(path, from)| joined(scan, path, from, mtime)));
    let added = policy.links.iter().map(|link| (&link.path, &link.target));
    for (path, target) in added.chain(alternatives.iter().map(|(link, target)| (link, target))) {
        if taken.insert(path.clone()) && !policy.drops(path) {
            main.entries.push(link(path, target, mtime));
        }
    }
    for part in parts.values_mut() {
        part.entries.sort_by(|a, b| a.path.cmp(&b.path));
    }
    Ok(parts)
}

/// Which names stand for the same file.
struct Twins<'a> {
    scan: &'a Scan,
    /// Files that have a second name that rpm is told the same about.
    shared: BTreeSet<&'a str>,
}

impl<'a> Twins<'a> {
    fn of(scan: &'a Scan) -> Self {
        let conffile = |path: &String| scan.conffiles.contains(path);
        let shared = scan.members.iter().filter_map(|member| match &member.kind {
            Kind::Hard(target) if !conffile(&member.path) && !conffile(target) => {
                Some(target.as_str())
            }
            _ => None,
        });
        Self { scan, shared: shared.collect() }
    }

    /// The member that has the bytes and the owner of `member`: itself, or the one that it is a
    /// second name of.
    fn first(&self, member: &'a Member) -> Result<&'a Member, DebrpmError> {
        let Kind::Hard(target) = &member.kind else { return Ok(member) };
        let found = self
            .scan
            .members
            .iter()
            .find(|other| other.path == *target && matches!(other.kind, Kind::File { .. }));
        found.ok_or_else(|| DebrpmError::Deb {
            package: member.path.clone(),
            why: format!("it is the same file as {target}, which is not there"),
        })
    }
}

fn mark(scan: &Scan, what: &What, member: &Member) -> Mark {
    match what {
        What::Slice { .. } if scan.conffiles.contains(&member.path) => Mark::Config,
        What::Slice { .. } if member.path.ends_with("/copyright") => Mark::License,
        _ => Mark::Plain,
    }
}

/// A file that is put together from those whose paths match.
fn joined(scan: &Scan, path: &str, from: &Regex, mtime: u32) -> Entry {
    let mut found: Vec<(&str, (u64, u64))> = scan
        .members
        .iter()
        .filter(|member| from.is_match(&member.path))
        .filter_map(|member| match member.kind {
            Kind::File { at, size } => Some((member.path.as_str(), (at, size))),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    let root = || "root".to_owned();
    let what = What::Joined(found.into_iter().map(|(_, part)| part).collect());
    let (user, group, mark) = (root(), root(), Mark::Plain);
    Entry { path: path.to_owned(), mode: 0o644, user, group, mtime, what, mark }
}

/// A link to a file of the distribution.
fn link(path: &str, target: &str, mtime: u32) -> Entry {
    let target = match target.starts_with('/') {
        true => relative(parent(path), target),
        false => target.to_owned(),
    };
    let root = || "root".to_owned();
    let (what, mark) = (What::Link(target), Mark::Plain);
    Entry { path: path.to_owned(), mode: 0o777, user: root(), group: root(), mtime, what, mark }
}

/// What an entry holds; `None` for a link that has become what it points to. `file` is the
/// member that has its bytes.
fn contents(
    member: &Member,
    file: &Member,
    layout: Layout<'_>,
    policy: &FilePolicy<'_>,
    twins: &Twins<'_>,
) -> Option<What> {
    match (&member.kind, &file.kind) {
        (Kind::Folder, _) => Some(What::Folder),
        (Kind::Link(target), _) => layout.target(&member.path, target).map(What::Link),
        (_, Kind::File { at, size }) => {
            let shared = twins.shared.contains(file.path.as_str());
            let identity = shared.then(|| file.path.clone());
            Some(slice(*at, *size, identity, &member.path, policy))
        }
        _ => None,
    }
}

fn slice(at: u64, size: u64, hard: Option<String>, path: &str, policy: &FilePolicy<'_>) -> What {
    let change = if policy.edits(path) {
        Change::Edit(path.to_owned())
    } else if policy.relocates(path) {
        Change::Relocate
    } else {
        Change::None
    };
    What::Slice { at, size, change, hard }
}
