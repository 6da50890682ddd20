//! Why each package of an answer is there.
//!
//! libsolv knows why it decided as it did, which may be for a rule that no packager ever saw. What
//! a packager asks is: who needs this? So the answer is walked from what was asked for, breadth
//! first, and each package is there for the first requirement that leads to it.

use std::collections::{HashMap, HashSet, VecDeque};

use kiln_model::Reason;
use kiln_parse::primary::Kind;
use kiln_wire::solver::{Asker, Failure};

use crate::needs;
use crate::solve::Wish;
use crate::sys::{Dep, Pkg};
use crate::world::World;

/// A reason for each package of `set`.
pub(crate) fn reasons(
    world: &mut World,
    wishes: &[Wish],
    set: &[Pkg],
) -> Result<HashMap<Pkg, Reason>, Failure> {
    let mut walk = Walk {
        set: set.iter().copied().collect(),
        reasons: HashMap::with_capacity(set.len()),
        queue: VecDeque::new(),
    };
    // First one provider of each requirement; then, for what is there all the same (another
    // provider that something conflicts or a rich dependency brought), any that fits.
    for every in [false, true] {
        for wish in wishes {
            let providers = match &wish.named {
                Some(pkgs) => pkgs.clone(),
                None => walk.providers(world, wish.dep),
            };
            let requirement = wish.asked.requirement.clone();
            let reason = || match wish.asked.by {
                Asker::Profile => Reason::Profile(requirement.clone()),
                Asker::Build => Reason::Build(requirement.clone()),
                Asker::Toolbox => Reason::Toolbox(requirement.clone()),
            };
            walk.reach(world, wish.dep, &providers, every, reason);
        }
        if every {
            walk.queue.extend(set.iter().copied());
        }
        walk.follow(world, every)?;
    }
    for pkg in set {
        let Some(first) = wishes.first() else { break };
        // Not reached by any requirement: as good a reason as there is.
        let requirement = first.asked.requirement.clone();
        walk.reasons.entry(*pkg).or_insert(Reason::Build(requirement));
    }
    Ok(walk.reasons)
}

struct Walk {
    set: HashSet<Pkg>,
    reasons: HashMap<Pkg, Reason>,
    queue: VecDeque<Pkg>,
}

impl Walk {
    /// The packages of the answer that meet a requirement, or a part of a rich one.
    fn providers(&self, world: &mut World, dep: Dep) -> Vec<Pkg> {
        let mut parts = Vec::new();
        parts_of(world, dep, &mut parts);
        let mut found = Vec::new();
        for part in parts {
            for pkg in world.pool.providers(part) {
                if self.set.contains(&pkg) && !found.contains(&pkg) {
                    found.push(pkg);
                }
            }
        }
        found
    }

    /// Gives the reason to the provider that a requirement is met by.
    fn reach(
        &mut self,
        world: &World,
        dep: Dep,
        providers: &[Pkg],
        every: bool,
        reason: impl Fn() -> Reason,
    ) {
        let providers = providers.iter().filter(|pkg| self.set.contains(pkg));
        let new: Vec<Pkg> =
            providers.clone().copied().filter(|pkg| !self.reasons.contains_key(pkg)).collect();
        let rich = needs::base(&world.pool, dep) == dep && dep.index().is_none();
        if !every && !rich && new.len() < providers.count() {
            // Met by a package that is there already.
            return;
        }
        let name = needs::base(&world.pool, dep);
        let best = new.iter().position(|pkg| world.pool.identity(*pkg).0 == name).unwrap_or(0);
        let taken: Vec<Pkg> = match every || rich {
            true => new,
            false => new.get(best).copied().into_iter().collect(),
        };
        for pkg in taken {
            self.reasons.insert(pkg, reason());
            self.queue.push_back(pkg);
        }
    }

    fn follow(&mut self, world: &mut World, every: bool) -> Result<(), Failure> {
        while let Some(pkg) = self.queue.pop_front() {
            if self.reasons.len() == self.set.len() {
                return Ok(());
            }
            let entries: Vec<Dep> = world.pool.entries(pkg, Kind::Requires).collect();
            for dep in entries {
                let providers = self.providers(world, dep);
                if providers.iter().all(|pkg| self.reasons.contains_key(pkg)) {
                    continue;
                }
                let of = world.package(pkg)?.nevra;
                let text = needs::text(&mut world.pool, dep);
                let requirement = needs::requirement(&text);
                let reason =
                    || Reason::Package { of: of.clone(), requirement: requirement.clone() };
                self.reach(world, dep, &providers, every, reason);
            }
        }
        Ok(())
    }
}

/// The requirements that a rich one is made of; a plain one is its own part.
fn parts_of(world: &World, dep: Dep, parts: &mut Vec<Dep>) {
    use crate::sys::Relation::{And, Else, If, Or, Unless};
    match world.pool.relation(dep) {
        Some((left, Some(And | Or | Else), right)) => {
            parts_of(world, left, parts);
            parts_of(world, right, parts);
        }
        Some((left, Some(If | Unless), right)) => {
            parts_of(world, left, parts);
            // Of the condition only what stands behind its 'else' is ever required.
            if let Some((_, Some(Else), otherwise)) = world.pool.relation(right) {
                parts_of(world, otherwise, parts);
            }
        }
        _ => parts.push(dep),
    }
}
