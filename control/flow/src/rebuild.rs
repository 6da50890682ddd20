//! Rebuilding what was built with a package: what needs what stands in the locks of the last good
//! builds.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::{JobId, TargetName, UserId};
use kiln_store::{Made, NewBuild, NewJob, Owner, ProjectRecord, Submitted, Turns};

use crate::events::Event;
use crate::life::{Flow, FlowError};
use crate::ordering;
use crate::service::OrderError;

/// Which dependants are asked for.
#[derive(Debug, Clone)]
pub struct Dependants {
    /// Of which project.
    pub project: ProjectRecord,
    /// For which target.
    pub target: TargetName,
    /// What they were built with: names of packages, source or binary.
    pub packages: Vec<String>,
    /// Whether also those that were built with them, and so on.
    pub is_deep: bool,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependant {
    /// The source package's name.
    pub name: String,
    /// Its last good build.
    pub job: JobId,
    /// What of the packages was in its buildroot, by NEVRA.
    pub had: Vec<String>,
    /// Those of the list that go before it, by position.
    pub after: Vec<usize>,
}

impl Flow {
    /// What was built with these packages, each after those that it was built with itself.
    ///
    /// The locks can be a ring: what was built with a package once may be what that was then
    /// built with. There the older build goes first.
    pub async fn dependants(&self, asked: &Dependants) -> Result<Vec<Dependant>, OrderError> {
        let made = self.store.made(asked.project.id, asked.target.as_str()).await?;
        let had = self.had(&made)?;
        let is_binary = |name: &String| {
            made.values().any(|one| one.artifacts.iter().any(|it| it.nevra.name() == name))
        };
        let unknown =
            asked.packages.iter().find(|name| !made.contains_key(*name) && !is_binary(name));
        if let Some(name) = unknown {
            return Err(OrderError::NotMade { name: name.clone(), target: asked.target.clone() });
        }
        let mut wanted: BTreeSet<&str> = asked.packages.iter().map(String::as_str).collect();
        let mut found: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        loop {
            let before = found.len();
            for (name, (sources, packages)) in &had {
                let is_of = |one: &Had| wanted.contains(one.source) || wanted.contains(one.name);
                let its = packages.iter().filter(|one| is_of(one) && one.source != *name);
                let its: BTreeSet<String> = its.map(|one| one.nevra.clone()).collect();
                if !its.is_empty() && sources.iter().any(|source| source != name) {
                    found.entry(name).or_default().extend(its);
                }
            }
            if !asked.is_deep || found.len() == before {
                break;
            }
            wanted.extend(found.keys());
        }
        // Who is asked about is not rebuilt for having been in a ring with what needs it.
        found.retain(|name, _| !asked.packages.iter().any(|asked| asked == name));
        Ok(in_order(found, &had, &made))
    }

    /// Builds them anew, from the same sources: each when what it was built with is published.
    ///
    /// A package has one content in a repository, so they need another release: `%dist`, whose
    /// value the buildroot knows, gets a suffix that counts rebuilds (`.fc43` → `.fc43.r1`), higher
    /// than before and lower than the next release in the spec.
    pub async fn rebuild(
        &self,
        asked: &Dependants,
        by: UserId,
    ) -> Result<Vec<(Dependant, Submitted)>, OrderError> {
        let dependants = self.dependants(asked).await?;
        let mut builds = Vec::new();
        for one in &dependants {
            let old = self.store.job(one.job).await?;
            let build = self.store.build(old.build).await?;
            let mut settings = old.settings;
            settings.rebuild = settings.rebuild.saturating_add(1);
            self.isolate_again(&mut settings, &asked.project).await?;
            let job = NewJob {
                settings,
                limits: old.limits,
                is_background: old.is_background,
                priority: old.priority,
                waits_for: Vec::new(),
            };
            let project = asked.project.id;
            let owner = Owner { project, submitter: by, is_scratch: false, hook: None };
            builds.push(NewBuild {
                title: build.title,
                source: build.source,
                jobs: vec![job],
                owner: Some(owner),
                origin: build.origin,
            });
        }
        let after = dependants.iter().map(|one| one.after.clone()).collect();
        let turns = Turns { order: (0..builds.len()).collect(), after };
        let made = self.store.submit_all(&builds, &turns, None, self.now()).await?;
        for job in made.iter().flat_map(|one| &one.jobs) {
            self.events.tell(Event::Job(*job));
        }
        self.events.tell(Event::Queued);
        Ok(dependants.into_iter().zip(made).collect())
    }

