//! Problems in packagers' words.

use kiln_model::Foreign;
use kiln_wire::solver::{Asked, Asker, Clause, Package, Problem, Withheld, WithheldWhy};

use crate::error::Unsolvable;

/// How many problems one sentence tells.
const TOLD: usize = 4;

/// What is wrong, in one line.
pub(crate) fn sentence(unsolvable: &Unsolvable) -> String {
    let Unsolvable { asker, problems, .. } = unsolvable;
    let mut told: Vec<String> = Vec::new();
    for problem in problems {
        let one = problem_of(asker, problem);
        if !told.contains(&one) {
            told.push(one);
        }
    }
    let more = told.len().saturating_sub(TOLD);
    told.truncate(TOLD);
    let mut text = told.join("; ");
    if more > 0 {
        text += &format!("; and {more} more");
    }
    text
}

fn problem_of(asker: &str, problem: &Problem) -> String {
    let asked: Vec<String> = problem
        .clauses
        .iter()
        .filter_map(|clause| match clause {
            Clause::Asked(asked) => Some(quoted(asked.requirement.as_str())),
            _ => None,
        })
        .collect();
    let context = match asked.is_empty() {
        true => String::new(),
        false => format!(" ({asker} asks for {})", asked.join(" and ")),
    };
    // What stands in the way comes last in the list, and is what a packager wants to read.
    let blocks = problem.clauses.iter().find_map(|clause| match clause {
        Clause::Missing { asked, have, withheld, .. } => {
            let what = quoted(asked.requirement.as_str());
            Some(format!("nothing provides {what} needed by {asker}{}", instead(have, withheld)))
        }
        Clause::NothingProvides { package, requirement, have, withheld } => Some(format!(
            "nothing provides {} needed by {}{}{context}",
            quoted(requirement),
            package.nevra,
            instead(have, withheld)
        )),
        Clause::Conflicts { package, requirement, with } => Some(format!(
            "{} conflicts with {}, which {} provides{context}",
            package.nevra,
            quoted(requirement),
            with.nevra
        )),
        Clause::Obsoletes { package, requirement, with } => Some(format!(
            "{} takes the place of {} (obsoletes {}){context}",
            package.nevra,
            with.nevra,
            quoted(requirement)
        )),
        Clause::SelfConflict { package, requirement } => Some(format!(
            "{} conflicts with {}, which it provides itself{context}",
            package.nevra,
            quoted(requirement)
        )),
        Clause::Asked(_)
        | Clause::Requires { .. }
        | Clause::SameName { .. }
        | Clause::NotInstallable { .. }
        | Clause::Other(_) => None,
    });
    blocks
        .or_else(|| lesser(problem, &context))
        .unwrap_or_else(|| format!("no set of packages meets what {asker} asks for{context}"))
}

/// Where none of the usual reasons is in the list.
fn lesser(problem: &Problem, context: &str) -> Option<String> {
    problem.clauses.iter().rev().find_map(|clause| match clause {
        Clause::SameName { package, with } => Some(format!(
            "{} and {} can't be installed together{context}",
            package.nevra, with.nevra
        )),
        Clause::Requires { package, requirement } => Some(format!(
            "nothing that can be installed provides {} needed by {}{context}",
            quoted(requirement),
            package.nevra
        )),
        Clause::NotInstallable { package } => {
            Some(format!("{} can't be installed here{context}", package.nevra))
        }
        Clause::Other(text) => Some(format!("{}{context}", Foreign::new(text).as_str())),
        _ => None,
    })
}

/// What there is instead of what is missing.
fn instead(have: &[(Package, String)], withheld: &[Withheld]) -> String {
    if let Some((package, provides)) = have.first() {
        return format!(" (there is {} of {})", quoted(provides), package.nevra);
    }
    match withheld.first() {
        None => String::new(),
        Some(Withheld { package, why }) => {
            let why = match why {
                WithheldWhy::Excluded => "which the target excludes",
                WithheldWhy::Tenant => "which may not take the place of an upstream package",
                WithheldWhy::Arch => "which is of another architecture",
            };
            format!(" (there is {} of {}, {why})", package.nevra, Foreign::new(&package.repo))
        }
    }
}

