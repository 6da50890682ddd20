//! What tenants' packages may not stand in for.
//!
//! A project's own repository takes part with the priority that the project sets, so without
//! this anybody's `Provides: glibc = 99` would be everybody's glibc (dependency confusion). Where
//! an upstream package has a name, a provide or a file, a tenant's claim to it doesn't count, and
//! is told; a tenant's package that has the name of an upstream one, or obsoletes it, neither.

use std::collections::HashMap;

use kiln_parse::primary::Kind;
use kiln_wire::solver::{REFUSED_CAP, Refused, WithheldWhy};

use crate::needs;
use crate::sys::{Dep, Pkg};
use crate::world::{World, glob};

/// Takes away what tenants may not claim; tells what it took.
pub(crate) fn police(world: &mut World) -> Vec<Refused> {
    let tenants: Vec<Pkg> = world.pool.packages().filter(|pkg| is_tenants(world, *pkg)).collect();
    if tenants.is_empty() {
        return Vec::new();
    }
    let owners = owners_of_claims(world, &tenants);
    let mut refused = Vec::new();
    for pkg in tenants {
        let (name, ..) = world.pool.identity(pkg);
        let allowed = world.repo(pkg).and_then(|repo| repo.tenant.clone()).unwrap_or_default();
        if let Some(owner) = refusal(world, &owners, &allowed, name) {
            tell(world, &mut refused, pkg, "", name, owner);
            world.withheld.insert(pkg, WithheldWhy::Tenant);
            continue;
        }
        for (kind, verb) in [(Kind::Provides, ""), (Kind::Obsoletes, "obsoletes ")] {
            let entries: Vec<Dep> = world.pool.entries(pkg, kind).collect();
            let mut dropped = Vec::new();
            for dep in entries {
                let claim = needs::base(&world.pool, dep);
                if let Some(owner) = refusal(world, &owners, &allowed, claim) {
                    tell(world, &mut refused, pkg, verb, dep, owner);
                    dropped.push(dep);
                }
            }
            if !dropped.is_empty() {
                world.pool.retain(pkg, kind, |dep| !dropped.contains(&dep));
            }
        }
    }
    refused
}

/// Of the owners of a path, those that count: no tenant's where an upstream package has it.
pub(crate) fn among(world: &World, path: &str, owners: Vec<Pkg>) -> Vec<Pkg> {
    let seen: Vec<Pkg> =
        owners.into_iter().filter(|pkg| !world.withheld.contains_key(pkg)).collect();
    let upstream: Vec<Pkg> = seen.iter().copied().filter(|pkg| !is_tenants(world, *pkg)).collect();
    let counts = |pkg: &Pkg| {
        let Some(allowed) = world.repo(*pkg).and_then(|repo| repo.tenant.as_ref()) else {
            return true;
        };
        upstream.is_empty() || upstream.iter().all(|owner| may(world, allowed, path, *owner))
    };
    seen.iter().copied().filter(counts).collect()
}

fn is_tenants(world: &World, pkg: Pkg) -> bool {
    world.repo(pkg).is_some_and(|repo| repo.tenant.is_some())
}

/// Who has what tenants claim, upstream.
fn owners_of_claims(world: &World, tenants: &[Pkg]) -> HashMap<Dep, Vec<Pkg>> {
    let mut owners: HashMap<Dep, Vec<Pkg>> = HashMap::new();
    for pkg in tenants {
        owners.entry(world.pool.identity(*pkg).0).or_default();
        for kind in [Kind::Provides, Kind::Obsoletes] {
            for dep in world.pool.entries(*pkg, kind) {
                owners.entry(needs::base(&world.pool, dep)).or_default();
            }
        }
    }
    let upstream = world
        .pool
        .packages()
        .filter(|pkg| !is_tenants(world, *pkg) && !world.withheld.contains_key(pkg));
    for pkg in upstream {
        let name = world.pool.identity(pkg).0;
        let claims = world.pool.entries(pkg, Kind::Provides);
        for claim in claims.map(|dep| needs::base(&world.pool, dep)).chain([name]) {
            if let Some(known) = owners.get_mut(&claim) {
                known.push(pkg);
            }
        }
    }
    owners
}

/// The upstream package that stands in the way of a claim.
fn refusal(
    world: &World,
    owners: &HashMap<Dep, Vec<Pkg>>,
    allowed: &[String],
    claim: Dep,
) -> Option<Pkg> {
    let text = world.pool.text(claim);
    let owners = owners.get(&claim)?;
    owners.iter().copied().find(|owner| !may(world, allowed, &text, *owner))
}

/// Whether a tenant with that leave may claim what an upstream package has.
fn may(world: &World, allowed: &[String], claim: &str, owner: Pkg) -> bool {
    let owner = world.pool.text(world.pool.identity(owner).0);
    allowed.iter().any(|pattern| glob(pattern, &owner) || glob(pattern, claim))
}

fn tell(
    world: &mut World,
    refused: &mut Vec<Refused>,
    pkg: Pkg,
    verb: &str,
    claim: Dep,
    owner: Pkg,
) {
    if refused.len() == REFUSED_CAP {
        return;
    }
    let claim = format!("{verb}{}", needs::text(&mut world.pool, claim));
    if let (Ok(package), Ok(owner)) = (world.package(pkg), world.package(owner)) {
        let owner = owner.nevra.to_string();
        refused.push(Refused { package: package.nevra, repo: package.repo, claim, owner });
    }
}
