//! Who has a file: in file lists, and among what packages provide.

use std::fs::File;

use kiln_parse::compression::unpack;
use kiln_parse::filelists;
use kiln_wire::solver::{Failure, Found, KnownPath, Lists, Package, Search, Wanted, Who};

use crate::hashing::Hashing;
use crate::needs;
use crate::world::World;

/// Looks for paths in the file lists of some repositories; whole paths are remembered.
pub(crate) fn search(
    world: &mut World,
    ask: &Search,
    files: Vec<File>,
) -> Result<Vec<Found>, Failure> {
    if ask.lists.len() != files.len() {
        return Err(Failure::Protocol("not one file for each list".to_owned()));
    }
    let wanted: Vec<filelists::Wanted> = ask
        .wanted
        .iter()
        .map(|wanted| match wanted {
            Wanted::Path(path) => filelists::Wanted::Path(path.clone()),
            Wanted::End(end) => filelists::Wanted::End(end.clone()),
        })
        .collect();
    let mut found = Vec::new();
    for (Lists { repo, digest, open_size }, file) in ask.lists.iter().zip(files) {
        let failed = |why: String| Failure::Metadata(format!("{repo}: {why}"));
        let mut bytes = Hashing::new(file);
        let owners = unpack(&mut bytes, *open_size)
            .map_err(|error| failed(format!("unpacking the file lists: {error}")))
            .and_then(|(_, unpacked)| {
                filelists::find(unpacked, &wanted).map_err(|error| failed(with_cause(&error)))
            });
        bytes.expect(*digest)?;
        let owners = owners?;
        for owner in owners {
            // A list may name packages that primary metadata don't have: they aren't there.
            let Some(pkg) = world.by_digest(repo, &owner.pkgid) else { continue };
            if !world.withheld.contains_key(&pkg) {
                found.push(Found {
                    wanted: owner.wanted,
                    path: owner.path,
                    package: world.package(pkg)?,
                    pkgid: owner.pkgid,
                });
            }
        }
    }
    remember(world, ask, &found);
    Ok(found)
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        None => error.to_string(),
        Some(cause) => format!("{error}: {cause}"),
    }
}

fn remember(world: &mut World, ask: &Search, found: &[Found]) {
    let all = |repo: &kiln_wire::solver::Repo| {
        !repo.lists || ask.lists.iter().any(|searched| searched.repo == repo.id)
    };
    if !world.repos.iter().all(all) {
        // Another repository's lists could tell more.
        return;
    }
    let known: Vec<KnownPath> = ask
        .wanted
        .iter()
        .enumerate()
        .filter_map(|(at, wanted)| match wanted {
            Wanted::End(_) => None,
            Wanted::Path(path) => {
                let owners = found.iter().filter(|found| found.wanted == at);
                let owners = owners.map(|found| (found.package.repo.clone(), found.pkgid.clone()));
                Some(KnownPath { path: path.clone(), owners: owners.collect() })
            }
        })
        .collect();
    if !known.is_empty() {
        world.learn(&known);
        world.apply();
    }
}

/// The packages that provide each of the requirements, best first.
pub(crate) fn who(world: &mut World, ask: &Who) -> Result<Vec<Vec<Package>>, Failure> {
    let mut answer = Vec::with_capacity(ask.provides.len());
    for requirement in &ask.provides {
        let need = needs::parse(requirement.as_str())?;
        for leaf in need.leaves().into_iter().filter(|leaf| leaf.name.starts_with('/')) {
            let path = world.pool.dep(&leaf.name);
            world.settle(path);
        }
        let dep = needs::dep(&mut world.pool, &need);
        let name = needs::base(&world.pool, dep);
        let mut pkgs = world.pool.providers(dep);
        pkgs.retain(|pkg| !world.is_stand_in(*pkg));
        // The package of that name first, then the preferred repository, then the shortest name:
        // 'foo-devel' is more often meant than 'foo-bar-devel'.
        pkgs.sort_by_cached_key(|pkg| {
            let (own, ..) = world.pool.identity(*pkg);
            let text = world.pool.text(own).into_owned();
            let priority = world.repo(*pkg).map(|repo| repo.priority);
            (own != name, priority, text.len(), text)
        });
        let mut packages = Vec::new();
        for pkg in pkgs {
            let package = world.package(pkg)?;
            let known = |other: &Package| other.nevra.name() == package.nevra.name();
            if !packages.iter().any(known) {
                packages.push(package);
            }
            if packages.len() == ask.most {
                break;
            }
        }
        answer.push(packages);
    }
    Ok(answer)
}
