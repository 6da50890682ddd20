//! Metadata and requirements that somebody made to see what happens. What is solved and what is
//! a problem doesn't matter here; that there is an answer does, since libsolv is C.

use crate::kit::{P, R, Solver};
use kiln_wire::solver::{Answer, Asker, Request, Wanted, Who};
use proptest::prelude::*;

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e(f)", "/usr/bin/g", "/usr/share/h", "é"];
const VERSIONS: [&str; 7] =
    ["0", "1", "1:0", "2~rc1", "1^git", "99999999999999999999999999", "a.b-c"];

fn plain() -> impl Strategy<Value = String> {
    let version = prop::option::of((
        prop::sample::select(vec!["<", "<=", "=", ">=", ">"]),
        prop::sample::select(VERSIONS.to_vec()),
    ));
    (prop::sample::select(NAMES.to_vec()), version).prop_map(|(name, version)| match version {
        None => name.to_owned(),
        Some((sign, version)) => format!("{name} {sign} {version}"),
    })
}

/// Any rich dependency, whether or not rpm would let it be built.
fn rich() -> impl Strategy<Value = String> {
    plain().prop_recursive(4, 24, 4, |inner| {
        let parts = prop::collection::vec(inner.clone(), 2..4);
        let word = prop::sample::select(vec!["and", "or", "with"]);
        let join = (parts, word)
            .prop_map(|(parts, word)| format!("({})", parts.join(&format!(" {word} "))));
        let word = prop::sample::select(vec!["if", "unless", "without"]);
        let pair = (inner.clone(), word, inner.clone())
            .prop_map(|(left, word, right)| format!("({left} {word} {right})"));
        let word = prop::sample::select(vec!["if", "unless"]);
        let triple = (inner.clone(), word, inner.clone(), inner).prop_map(
            |(left, word, condition, other)| format!("({left} {word} {condition} else {other})"),
        );
        prop_oneof![join, pair, triple]
    })
}

fn package() -> impl Strategy<Value = P> {
    let name = prop::sample::select(vec!["a", "b", "c", "d"]);
    let version =
        prop::sample::select(vec!["0-1", "1-1", "1:0-1", "2~rc1-1", "99999999999999999999-1"]);
    let arch = prop::sample::select(vec!["x86_64", "i686", "noarch"]);
    let entry = prop_oneof![
        plain().prop_map(|text| ("provides", text)),
        rich().prop_map(|text| ("requires", text)),
        rich().prop_map(|text| ("conflicts", text)),
        plain().prop_map(|text| ("obsoletes", text)),
        rich().prop_map(|text| ("recommends", text)),
        rich().prop_map(|text| ("supplements", text)),
    ];
    let entries = prop::collection::vec(entry, 0..6);
    let files = prop::sample::subsequence(vec!["/usr/bin/g", "/usr/share/h", "/etc/x"], 0..3);
    (name, version, arch, entries, files).prop_map(|(name, version, arch, entries, files)| {
        let mut package = P::new(&format!("{name}-{version}.{arch}"));
        package.entries.extend(entries);
        package.files.extend(files.into_iter().map(str::to_owned));
        package
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_repository_and_every_requirement_has_an_answer(
        upstream in prop::collection::vec(package(), 0..8),
        own in prop::collection::vec(package(), 0..4),
        asked in prop::collection::vec(rich(), 1..4),
        lists: bool,
    ) {
        let solver = Solver::new();
        let mut base = R::new("base", upstream).exclude("b*");
        let own = R::new("own", own).tenant(&["c"]).priority(1);
        if lists {
            base = base.lists();
        }
        let repos = [base, own];
        solver.load(&repos);
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        for by in [Asker::Profile, Asker::Build] {
            for _ in 0..8 {
                match solver.ask(by, &asked) {
                    Answer::Unlisted(paths) => {
                        let wanted = paths.into_iter().map(Wanted::Path).collect();
                        let answer = solver.search(&repos, wanted);
                        prop_assert!(matches!(answer, Answer::Found(_)), "{answer:?}");
                    }
                    answer => {
                        prop_assert!(matches!(answer, Answer::Solved(_) | Answer::Failed(_)));
                        break;
                    }
                }
            }
        }
        let provides = asked.iter().map(|text| text.parse().expect("a requirement")).collect();
        let who = Request::Who(Who { provides, most: 3 });
        prop_assert!(matches!(solver.call(&who, &[]), Answer::Who(_) | Answer::Failed(_)));
    }
}
