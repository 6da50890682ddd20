//! Which files a package has, and where.

use std::collections::{BTreeMap, BTreeSet};

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
    let hard: BTreeSet<&str> = scan.members.iter().filter_map(hard_target).collect();
    for member in scan.members.iter().filter(|member| !policy.drops(&member.path)) {
        let path = layout.place(&member.path);
        let known_folder = member.kind == Kind::Folder && folders.contains(&path);
        if known_folder || !taken.insert(path.clone()) {
            continue;
        }
        let Some(what) = contents(member, scan, layout, policy, &hard)? else { continue };
        let config = scan.conffiles.contains(&member.path);
        let mark = match (&what, config) {
            (What::Slice { .. }, true) => Mark::Config,
            (What::Slice { .. }, _) if path.ends_with("/copyright") => Mark::License,
            _ => Mark::Plain,
        };
        let part = policy.part(&path).map_or("", |split| split.into.as_str());
        let part = parts.entry(part).or_default();
        let (user, group) = (member.user.clone(), member.group.clone());
        let (mode, mtime) = (member.mode, member.mtime);
        part.entries.push(Entry { path, mode, user, group, mtime, what, mark });
        part.members.push(member);
    }
    let mtime = scan.members.iter().map(|member| member.mtime).max().unwrap_or_default();
    let main = parts.entry("").or_default();
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

fn hard_target(member: &Member) -> Option<&str> {
    match &member.kind {
        Kind::Hard(target) => Some(target),
        _ => None,
    }
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

/// What an entry holds; `None` for a link that has become what it points to.
fn contents(
    member: &Member,
    scan: &Scan,
    layout: Layout<'_>,
    policy: &FilePolicy<'_>,
    hard: &BTreeSet<&str>,
) -> Result<Option<What>, DebrpmError> {
    Ok(match &member.kind {
        Kind::Folder => Some(What::Folder),
        Kind::Link(target) => layout.target(&member.path, target).map(What::Link),
        Kind::File { at, size } => {
            let identity = hard.contains(member.path.as_str()).then(|| member.path.clone());
            Some(slice(*at, *size, identity, &member.path, policy))
        }
        Kind::Hard(target) => {
            let of = scan.members.iter().find(|other| other.path == *target);
            let Some(Kind::File { at, size }) = of.map(|other| &other.kind) else {
                return Err(DebrpmError::Deb {
                    package: member.path.clone(),
                    why: format!("it is the same file as {target}, which is not there"),
                });
            };
            Some(slice(*at, *size, Some(target.clone()), &member.path, policy))
        }
    })
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
