//! What the solver claims becomes what a lock says.

use std::collections::HashSet;

use kiln_model::{Foreign, LockedPackage, stays_inside};
use kiln_parse::checksum::Checksum;
use kiln_wire::solver::{Answer, Asked, Asker, Chosen, Goal, Outcome, Package, Request, Solve};

use crate::ResolveError;
use crate::error::Unsolvable;
use crate::pools::Warm;
use crate::question::{Found, Question};

/// What came of a question to the solver.
#[derive(Debug)]
pub(crate) enum Step {
    /// Answers: the profile's with the toolbox, and the whole.
    Done(Box<(Found, Found)>),
    /// The answer hangs on who has these paths.
    Unlisted(Vec<String>),
}

/// Asks for what is not known yet: the profile and the toolbox, where `base` is none, and the
/// whole, all at once.
pub(crate) fn ask(
    warm: &mut Warm,
    question: &Question,
    base: Option<&Found>,
) -> Result<Step, ResolveError> {
    let (mut goals, mut parts) = (Vec::new(), Vec::new());
    if base.is_none() {
        goals.push(goal(&question.profile, Asker::Profile, &[]));
        goals.push(goal(&question.toolbox, Asker::Toolbox, &[]));
        parts.extend([Asker::Profile, Asker::Toolbox]);
    }
    if !question.build.is_empty() {
        let mut whole = goal(&question.profile, Asker::Profile, &question.build);
        match base {
            None => whole.like = Some(0),
            Some(found) => whole.prefer = found.packages.iter().map(package).collect(),
        }
        goals.push(whole);
        parts.push(Asker::Build);
    }
    let outcomes = match warm.solver.call(&Request::Solve(Solve { goals }), &[])? {
        Answer::Unlisted(paths) => return Ok(Step::Unlisted(paths)),
        Answer::Solved(outcomes) if outcomes.len() == parts.len() => outcomes,
        _ => return Err(nonsense("not one outcome for each goal")),
    };
    let mut lists = Vec::with_capacity(outcomes.len());
    for (outcome, part) in outcomes.into_iter().zip(parts) {
        lists.push(packages(question, outcome, part)?);
    }
    let mut lists = lists.into_iter();
    let base = match base {
        Some(found) => found.clone(),
        None => Found {
            solver: warm.solver.version().to_owned(),
            packages: lists.next().ok_or_else(|| nonsense("no profile"))?,
            toolbox: lists.next().ok_or_else(|| nonsense("no toolbox"))?,
            refused: warm.refused.clone(),
        },
    };
    let whole = match lists.next() {
        None => base.clone(),
        Some(packages) => Found { packages, ..base.clone() },
    };
    Ok(Step::Done(Box::new((base, whole))))
}

fn goal(first: &[kiln_model::Requirement], by: Asker, build: &[kiln_model::Requirement]) -> Goal {
    let first = first.iter().map(|requirement| Asked { requirement: requirement.clone(), by });
    let then = build
        .iter()
        .map(|requirement| Asked { requirement: requirement.clone(), by: Asker::Build });
    Goal { asked: first.chain(then).collect(), like: None, prefer: Vec::new() }
}

fn package(locked: &LockedPackage) -> Package {
    Package { nevra: locked.nevra.clone(), repo: locked.repo.clone() }
}

fn packages(
    question: &Question,
    outcome: Outcome,
    part: Asker,
) -> Result<Vec<LockedPackage>, ResolveError> {
    match outcome {
        Outcome::Packages(chosen) => {
            let locked: Vec<LockedPackage> =
                chosen.into_iter().map(|one| accept(question, one)).collect::<Result<_, _>>()?;
            let unique: HashSet<_> = locked.iter().map(|one| &one.nevra).collect();
            match unique.len() == locked.len() && locked.is_sorted_by_key(|one| &one.nevra) {
                true => Ok(locked),
                false => Err(nonsense("packages out of order, or twice")),
            }
        }
        Outcome::Problems(problems) if problems.is_empty() => {
            Err(nonsense("problems without a problem"))
        }
        Outcome::Problems(problems) => {
            let asker = match part {
                Asker::Build => question.asker.clone(),
                Asker::Profile => format!("the profile {}", question.profile_label),
                Asker::Toolbox => "the target's toolbox".to_owned(),
            };
            Err(ResolveError::Unsolvable(Box::new(Unsolvable { asker, part, problems })))
        }
    }
}

/// A claim about one package: of a repository that was asked, at a place inside of it, and with
/// a digest that a lock can hold.
fn accept(question: &Question, chosen: Chosen) -> Result<LockedPackage, ResolveError> {
    let Chosen { package: Package { nevra, repo }, location, size, digest, why } = chosen;
    if !question.pool.repos.iter().any(|plan| plan.repo.id == repo) {
        return Err(nonsense("a package of a repository that was not asked"));
    }
    if !stays_inside(&location) {
        return Err(nonsense("a package that lies outside of its repository"));
    }
    let parsed = digest.split_once(':').and_then(|(kind, hex)| Checksum::parse(kind, hex).ok());
    match parsed {
        Some(Checksum::Sha256(digest)) => {
            Ok(LockedPackage { nevra, repo, location, size, digest, why })
        }
        Some(Checksum::Sha512(_)) => Err(ResolveError::NoSha256 {
            package: nevra.to_string(),
            repo: Foreign::new(&repo),
            digest: Foreign::capped(&digest, 24),
        }),
        None => Err(nonsense("a package without a digest")),
    }
}

fn nonsense(what: &str) -> ResolveError {
    ResolveError::Nonsense(what.to_owned())
}
