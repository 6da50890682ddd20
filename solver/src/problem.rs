//! libsolv's rules as statements about packages and requirements.

use std::collections::BTreeSet;

use kiln_parse::primary::Kind;
use kiln_wire::solver::{Clause, Failure, Package, Problem, Withheld};

use crate::near::near;
use crate::needs;
use crate::solve::Wish;
use crate::sys::{Dep, Pkg, Rule, RuleKind};
use crate::world::World;

/// The most problems that are told, the most statements of one, and of each list in one.
const PROBLEMS: usize = 32;
const CLAUSES: usize = 32;
const EXAMPLES: usize = 3;

/// Every problem, each at least one statement.
pub(crate) fn explain(
    world: &mut World,
    wishes: &[Wish],
    problems: Vec<Vec<Rule>>,
) -> Result<Vec<Problem>, Failure> {
    let mut explained = Vec::new();
    for mut rules in problems.into_iter().take(PROBLEMS) {
        // What was asked for first, then what it leads to, then what stands in the way.
        rules.sort_by_key(|rule| rule.kind);
        let mut clauses: Vec<Clause> = Vec::new();
        for rule in rules {
            if clauses.len() == CLAUSES {
                break;
            }
            let clause = clause(world, wishes, rule)?;
            if !clauses.contains(&clause) {
                clauses.push(clause);
            }
        }
        if clauses.is_empty() {
            clauses.push(Clause::Other("the solver gives no reason".to_owned()));
        }
        explained.push(Problem { clauses });
    }
    Ok(explained)
}

fn clause(world: &mut World, wishes: &[Wish], rule: Rule) -> Result<Clause, Failure> {
    let requirement = rule.dep.map(|dep| needs::text(&mut world.pool, dep)).unwrap_or_default();
    let package = rule.from.map(|pkg| world.package(pkg)).transpose()?;
    let with = rule.to.map(|pkg| world.package(pkg)).transpose()?;
    let wish = rule.job.and_then(|at| wishes.get(at));
    Ok(match (rule.kind, package, with, wish) {
        (RuleKind::JobMissing, _, _, Some(wish)) => missing(world, wish)?,
        (RuleKind::Job, _, _, Some(wish)) => Clause::Asked(wish.asked.clone()),
        (RuleKind::NothingProvides, Some(package), _, _) => Clause::NothingProvides {
            package,
            requirement,
            have: have(world, rule.dep)?,
            withheld: withheld(world, rule.dep)?,
        },
        (RuleKind::Requires, Some(package), _, _) => Clause::Requires { package, requirement },
        (RuleKind::Conflicts, Some(package), Some(with), _) => {
            Clause::Conflicts { package, requirement, with }
        }
        (RuleKind::Obsoletes, Some(package), Some(with), _) => {
            Clause::Obsoletes { package, requirement, with }
        }
        (RuleKind::SameName, Some(package), Some(with), _) => Clause::SameName { package, with },
        (RuleKind::SelfConflict, Some(package), _, _) => {
            Clause::SelfConflict { package, requirement }
        }
        (RuleKind::NotInstallable, Some(package), _, _) => Clause::NotInstallable { package },
        (kind, package, _, _) => {
            let package = package.map(|package| format!(" {}", package.nevra));
            Clause::Other(format!("{kind:?}{} {requirement}", package.unwrap_or_default()))
        }
    })
}

fn missing(world: &mut World, wish: &Wish) -> Result<Clause, Failure> {
    let mut leaves = Vec::new();
    needs::names(&world.pool, wish.dep, &mut leaves);
    let unknown = leaves.iter().find(|leaf| !world.is_provided(**leaf));
    let near = unknown.map(|leaf| world.pool.text(*leaf).into_owned());
    Ok(Clause::Missing {
        asked: wish.asked.clone(),
        near: near.map(|name| near_names(world, &name)).unwrap_or_default(),
        have: have(world, Some(wish.dep))?,
        withheld: withheld(world, Some(wish.dep))?,
    })
}

fn near_names(world: &World, name: &str) -> Vec<String> {
    let mut names = BTreeSet::new();
    // `pkgconfig(zlib2)` is compared with what else has such a form, a plain name with packages.
    let form = name.split_once('(').map(|(form, _)| format!("{form}("));
    for pkg in world.pool.packages().filter(|pkg| !world.withheld.contains_key(pkg)) {
        match &form {
            None => {
                names.insert(world.pool.identity(pkg).0);
            }
            Some(_) => {
                let provides = world.pool.entries(pkg, Kind::Provides);
                names.extend(provides.map(|dep| needs::base(&world.pool, dep)));
            }
        }
    }
    let texts = names.into_iter().map(|dep| world.pool.text(dep));
    let form = form.unwrap_or_default();
    near(name, texts.filter(|text| text.starts_with(&form)))
}

/// Who has the name of a requirement in another version.
fn have(world: &mut World, dep: Option<Dep>) -> Result<Vec<(Package, String)>, Failure> {
    let Some(dep) = dep else { return Ok(Vec::new()) };
    let name = needs::base(&world.pool, dep);
    if name == dep || name.index().is_none() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for pkg in world.pool.providers(name) {
        let mut entries = world.pool.entries(pkg, Kind::Provides);
        let entry = entries.find(|entry| needs::base(&world.pool, *entry) == name);
        drop(entries);
        if let Some(entry) = entry {
            found.push((world.package(pkg)?, needs::text(&mut world.pool, entry)));
        }
    }
    // The newest are the last of their repository more often than not.
    found.reverse();
    found.truncate(EXAMPLES);
    Ok(found)
}

/// Who would provide a requirement and may not.
fn withheld(world: &mut World, dep: Option<Dep>) -> Result<Vec<Withheld>, Failure> {
    let Some(dep) = dep else { return Ok(Vec::new()) };
    let name = needs::base(&world.pool, dep);
    let mut kept: Vec<(_, Pkg)> = world.withheld.iter().map(|(pkg, why)| (*why, *pkg)).collect();
    kept.sort_unstable();
    let mut found = Vec::new();
    for (why, pkg) in kept {
        let fits = world.pool.identity(pkg).0 == name
            || world
                .pool
                .entries(pkg, Kind::Provides)
                .any(|entry| needs::base(&world.pool, entry) == name);
        if fits {
            found.push(Withheld { package: world.package(pkg)?, why });
        }
        if found.len() == EXAMPLES {
            break;
        }
    }
    Ok(found)
}