/// What to do about it.
pub(crate) fn hint(unsolvable: &Unsolvable) -> Option<String> {
    let clauses = unsolvable.problems.iter().flat_map(|problem| &problem.clauses);
    let mut hints = clauses.filter_map(|clause| match clause {
        Clause::Missing { near, asked, .. } if !near.is_empty() => Some(meant(near, asked)),
        Clause::Missing { have, .. } if !have.is_empty() => {
            Some("ask for a version that there is, or build against a newer target".to_owned())
        }
        Clause::Missing { withheld, .. } => match withheld.first()?.why {
            WithheldWhy::Tenant => {
                Some("a project's package needs leave to replace an upstream one".to_owned())
            }
            WithheldWhy::Excluded | WithheldWhy::Arch => None,
        },
        _ => None,
    });
    hints.next()
}

fn meant(near: &[String], asked: &Asked) -> String {
    let names: Vec<String> = near.iter().map(|name| quoted(name)).collect();
    let what = match asked.by {
        Asker::Build => "",
        Asker::Profile => " in the target's profile",
        Asker::Toolbox => " in the target's toolbox",
    };
    format!("did you mean {}{what}?", names.join(" or "))
}

fn quoted(text: &str) -> String {
    Foreign::new(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(nevra: &str) -> Package {
        Package { nevra: nevra.parse().expect("a NEVRA"), repo: "base".to_owned() }
    }

    fn asked(text: &str) -> Asked {
        Asked { requirement: text.parse().expect("a requirement"), by: Asker::Build }
    }

    fn told(clauses: Vec<Clause>) -> (String, Option<String>) {
        let unsolvable = Unsolvable {
            asker: "hello-2.12".to_owned(),
            part: Asker::Build,
            problems: vec![Problem { clauses }],
        };
        (sentence(&unsolvable), hint(&unsolvable))
    }

    #[test]
    fn problems_are_told_in_packagers_words() {
        let missing = |near: &[&str], have, withheld| Clause::Missing {
            asked: asked("zlib-dvel"),
            near: near.iter().map(|name| (*name).to_owned()).collect(),
            have,
            withheld,
        };
        let tenant = Withheld { package: package("zlib-9-1.x86_64"), why: WithheldWhy::Tenant };
        for (clauses, sentence, hint) in [
            (
                vec![missing(&["zlib-devel"], Vec::new(), Vec::new())],
                "nothing provides 'zlib-dvel' needed by hello-2.12",
                Some("did you mean 'zlib-devel'?"),
            ),
            (
                vec![missing(
                    &[],
                    vec![(package("z-1-1.noarch"), "zlib-dvel = 1".to_owned())],
                    vec![],
                )],
                "nothing provides 'zlib-dvel' needed by hello-2.12 \
                 (there is 'zlib-dvel = 1' of z-1-1.noarch)",
                Some("ask for a version that there is, or build against a newer target"),
            ),
            (
                vec![missing(&[], Vec::new(), vec![tenant])],
                "nothing provides 'zlib-dvel' needed by hello-2.12 (there is zlib-9-1.x86_64 of \
                 'base', which may not take the place of an upstream package)",
                Some("a project's package needs leave to replace an upstream one"),
            ),
            (
                vec![
                    Clause::Asked(asked("a")),
                    Clause::Requires {
                        package: package("a-1-1.noarch"),
                        requirement: "b".to_owned(),
                    },
                    Clause::NothingProvides {
                        package: package("b-1-1.noarch"),
                        requirement: "c >= 3".to_owned(),
                        have: Vec::new(),
                        withheld: Vec::new(),
                    },
                ],
                "nothing provides 'c >= 3' needed by b-1-1.noarch (hello-2.12 asks for 'a')",
                None,
            ),
            (
                vec![
                    Clause::Asked(asked("a")),
                    Clause::Asked(asked("b")),
                    Clause::Conflicts {
                        package: package("a-1-1.noarch"),
                        requirement: "b < 2".to_owned(),
                        with: package("b-1-1.noarch"),
                    },
                ],
                "a-1-1.noarch conflicts with 'b < 2', which b-1-1.noarch provides \
                 (hello-2.12 asks for 'a' and 'b')",
                None,
            ),
        ] {
            assert_eq!(told(clauses), (sentence.to_owned(), hint.map(str::to_owned)));
        }
    }

    #[test]
    fn what_a_stranger_wrote_is_tamed() {
        let clauses = vec![Clause::NothingProvides {
            package: package("b-1-1.noarch"),
            requirement: "\u{1b}[31mred".to_owned(),
            have: Vec::new(),
            withheld: Vec::new(),
        }];
        assert!(!told(clauses).0.contains('\u{1b}'));
    }
}
