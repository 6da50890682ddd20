//! The check that nothing in the distribution requires what nothing in it provides.

use std::collections::{BTreeMap, BTreeSet};

use super::relations::holds;
use super::{Dep, Evr, Recipe};
use crate::error::DebrpmError;

/// The most open requirements that an error lists.
const SHOWN: usize = 12;

/// Everything that the packages of a distribution provide.
#[derive(Debug, Default)]
pub(crate) struct Offered<'a> {
    capabilities: BTreeMap<&'a str, Vec<Option<Evr>>>,
    paths: BTreeSet<&'a str>,
}

impl<'a> Offered<'a> {
    /// What `recipes` provide: their names, their provides, their files.
    pub(crate) fn by(recipes: &'a [Recipe]) -> Self {
        let mut offered = Self::default();
        for recipe in recipes {
            offered.capabilities.entry(&recipe.name).or_default().push(Some(recipe.evr.clone()));
            for dep in &recipe.provides {
                let evr = dep.bound.as_ref().map(|(_, version)| parse(version));
                offered.capabilities.entry(&dep.name).or_default().push(evr);
            }
            offered.paths.extend(recipe.entries.iter().map(|entry| entry.path.as_str()));
        }
        offered
    }

    /// Whether something of that name is provided, in whatever version.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.capabilities.contains_key(name) || self.paths.contains(name)
    }

    /// Whether the requirement is met.
    pub(crate) fn meets(&self, dep: &Dep) -> bool {
        if let Some(inner) = dep.name.strip_prefix('(') {
            let inner = inner.trim_end_matches(')');
            return inner.split(" or ").any(|term| self.meets(&Dep::parse(term)));
        }
        if self.paths.contains(dep.name.as_str()) {
            return true;
        }
        let Some(offers) = self.capabilities.get(dep.name.as_str()) else { return false };
        let Some((sign, wanted)) = &dep.bound else { return true };
        let wanted = parse(wanted);
        offers.iter().flatten().any(|offer| holds(offer, sign, &wanted))
    }
}

/// `1:2.3-4`, taken apart.
fn parse(text: &str) -> Evr {
    let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
    let (version, release) = rest.rsplit_once('-').unwrap_or((rest, ""));
    Evr {
        epoch: epoch.parse().unwrap_or(0),
        version: version.to_owned(),
        release: release.to_owned(),
    }
}

/// Fails with the open requirements, if there are any.
pub(crate) fn closed(recipes: &[Recipe]) -> Result<(), DebrpmError> {
    let offered = Offered::by(recipes);
    let mut open = Vec::new();
    for recipe in recipes {
        for dep in recipe.requires.iter().filter(|dep| !offered.meets(dep)) {
            open.push(format!("{dep} (required by {})", recipe.name));
        }
    }
    match open.len() {
        0 => Ok(()),
        count => Err(DebrpmError::Open { count, first: open.into_iter().take(SHOWN).collect() }),
    }
}
