//! From seeds to a set of packages in which every dependency is satisfied.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kiln_model::Foreign;

use crate::debian::Relation;
use crate::debian::version::compare;
use crate::error::DebrpmError;
use crate::plan::Package;
use crate::policy::Policy;
use crate::seeds::SeedSet;

/// The packages of a suite, the newest of each name, and who provides what.
#[derive(Debug)]
pub(crate) struct Suite {
    packages: BTreeMap<String, Package>,
    providers: BTreeMap<String, Vec<(String, Option<String>)>>,
}

/// What the closure chose.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) sets: BTreeMap<String, Vec<String>>,
    pub(crate) packages: Vec<Package>,
}

impl Suite {
    /// Orders what the indexes hold. Where two know a name, the newer version stands; of two the
    /// same, the first.
    pub(crate) fn new(all: Vec<Package>) -> Self {
        let mut packages: BTreeMap<String, Package> = BTreeMap::new();
        for package in all {
            match packages.get(&package.name) {
                Some(known) if compare(&package.version, &known.version).is_le() => {}
                _ => drop(packages.insert(package.name.clone(), package)),
            }
        }
        let mut providers: BTreeMap<String, Vec<(String, Option<String>)>> = BTreeMap::new();
        for package in packages.values() {
            for (name, version) in package.provided() {
                let provider = (package.name.clone(), version.map(str::to_owned));
                providers.entry(name.to_owned()).or_default().push(provider);
            }
        }
        Self { packages, providers }
    }

    /// Every package that would satisfy `relation`, a real one of that name first; providers in
    /// the order of Debian's own priorities, then of their names.
    fn satisfying<'a>(&'a self, relation: &Relation<'_>) -> Vec<&'a Package> {
        let real = self.packages.get(relation.name);
        let real = real.filter(|package| relation.allows(Some(&package.version)));
        let providers = self.providers.get(relation.name).map(Vec::as_slice).unwrap_or_default();
        let mut virtual_ones: Vec<&Package> = providers
            .iter()
            .filter(|(_, version)| relation.allows(version.as_deref()))
            .filter_map(|(name, _)| self.packages.get(name))
            .collect();
        virtual_ones.sort_by_key(|package| (rank(&package.priority), &package.name));
        real.into_iter().chain(virtual_ones).collect()
    }
}

fn rank(priority: &str) -> usize {
    let order = ["required", "important", "standard", "optional"];
    order.iter().position(|known| *known == priority).unwrap_or(order.len())
}

/// Chooses the seeds and, breadth first, what they depend on. Edges that the policy cuts are not
/// followed; a clause that something chosen satisfies asks for nothing more.
pub(crate) fn close(
    suite: &Suite,
    seed_sets: &[SeedSet],
    policy: &Policy,
) -> Result<Chosen, DebrpmError> {
    let mut sets = BTreeMap::new();
    let mut chosen = BTreeSet::new();
    let mut queue = VecDeque::new();
    for set in seed_sets {
        let found = find_seeds(suite, set)?;
        for package in &found {
            if chosen.insert(package.name.as_str()) {
                queue.push_back(*package);
            }
        }
        let mut names: Vec<String> = found.iter().map(|package| package.name.clone()).collect();
        names.sort();
        names.dedup();
        sets.insert(set.name.clone(), names);
    }
    while let Some(package) = queue.pop_front() {
        for clause in package.dependencies() {
            if let Some(next) = choose(suite, &clause, &chosen, policy, package)? {
                chosen.insert(next.name.as_str());
                queue.push_back(next);
            }
        }
    }
    let packages = chosen.into_iter().map(|name| suite.packages[name].clone()).collect();
    Ok(Chosen { sets, packages })
}

