//! Requirements into libsolv's relations, and back into what a packager would write.

use kiln_model::{Foreign, Requirement};
use kiln_parse::need::{Condition, Join, Need, NeedError};
use kiln_wire::solver::Failure;

use crate::sys::{Dep, Pool, Relation};

/// Takes a requirement apart; one that a solver would choke on is too complex.
pub(crate) fn parse(text: &str) -> Result<Need, Failure> {
    Need::parse(text).map_err(|error| match error {
        NeedError::Complex { .. } => Failure::TooComplex(error.to_string()),
        NeedError::Form { .. } => Failure::Protocol(error.to_string()),
    })
}

/// The relation that stands for a requirement.
pub(crate) fn dep(pool: &mut Pool, need: &Need) -> Dep {
    match need {
        Need::Plain(plain) => {
            let name = pool.dep(&plain.name);
            match &plain.version {
                None => name,
                Some((compare, version)) => {
                    // libsolv takes a missing epoch for 0, and one spelling is one relation.
                    let version = pool.dep(version.strip_prefix("0:").unwrap_or(version));
                    pool.relate(name, Relation::Version(*compare), version)
                }
            }
        }
        Need::Joined(join, parts) => {
            let relation = match join {
                Join::And => Relation::And,
                Join::Or => Relation::Or,
                Join::With => Relation::With,
            };
            let mut parts: Vec<Dep> = parts.iter().map(|part| dep(pool, part)).collect();
            let mut whole = parts.pop().expect("a join has parts");
            while let Some(part) = parts.pop() {
                whole = pool.relate(part, relation, whole);
            }
            whole
        }
        Need::Without(left, right) => {
            let (left, right) = (dep(pool, left), dep(pool, right));
            pool.relate(left, Relation::Without, right)
        }
        Need::Conditional(kind, then, condition, otherwise) => {
            let relation = match kind {
                Condition::If => Relation::If,
                Condition::Unless => Relation::Unless,
            };
            let (then, mut condition) = (dep(pool, then), dep(pool, condition));
            if let Some(otherwise) = otherwise {
                let otherwise = dep(pool, otherwise);
                condition = pool.relate(condition, Relation::Else, otherwise);
            }
            pool.relate(then, relation, condition)
        }
    }
}

/// What a packager would write.
pub(crate) fn text(pool: &mut Pool, dep: Dep) -> String {
    match pool.relation(dep) {
        None => pool.text(dep).into_owned(),
        Some((name, Some(Relation::Version(compare)), version)) => {
            format!("{} {} {}", text(pool, name), compare.sign(), pool.text(version))
        }
        Some((_, None, _)) => pool.any_text(dep),
        Some(_) => format!("({})", inside(pool, dep)),
    }
}

/// A rich dependency without its parentheses.
fn inside(pool: &mut Pool, dep: Dep) -> String {
    let Some((left, Some(relation), right)) = pool.relation(dep) else { return text(pool, dep) };
    let word = match relation {
        Relation::And => "and",
        Relation::Or => "or",
        Relation::With => "with",
        Relation::Without => "without",
        Relation::If => "if",
        Relation::Unless => "unless",
        Relation::Else => "else",
        Relation::Version(_) => return text(pool, dep),
    };
    // What was one chain of operators is written as one again.
    let chain = match (relation, pool.relation(right)) {
        (Relation::And | Relation::Or | Relation::With, Some((_, Some(next), _))) => {
            next == relation
        }
        (Relation::If | Relation::Unless, Some((_, Some(next), _))) => next == Relation::Else,
        _ => false,
    };
    let right = if chain { inside(pool, right) } else { text(pool, right) };
    format!("{} {word} {right}", text(pool, left))
}

/// Every plain name in a relation.
pub(crate) fn names(pool: &Pool, dep: Dep, found: &mut Vec<Dep>) {
    match pool.relation(dep) {
        None => found.push(dep),
        Some((name, Some(Relation::Version(_)) | None, _)) => names(pool, name, found),
        Some((left, Some(_), right)) => {
            names(pool, left, found);
            names(pool, right, found);
        }
    }
}

/// The name of a dependency without its version.
pub(crate) fn base(pool: &Pool, dep: Dep) -> Dep {
    match pool.relation(dep) {
        Some((name, Some(Relation::Version(_)), _)) => name,
        _ => dep,
    }
}

/// The requirement with that text; of one that is none, which only odd metadata have, what can be
/// shown of it.
pub(crate) fn requirement(text: &str) -> Requirement {
    text.parse().unwrap_or_else(|_| {
        let shown = format!("unprintable: {}", Foreign::new(text).as_str());
        shown.parse().expect("a short printable text is a requirement")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_come_back_from_libsolv_as_they_were_written() {
        let mut pool = Pool::new("x86_64").expect("a pool");
        for written in [
            "gcc",
            "zlib-devel >= 1.2",
            "perl(Foo::Bar) < 1:2",
            "(a and b and c)",
            "(a or (b and c) or d)",
            "((a or b) and c)",
            "(a >= 1 with a < 2)",
            "(a without b)",
            "(a if b)",
            "(a if (b or c) else d)",
            "(a unless b else (c and d))",
        ] {
            let need = parse(written).expect(written);
            let dep = dep(&mut pool, &need);
            assert_eq!(text(&mut pool, dep), written);
        }
    }

    #[test]
    fn names_are_found_wherever_they_stand() {
        let mut pool = Pool::new("x86_64").expect("a pool");
        let need = parse("((a >= 1 or /b) if c else d)");
        let dep = dep(&mut pool, &need.expect("a need"));
        let mut found = Vec::new();
        names(&pool, dep, &mut found);
        let found: Vec<String> = found.into_iter().map(|dep| pool.text(dep).into_owned()).collect();
        assert_eq!(found, ["a", "/b", "c", "d"]);
    }

    #[test]
    fn an_epoch_of_zero_is_none() {
        let mut pool = Pool::new("x86_64").expect("a pool");
        let [with, without] = ["a = 0:1-2", "a = 1-2"].map(|text| {
            let need = parse(text).expect("a need");
            dep(&mut pool, &need)
        });
        assert_eq!(with, without);
    }
}
