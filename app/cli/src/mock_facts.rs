//! What mock's lock says of each package and kiln's doesn't: it stands in the package itself.

use std::collections::BTreeMap;

use kiln_cas::Cas;
use kiln_flow::Flow;
use kiln_model::{Digest, Lock, LockedPackage};
use kiln_parse::mock_lock::Facts;
use kiln_parse::place;

use crate::Failure;

/// The facts of every package of a lock whose packages are in the store.
pub(crate) fn of(lock: &Lock, flow: &Flow, cas: &Cas) -> Result<BTreeMap<Digest, Facts>, Failure> {
    let places: BTreeMap<&str, String> = lock
        .snapshots
        .iter()
        .filter_map(|one| {
            let generation = flow.generation(one)?;
            Some((one.repo.as_str(), generation.package_places.first()?.clone()))
        })
        .collect();
    lock.packages
        .iter()
        .map(|package| Ok((package.digest, facts(package, &places, cas)?)))
        .collect()
}

fn facts(
    package: &LockedPackage,
    places: &BTreeMap<&str, String>,
    cas: &Cas,
) -> Result<Facts, Failure> {
    let unknown = |what: &str| {
        let error = format!("{} cannot be written as mock writes it: {what}", package.nevra);
        Failure::caller(error, None)
    };
    let base = places
        .get(package.repo.as_str())
        .ok_or_else(|| unknown("nobody knows the place of its repository"))?;
    let url = place::join(base, &package.location).map_err(|error| unknown(&error.to_string()))?;
    Ok(kiln_repo::mock_facts(&mut cas.read(&package.digest)?, url)?)
}
