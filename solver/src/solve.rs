//! Goals become sets of packages, or problems.

use std::collections::HashSet;

use kiln_parse::need::Need;
use kiln_parse::primary::Kind;
use kiln_wire::solver::{Answer, Asked, Asker, Chosen, Failure, Goal, Outcome, Solve};

use crate::needs;
use crate::problem;
use crate::sys::{Dep, Job, Pkg};
use crate::why;
use crate::world::World;

/// A requirement that was asked for, ready for the solver.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) asked: Asked,
    pub(crate) dep: Dep,
    /// Packages one of which is wanted, where a plain name means the package of that name.
    pub(crate) named: Option<Vec<Pkg>>,
}

/// Answers for each goal, or says which paths only file lists could tell.
pub(crate) fn solve(world: &mut World, ask: &Solve) -> Result<Answer, Failure> {
    let mut goals = Vec::with_capacity(ask.goals.len());
    let mut unlisted = Vec::new();
    for goal in &ask.goals {
        let mut wishes = Vec::with_capacity(goal.asked.len());
        // What rpm itself provides is not in any repository.
        for asked in goal.asked.iter().filter(|asked| !asked.requirement.is_rpmlib()) {
            wishes.push(wish(world, asked, &mut unlisted)?);
        }
        goals.push(wishes);
    }
    if !unlisted.is_empty() {
        return Ok(Answer::Unlisted(unlisted));
    }
    let mut sets: Vec<Option<Vec<Pkg>>> = Vec::new();
    let mut outcomes = Vec::new();
    for (goal, wishes) in ask.goals.iter().zip(&goals) {
        let mut liked = liked(goal, &sets)?.to_vec();
        liked.extend(goal.prefer.iter().filter_map(|package| world.find(package)));
        match world.pool.solve(&jobs(wishes, &liked)) {
            Ok(chosen) => {
                note_unlisted(world, &chosen, &mut unlisted);
                outcomes.push(None);
                sets.push(Some(chosen));
            }
            Err(problems) => {
                outcomes.push(Some(problem::explain(world, wishes, problems)?));
                sets.push(None);
            }
        }
    }
    if !unlisted.is_empty() {
        return Ok(Answer::Unlisted(unlisted));
    }
    let mut answer = Vec::with_capacity(goals.len());
    for ((wishes, set), problems) in goals.iter().zip(sets).zip(outcomes) {
        answer.push(match (set, problems) {
            (Some(set), _) => Outcome::Packages(chosen(world, wishes, &set)?),
            (None, problems) => Outcome::Problems(problems.unwrap_or_default()),
        });
    }
    Ok(Answer::Solved(answer))
}

fn wish(world: &mut World, asked: &Asked, unlisted: &mut Vec<String>) -> Result<Wish, Failure> {
    let need = needs::parse(asked.requirement.as_str())?;
    let dep = needs::dep(&mut world.pool, &need);
    for leaf in need.leaves() {
        if leaf.name.starts_with('/') {
            let path = world.pool.dep(&leaf.name);
            if !world.settle(path) && !unlisted.contains(&leaf.name) {
                unlisted.push(leaf.name.clone());
            }
        }
    }
    let named = match (asked.by, &need) {
        (Asker::Profile | Asker::Toolbox, Need::Plain(plain)) if !plain.name.starts_with('/') => {
            named(world, dep, plain.version.is_none())
        }
        _ => None,
    };
    Ok(Wish { asked: asked.clone(), dep, named })
}

/// The packages of that name, and, as for `dnf install NAME`, those that take their place.
fn named(world: &mut World, dep: Dep, plain: bool) -> Option<Vec<Pkg>> {
    let name = needs::base(&world.pool, dep);
    let mut pkgs = world.pool.providers(name);
    pkgs.retain(|pkg| world.pool.is(*pkg, dep));
    if pkgs.is_empty() {
        return None;
    }
    if plain {
        let obsoleters = world.obsoleters(name, &pkgs);
        pkgs.extend(obsoleters);
        pkgs.sort_unstable();
        pkgs.dedup();
    }
    Some(pkgs)
}

fn liked<'a>(goal: &Goal, sets: &'a [Option<Vec<Pkg>>]) -> Result<&'a [Pkg], Failure> {
    match goal.like.map(|at| sets.get(at)) {
        None => Ok(&[]),
        Some(Some(set)) => Ok(set.as_deref().unwrap_or_default()),
        Some(None) => Err(Failure::Protocol("a goal that is like a later one".to_owned())),
    }
}

fn jobs(wishes: &[Wish], liked: &[Pkg]) -> Vec<Job> {
    let wanted = wishes.iter().map(|wish| match &wish.named {
        Some(pkgs) => Job::OneOf(pkgs.clone()),
        None => Job::Provide(wish.dep),
    });
    wanted.chain(liked.iter().map(|pkg| Job::Favour(*pkg))).collect()
}

/// Notes which paths the chosen packages need that only file lists could tell.
fn note_unlisted(world: &World, chosen: &[Pkg], unlisted: &mut Vec<String>) {
    let mut names = Vec::new();
    for pkg in chosen {
        names.clear();
        for dep in world.pool.entries(*pkg, Kind::Requires) {
            needs::names(&world.pool, dep, &mut names);
        }
        for name in names.iter().filter(|name| world.is_unlisted(**name)) {
            let path = world.pool.text(*name).into_owned();
            if !unlisted.contains(&path) {
                unlisted.push(path);
            }
        }
    }
}

fn chosen(world: &mut World, wishes: &[Wish], set: &[Pkg]) -> Result<Vec<Chosen>, Failure> {
    let mut reasons = why::reasons(world, wishes, set)?;
    let unique: HashSet<Pkg> = set.iter().copied().collect();
    let mut all = Vec::with_capacity(set.len());
    for pkg in unique {
        let why = reasons
            .remove(&pkg)
            .ok_or_else(|| Failure::Protocol("a package for no reason".to_owned()))?;
        all.push(Chosen {
            package: world.package(pkg)?,
            location: world.pool.location(pkg),
            size: world.pool.size(pkg),
            digest: world.pool.checksum(pkg),
            why,
        });
    }
    all.sort_by(|a, b| a.package.nevra.cmp(&b.package.nevra));
    Ok(all)
}