fn find_seeds<'a>(suite: &'a Suite, set: &SeedSet) -> Result<Vec<&'a Package>, DebrpmError> {
    let mut found = Vec::new();
    for seed in &set.seeds {
        match seed.names.iter().find_map(|name| suite.packages.get(name)) {
            Some(package) => found.push(package),
            None if seed.optional => {}
            None => {
                let seed = Foreign::new(&seed.names.join("|"));
                return Err(DebrpmError::NoPackage { seed, set: set.name.clone() });
            }
        }
    }
    Ok(found)
}

/// The package to add for a clause; `None` where the clause asks for nothing more.
fn choose<'a>(
    suite: &'a Suite,
    clause: &[Relation<'_>],
    chosen: &BTreeSet<&str>,
    policy: &Policy,
    package: &Package,
) -> Result<Option<&'a Package>, DebrpmError> {
    if clause.iter().any(|relation| policy.cuts(relation.name)) {
        return Ok(None);
    }
    let candidates: Vec<Vec<&Package>> =
        clause.iter().map(|relation| suite.satisfying(relation)).collect();
    if candidates.iter().flatten().any(|candidate| chosen.contains(candidate.name.as_str())) {
        return Ok(None);
    }
    let mut best = None;
    for (relation, candidates) in clause.iter().zip(&candidates) {
        let preferred = policy.preferred(relation.name);
        let liked = candidates.iter().find(|candidate| Some(candidate.name.as_str()) == preferred);
        let fine = candidates.iter().find(|candidate| !policy.avoids(&candidate.name));
        if let Some(found) = liked.or(fine) {
            return Ok(Some(found));
        }
        best = best.or(candidates.first().copied());
    }
    if best.is_some() {
        return Ok(best);
    }
    let clause: Vec<&str> = clause.iter().map(|relation| relation.name).collect();
    Err(DebrpmError::Unsatisfied {
        clause: Foreign::new(&clause.join(" | ")),
        package: Foreign::new(&package.name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::package;
    use crate::seeds::Seed;

    fn suite() -> Suite {
        Suite::new(
            [
                "Package: app\nVersion: 1\nDepends: libx (>= 2), awk, dpkg, b | a\n",
                "Package: libx\nVersion: 1\n",
                "Package: libx\nVersion: 2\n",
                "Package: mawk\nVersion: 1\nProvides: awk\nPriority: required\n",
                "Package: gawk\nVersion: 1\nProvides: awk\nPriority: optional\n",
                "Package: a\nVersion: 1\n",
                "Package: b\nVersion: 1\n",
                "Package: broken\nVersion: 1\nDepends: libx (>> 3)\n",
                "Package: dpkg\nVersion: 1\n",
            ]
            .map(package)
            .into(),
        )
    }

    fn set(words: &[&str]) -> SeedSet {
        let seed = |word: &&str| Seed { names: vec![(*word).to_owned()], optional: false };
        SeedSet { name: "test".to_owned(), seeds: words.iter().map(seed).collect() }
    }

    fn names(seeds: &[&str]) -> Vec<String> {
        let chosen = close(&suite(), &[set(seeds)], &Policy::built_in().expect("a policy"));
        chosen.expect("closed").packages.into_iter().map(|package| package.name).collect()
    }

    #[test]
    fn a_closure_takes_the_newest_the_preferred_and_the_first_alternative_and_cuts_dpkg() {
        assert_eq!(names(&["app"]), ["app", "b", "gawk", "libx"]);
    }

    #[test]
    fn an_alternative_that_is_chosen_already_is_enough() {
        assert_eq!(names(&["a", "mawk", "app"]), ["a", "app", "libx", "mawk"]);
    }

    #[test]
    fn what_nothing_satisfies_is_named_with_who_needs_it() {
        let policy = Policy::built_in().expect("a policy");
        let error = close(&suite(), &[set(&["broken"])], &policy).expect_err("unsatisfied");
        assert!(error.to_string().contains("libx") && error.to_string().contains("broken"));
        let error = close(&suite(), &[set(&["nowhere"])], &policy).expect_err("no such seed");
        assert!(matches!(error, DebrpmError::NoPackage { .. }));
    }
}