    /// What of the project's own was in each buildroot.
    fn had<'a>(
        &self,
        made: &'a BTreeMap<String, Made>,
    ) -> Result<BTreeMap<&'a str, InRoot<'a>>, FlowError> {
        // By name alone: a buildroot may have had an older build of the same package.
        let of_name: BTreeMap<&'a str, &'a str> = made
            .iter()
            .flat_map(|(source, one)| {
                one.artifacts.iter().map(move |it| (it.nevra.name(), source.as_str()))
            })
            .collect();
        let mut had: BTreeMap<&str, InRoot<'a>> = BTreeMap::new();
        for (name, one) in made {
            let lock = one.lock.map(|lock| self.lock(&lock)).transpose()?.flatten();
            let own = crate::share::OWN_REPOS;
            let packages = lock.into_iter().flat_map(|lock| lock.packages);
            let packages = packages.filter(|package| package.repo.starts_with(own));
            let its: Vec<Had<'a>> = packages
                .filter_map(|package| {
                    let (name, source) = of_name.get_key_value(package.nevra.name())?;
                    Some(Had { source, name, nevra: package.nevra.to_string() })
                })
                .collect();
            let sources = its.iter().map(|one| one.source).collect();
            had.insert(name, (sources, its));
        }
        Ok(had)
    }
}

/// A package of the project's own that was in a buildroot.
#[derive(Debug, Clone)]
struct Had<'a> {
    source: &'a str,
    name: &'a str,
    nevra: String,
}

/// What was in a buildroot: of which source packages, and what.
type InRoot<'a> = (BTreeSet<&'a str>, Vec<Had<'a>>);

fn in_order(
    found: BTreeMap<&str, BTreeSet<String>>,
    had: &BTreeMap<&str, InRoot<'_>>,
    made: &BTreeMap<String, Made>,
) -> Vec<Dependant> {
    // The oldest first, so that a ring is cut before its youngest.
    let mut names: Vec<&str> = found.keys().copied().collect();
    names.sort_by_key(|name| made[*name].job);
    let at = |name: &str| names.iter().position(|one| *one == name);
    let mut after: Vec<Vec<usize>> = names
        .iter()
        .map(|name| had[name].0.iter().filter(|one| *one != name).filter_map(|it| at(it)).collect())
        .collect();
    let turns = loop {
        match ordering::turns(after.clone()) {
            Ok(turns) => break turns,
            Err(ring) => {
                let oldest = *ring.0.iter().min().expect("a ring has members");
                after[oldest].retain(|one| !ring.0.contains(one));
            }
        }
    };
    let place = |at: usize| turns.order.iter().position(|one| *one == at).expect("each has a turn");
    let dependant = |at: &usize| Dependant {
        name: names[*at].to_owned(),
        job: made[names[*at]].job,
        had: found[names[*at]].iter().cloned().collect(),
        after: turns.after[*at].iter().map(|one| place(*one)).collect(),
    };
    turns.order.iter().map(dependant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(jobs: &[(&str, i64)]) -> BTreeMap<String, Made> {
        let one = |(name, job): &(&str, i64)| {
            let srpm = format!("{name}-1-1.src").parse().expect("a NEVRA");
            let one = Made { job: JobId(*job), lock: None, srpm, artifacts: Vec::new() };
            ((*name).to_owned(), one)
        };
        jobs.iter().map(one).collect()
    }

    #[test]
    fn a_ring_of_locks_is_cut_before_its_oldest_build() {
        let made = made(&[("a", 7), ("b", 3), ("c", 9)]);
        let root = |names: &[&'static str]| (names.iter().copied().collect(), Vec::new());
        let had = BTreeMap::from([("a", root(&["b"])), ("b", root(&["a"])), ("c", root(&["a"]))]);
        let found = ["a", "b", "c"].map(|name| (name, BTreeSet::new()));
        let order = in_order(BTreeMap::from(found), &had, &made);
        let told: Vec<(&str, &[usize])> =
            order.iter().map(|one| (&one.name[..], &one.after[..])).collect();
        assert_eq!(told, [("b", &[][..]), ("a", &[0]), ("c", &[1])]);
    }
}
