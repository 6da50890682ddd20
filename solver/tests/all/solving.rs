//! What is asked for is found, explained, or refused for a reason that a packager understands.

use crate::kit::{P, R, Solver};
use kiln_model::Reason;
use kiln_wire::solver::{
    Answer, Asked, Asker, Chosen, Clause, Goal, Outcome, Request, Solve, Wanted, Who, WithheldWhy,
};

fn base() -> Vec<P> {
    vec![
        P::new("bash-5.2-1").file("/usr/bin/bash").provides("/bin/sh"),
        P::new("glibc-2.39-1").provides("libc.so.6()(64bit)"),
        P::new("gcc-14.1-1").requires("binutils").requires("libc.so.6()(64bit)"),
        P::new("binutils-2.42-1").requires("/usr/bin/bash"),
        P::new("zlib-1.3-1"),
        P::new("zlib-devel-1.3-1").requires("zlib = 1.3-1").provides("pkgconfig(zlib) = 1.3"),
    ]
}

fn solver(repos: &[R]) -> Solver {
    let solver = Solver::new();
    solver.load(repos);
    solver
}

fn chosen(solver: &Solver, by: Asker, asked: &[&str]) -> Vec<Chosen> {
    match solver.ask(by, asked) {
        Answer::Solved(mut outcomes) => match outcomes.remove(0) {
            Outcome::Packages(all) => all,
            Outcome::Problems(problems) => panic!("{problems:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn requirements_bring_what_they_need_and_nothing_else() {
    let solver = solver(&[R::new("base", base())]);
    assert_eq!(
        solver.packages(&["gcc"]),
        ["bash-5.2-1.x86_64", "binutils-2.42-1.x86_64", "gcc-14.1-1.x86_64", "glibc-2.39-1.x86_64"]
    );
    assert_eq!(
        solver.packages(&["pkgconfig(zlib) >= 1.2"]),
        ["zlib-1.3-1.x86_64", "zlib-devel-1.3-1.x86_64"]
    );
    assert!(solver.packages(&[]).is_empty());
    assert!(solver.packages(&["rpmlib(CompressedFileNames) <= 3.0.4-1"]).is_empty());
}

#[test]
fn recommended_packages_stay_out() {
    let packages = vec![P::new("a-1-1").recommends("b"), P::new("b-1-1")];
    assert_eq!(solver(&[R::new("base", packages)]).packages(&["a"]), ["a-1-1.x86_64"]);
}

#[test]
fn every_package_says_why_it_is_there_and_where_to_get_it() {
    let solver = solver(&[R::new("base", base())]);
    let all = chosen(&solver, Asker::Build, &["gcc"]);
    let why =
        |name: &str| &all.iter().find(|one| one.package.nevra.name() == name).expect(name).why;
    let of = |of: &str, requirement: &str| Reason::Package {
        of: of.parse().expect("a NEVRA"),
        requirement: requirement.parse().expect("a requirement"),
    };
    assert_eq!(*why("gcc"), Reason::Build("gcc".parse().expect("a requirement")));
    assert_eq!(*why("binutils"), of("gcc-14.1-1.x86_64", "binutils"));
    assert_eq!(*why("glibc"), of("gcc-14.1-1.x86_64", "libc.so.6()(64bit)"));
    assert_eq!(*why("bash"), of("binutils-2.42-1.x86_64", "/usr/bin/bash"));
    let gcc = all.iter().find(|one| one.package.nevra.name() == "gcc").expect("gcc");
    assert_eq!((gcc.location.as_str(), gcc.size), ("Packages/gcc-14.1-1.x86_64.rpm", 1000));
    let expected = base().into_iter().find(|package| package.name == "gcc").expect("gcc").pkgid();
    assert_eq!(gcc.digest, expected.to_string());
    assert_eq!(gcc.package.repo, "base");
}

#[test]
fn rich_dependencies_mean_what_rpm_says_they_mean() {
    let packages = vec![
        P::new("a-1-1").requires("(b if c else d)"),
        P::new("b-1-1"),
        P::new("c-1-1"),
        P::new("d-1-1"),
        P::new("e-1-1").requires("(f >= 1 with f < 2)"),
        P::new("f-1-1"),
        P::new("f-2-1"),
        P::new("g-1-1").requires("(x without y)"),
        P::new("x1-1-1").provides("x").provides("y"),
        P::new("x2-1-1").provides("x"),
        P::new("h-1-1").requires("(missing or d)"),
    ];
    let solver = solver(&[R::new("base", packages)]);
    let with_c = solver.packages(&["a", "c"]);
    assert_eq!(with_c, ["a-1-1.x86_64", "b-1-1.x86_64", "c-1-1.x86_64"]);
    assert_eq!(solver.packages(&["e"]), ["e-1-1.x86_64", "f-1-1.x86_64"]);
    assert_eq!(solver.packages(&["g"]), ["g-1-1.x86_64", "x2-1-1.x86_64"]);
    assert_eq!(solver.packages(&["h"]), ["d-1-1.x86_64", "h-1-1.x86_64"]);
    assert_eq!(solver.packages(&["(b and d)"]), ["b-1-1.x86_64", "d-1-1.x86_64"]);
    assert_eq!(solver.packages(&["(b if c)"]), [""; 0]);
}

#[test]
fn a_lower_priority_wins_over_a_newer_version() {
    let repos = [
        R::new("base", vec![P::new("a-1-1")]).priority(10),
        R::new("newer", vec![P::new("a-2-1")]).priority(20),
    ];
    assert_eq!(solver(&repos).packages(&["a"]), ["a-1-1.x86_64"]);
}

#[test]
fn excluded_packages_are_not_taken_and_are_named() {
    let repos =
        [R::new("base", vec![P::new("a-1-1").provides("b"), P::new("c-1-1")]).exclude("a*")];
    let solver = solver(&repos);
    let problems = solver.problems(&["b"]);
    let Clause::Missing { withheld, .. } = &problems[0].clauses[0] else { panic!("{problems:?}") };
    assert_eq!(withheld[0].why, WithheldWhy::Excluded);
    assert_eq!(withheld[0].package.nevra.to_string(), "a-1-1.x86_64");
}

#[test]
fn a_profile_means_the_package_of_that_name_and_a_build_whatever_provides_it() {
    let packages = vec![P::new("a-1-1").provides("b = 9"), P::new("b-1-1")];
    let solver = solver(&[R::new("base", packages)]);
    assert_eq!(solver.packages_for(Asker::Profile, &["b"]), ["b-1-1.x86_64"]);
    assert_eq!(solver.packages_for(Asker::Profile, &["b >= 5"]), ["a-1-1.x86_64"]);
    assert_eq!(solver.packages(&["b"]).len(), 1);
}

#[test]
fn a_package_that_takes_the_place_of_another_is_taken_for_its_name() {
    let packages = vec![P::new("old-1-1"), P::new("new-1-1").obsoletes("old < 2")];
    let solver = solver(&[R::new("base", packages)]);
    assert_eq!(solver.packages_for(Asker::Profile, &["old"]), ["new-1-1.x86_64"]);
}

#[test]
fn a_later_goal_keeps_what_an_earlier_one_chose() {
    let packages = vec![
        P::new("awk-a-1-1").provides("awk"),
        P::new("awk-b-1-1").provides("awk"),
        P::new("x-1-1").requires("awk"),
    ];
    let solver = solver(&[R::new("base", packages)]);
    let goal = |texts: &[&str], by, like| Goal {
        asked: texts
            .iter()
            .map(|text| Asked { requirement: text.parse().expect("a requirement"), by })
            .collect(),
        like,
        prefer: Vec::new(),
    };
    for first in ["awk-a", "awk-b"] {
        let goals = vec![goal(&[first], Asker::Profile, None), goal(&["x"], Asker::Build, Some(0))];
        let answer = solver.call(&Request::Solve(Solve { goals }), &[]);
        let Answer::Solved(outcomes) = answer else { panic!("{answer:?}") };
        let Outcome::Packages(second) = &outcomes[1] else { panic!("{outcomes:?}") };
        assert_eq!(second[0].package.nevra.name(), first);
        // The same, where the earlier answer is known from before.
        let prefer = vec![second[0].package.clone()];
        let goals = vec![Goal { prefer, ..goal(&["x"], Asker::Build, None) }];
        let answer = solver.call(&Request::Solve(Solve { goals }), &[]);
        let Answer::Solved(outcomes) = answer else { panic!("{answer:?}") };
        let Outcome::Packages(only) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert_eq!(only[0].package.nevra.name(), first);
    }
}

#[test]
fn what_nothing_provides_is_named_with_what_was_meant() {
    let solver = solver(&[R::new("base", base())]);
    let problems = solver.problems(&["zlib-dvel", "pkgconfig(zlib2)", "gcc >= 99"]);
    assert_eq!(problems.len(), 3);
    let near = |at: usize| match &problems[at].clauses[0] {
        Clause::Missing { asked, near, have, .. } => {
            (asked.requirement.as_str(), near.clone(), have.clone())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!((near(0).0, near(0).1[0].as_str()), ("zlib-dvel", "zlib-devel"));
    assert_eq!((near(1).0, near(1).1[0].as_str()), ("pkgconfig(zlib2)", "pkgconfig(zlib)"));
    assert_eq!((near(2).0, near(2).2[0].1.as_str()), ("gcc >= 99", "gcc = 14.1-1"));
}

#[test]
fn a_chain_that_breaks_is_told_from_what_was_asked_to_what_is_missing() {
    let packages = vec![
        P::new("a-1-1").requires("b"),
        P::new("b-1-1").requires("nowhere >= 3"),
        P::new("nowhere-2-1"),
    ];
    let problems = solver(&[R::new("base", packages)]).problems(&["a"]);
    let clauses = &problems[0].clauses;
    assert!(matches!(&clauses[0], Clause::Asked(asked) if asked.requirement.as_str() == "a"));
    let missing = clauses.iter().find_map(|clause| match clause {
        Clause::NothingProvides { package, requirement, have, .. } => {
            Some((package.nevra.name(), requirement.as_str(), have[0].1.as_str()))
        }
        _ => None,
    });
    assert_eq!(missing, Some(("b", "nowhere >= 3", "nowhere = 2-1")));
}

#[test]
fn conflicts_name_both_sides() {
    let packages = vec![P::new("a-1-1").conflicts("b < 2"), P::new("b-1-1")];
    let problems = solver(&[R::new("base", packages)]).problems(&["a", "b"]);
    let conflict = problems[0].clauses.iter().find_map(|clause| match clause {
        Clause::Conflicts { package, requirement, with } => {
            Some((package.nevra.name(), requirement.as_str(), with.nevra.name()))
        }
        _ => None,
    });
    assert_eq!(conflict, Some(("a", "b < 2", "b")));
}

#[test]
fn file_lists_are_only_asked_for_when_they_matter() {
    let packages = vec![
        P::new("a-1-1").requires("/usr/share/data"),
        P::new("data-1-1").file("/usr/share/data"),
        P::new("b-1-1"),
        P::new("c-1-1").requires("/usr/share/nowhere"),
    ];
    let repos = [R::new("base", packages).lists()];
    let solver = solver(&repos);
    assert_eq!(solver.packages(&["b"]), ["b-1-1.x86_64"]);
    let path = "/usr/share/data".to_owned();
    assert_eq!(solver.ask(Asker::Build, &["a"]), Answer::Unlisted(vec![path.clone()]));
    assert_eq!(solver.ask(Asker::Build, &[&path]), Answer::Unlisted(vec![path.clone()]));
    let found = solver.search(&repos, vec![Wanted::Path(path.clone())]);
    let Answer::Found(found) = found else { panic!("{found:?}") };
    assert_eq!(found[0].package.nevra.name(), "data");
    assert_eq!(solver.packages(&["a"]), ["a-1-1.x86_64", "data-1-1.x86_64"]);
    assert_eq!(solver.packages(&[&path]), ["data-1-1.x86_64"]);
    // A path that nobody has is nobody's for good.
    let path = "/usr/share/nowhere".to_owned();
    assert_eq!(solver.ask(Asker::Build, &["c"]), Answer::Unlisted(vec![path.clone()]));
    solver.search(&repos, vec![Wanted::Path(path)]);
    assert!(matches!(
        solver.problems(&["c"])[0].clauses.last(),
        Some(Clause::NothingProvides { .. })
    ));
}

#[test]
fn without_file_lists_a_path_is_whoever_lists_it() {
    let packages = vec![
        P::new("a-1-1").file("/usr/bin/a").requires("/usr/share/x"),
        P::new("b-1-1").file("/usr/bin/b"),
    ];
    let solver = solver(&[R::new("base", packages)]);
    assert_eq!(solver.packages(&["/usr/bin/b"]), ["b-1-1.x86_64"]);
    assert_eq!(solver.problems(&["/usr/bin/c"]).len(), 1);
    assert_eq!(solver.problems(&["a"]).len(), 1);
}

#[test]
fn a_tenant_cannot_stand_in_for_upstream_and_the_attempt_is_told() {
    let upstream = R::new("base", base());
    let evil = vec![
        P::new("glibc-99-1"),
        P::new("helper-1-1").provides("gcc = 99").provides("helper-thing").obsoletes("zlib < 9"),
        P::new("filer-1-1").file("/usr/bin/bash").file("/usr/bin/filer"),
    ];
    let tenant = R::new("project", evil).tenant(&[]).priority(1);
    let solver = Solver::new();
    let loaded = solver.load(&[upstream, tenant]);
    let claims: Vec<(&str, &str)> = loaded
        .refused
        .iter()
        .map(|refused| (refused.package.name(), refused.claim.as_str()))
        .collect();
    for claim in [("glibc", "glibc"), ("helper", "gcc = 99"), ("helper", "obsoletes zlib < 9")] {
        assert!(claims.contains(&claim), "{claims:?}");
    }
    assert_eq!(solver.packages(&["libc.so.6()(64bit)"]), ["glibc-2.39-1.x86_64"]);
    assert!(solver.packages(&["gcc"]).iter().any(|nevra| nevra.starts_with("gcc-14.1")));
    assert_eq!(solver.packages(&["/usr/bin/bash"]), ["bash-5.2-1.x86_64"]);
    assert_eq!(solver.packages(&["zlib"]), ["zlib-1.3-1.x86_64"]);
    // What is its own, it provides.
    assert_eq!(solver.packages(&["helper-thing"]), ["helper-1-1.x86_64"]);
    assert_eq!(solver.packages(&["/usr/bin/filer"]), ["filer-1-1.x86_64"]);
    let problems = solver.problems(&["glibc >= 99"]);
    let Clause::Missing { withheld, .. } = &problems[0].clauses[0] else { panic!("{problems:?}") };
    assert_eq!(withheld[0].why, WithheldWhy::Tenant);
}

#[test]
fn a_tenant_that_may_replace_a_package_does() {
    let own = vec![P::new("zlib-1.4-1"), P::new("glibc-99-1")];
    let tenant = R::new("project", own).tenant(&["zlib*"]).priority(1);
    let solver = solver(&[R::new("base", base()), tenant]);
    assert_eq!(solver.packages(&["zlib"]), ["zlib-1.4-1.x86_64"]);
    assert_eq!(solver.packages(&["glibc"]), ["glibc-2.39-1.x86_64"]);
}

#[test]
fn lesser_architectures_are_only_taken_where_there_is_no_better() {
    let packages = vec![
        P::new("a-1-1.i686"),
        P::new("a-1-1.x86_64"),
        P::new("b-1-1.i686"),
        P::new("c-1-1.aarch64"),
    ];
    let solver = solver(&[R::new("base", packages)]);
    assert_eq!(solver.packages(&["a"]), ["a-1-1.x86_64"]);
    assert_eq!(solver.packages(&["b"]), ["b-1-1.i686"]);
    let problems = solver.problems(&["c"]);
    let Clause::Missing { withheld, .. } = &problems[0].clauses[0] else { panic!("{problems:?}") };
    assert_eq!(withheld[0].why, WithheldWhy::Arch);
}

#[test]
fn who_provides_a_thing_is_told_best_first() {
    let mut packages = base();
    packages.push(P::new("zlib-compat-long-name-1-1").provides("pkgconfig(zlib) = 1.2"));
    let solver = solver(&[R::new("base", packages)]);
    let who = Who {
        provides: ["pkgconfig(zlib)", "/usr/bin/bash", "zlib", "nobody"]
            .map(|text| text.parse().expect("a requirement"))
            .to_vec(),
        most: 5,
    };
    let Answer::Who(answer) = solver.call(&Request::Who(who), &[]) else { panic!("no answer") };
    let names: Vec<Vec<&str>> = answer
        .iter()
        .map(|packages| packages.iter().map(|package| package.nevra.name()).collect())
        .collect();
    assert_eq!(names[0], ["zlib-devel", "zlib-compat-long-name"]);
    assert_eq!(names[1..], [vec!["bash"], vec!["zlib"], vec![]]);
}
