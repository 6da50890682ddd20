//! A build that lacks a requirement is told which: each `BuildRequires` of each package is taken
//! away in turn, and where the build fails for it, the hint has to name what was taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::build::staged;
use crate::cases::Case;
use crate::kiln::{Outcome, Report};
use crate::place::Place;
use crate::report::{each, table, write};
use crate::rpms::Rpm;

/// What came of taking one requirement away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The hint names it, and nothing before it.
    Right,
    /// The hint names it among others.
    Among,
    /// The error or its causes name it; the hint does not.
    Told,
    /// Nothing names it.
    Wrong,
    /// It builds without.
    Builds,
    /// Neither: it could not be tried.
    Trouble,
}

/// One requirement taken away.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The package.
    pub package: String,
    /// What it asked for.
    pub requirement: String,
    /// What came of it.
    pub verdict: Verdict,
    /// What kiln said.
    pub report: Option<Report>,
    /// Why it could not be tried.
    pub trouble: Option<String>,
}

/// Takes away all, prints and writes what came of it; wrong hints are a score and no failure.
pub fn run(place: &Place, names: &[String], at_once: usize) -> Result<bool> {
    let Some(cases) = place.cases_or_skip(names)? else { return Ok(true) };
    let known = Known::read(place)?;
    let mut all: Vec<(&Case, String)> = Vec::new();
    for case in &cases {
        let spec = case.spec()?;
        all.extend(requirements(&spec).into_iter().map(|line| (case, line.to_owned())));
    }
    let tell = |(case, line): &(&Case, String), row: &Row| {
        let said = row.report.as_ref().and_then(|report| report.hint.clone());
        let said = said.or_else(|| row.trouble.clone()).unwrap_or_default();
        format!("{} without {}: {:?} {said}", case.name, requirement_of(line), row.verdict)
    };
    let rows = each(&all, at_once, |(case, line)| one(place, &known, case, line), tell);
    let count =
        |wanted: &[Verdict]| rows.iter().filter(|row| wanted.contains(&row.verdict)).count();
    let shown: Vec<Vec<String>> = rows
        .iter()
        .filter(|row| !matches!(row.verdict, Verdict::Right | Verdict::Builds))
        .map(|row| {
            let report = row.report.as_ref();
            let hint = report.and_then(|report| report.hint.clone()).unwrap_or_default();
            let cause = report.and_then(|report| report.causes.first().cloned());
            let cause = cause.or_else(|| row.trouble.clone()).unwrap_or_default();
            let verdict = format!("{:?}", row.verdict).to_lowercase();
            vec![row.package.clone(), row.requirement.clone(), verdict, hint, cause]
        })
        .collect();
    table(&["package", "without", "verdict", "hint", "cause"], &shown);
    let builds = count(&[Verdict::Builds]);
    let failed = rows.len() - builds - count(&[Verdict::Trouble]);
    println!(
        "{} requirements taken away; {builds} packages build all the same; of {failed} that fail, \
         the hint is right for {}, names it among others for {}; another {} are told without a hint",
        rows.len(),
        count(&[Verdict::Right]),
        count(&[Verdict::Among]),
        count(&[Verdict::Told]),
    );
    write("hints", &rows)?;
    Ok(count(&[Verdict::Trouble]) == 0)
}

/// The lines of a spec that ask for something at build time, by its own words.
fn requirements(spec: &str) -> Vec<&str> {
    spec.lines().filter(|line| line.starts_with("BuildRequires:")).collect()
}

fn requirement_of(line: &str) -> &str {
    line.trim_start_matches("BuildRequires:").trim()
}

fn one(place: &Place, known: &Known, case: &Case, line: &str) -> Row {
    let requirement = requirement_of(line);
    let mut row = Row {
        package: case.name.clone(),
        requirement: requirement.to_owned(),
        verdict: Verdict::Trouble,
        report: None,
        trouble: None,
    };
    match without(place, case, line) {
        Err(error) => row.trouble = Some(format!("{error:#}")),
        Ok(outcome) if outcome.is_built() => row.verdict = Verdict::Builds,
        Ok(Outcome { report: None, state, .. }) => row.trouble = Some(state),
        Ok(Outcome { report: Some(report), .. }) => {
            row.verdict = known.judge(requirement, &report);
            row.report = Some(report);
        }
    }
    row
}

fn without(place: &Place, case: &Case, line: &str) -> Result<Outcome> {
    let (_, how) = staged(place, case)?;
    let word: String =
        requirement_of(line).chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let name = format!("{}-without-{word}", case.name);
    let cut = |spec: &str| -> String {
        spec.lines().filter(|one| *one != line).map(|one| format!("{one}\n")).collect()
    };
    let source = place.stage(&name, &case.files(cut)?)?;
    let outcome = place.kiln().build(&source, &name, &how);
    fs::remove_dir_all(&source)?;
    outcome
}

/// Which package of the distribution provides what.
struct Known {
    /// What is provided, to the names of the packages that do.
    providers: BTreeMap<String, BTreeSet<String>>,
}

impl Known {
    fn read(place: &Place) -> Result<Self> {
        let mut providers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let folder = place.trial.packages();
        let entries = fs::read_dir(&folder);
        for entry in entries.with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "rpm") {
                let rpm = Rpm::open(&path)?;
                let (name, provides) = (rpm.name()?.to_owned(), rpm.provides()?);
                for one in provides {
                    providers.entry(one).or_default().insert(name.clone());
                }
            }
        }
        Ok(Self { providers })
    }

    /// Whether a word is the requirement, or a package that provides it, or something else that
    /// such a package provides.
    fn means(&self, word: &str, requirement: &str) -> bool {
        let name = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
        let (word, wanted) = (name(word), name(requirement));
        let of = |text: &str| self.providers.get(text).cloned().unwrap_or_default();
        word == wanted || of(&wanted).contains(&word) || !of(&wanted).is_disjoint(&of(&word))
    }

    fn judge(&self, requirement: &str, report: &Report) -> Verdict {
        let hinted = named(report.hint.as_deref().unwrap_or_default());
        match hinted.iter().position(|word| self.means(word, requirement)) {
            Some(0) => return Verdict::Right,
            Some(_) => return Verdict::Among,
            None => {}
        }
        let text = [&report.error].into_iter().chain(&report.causes).map(String::as_str);
        let bare = requirement.split_whitespace().next().unwrap_or_default();
        let is_told = text.into_iter().any(|text| {
            let words = text.split(|c: char| c.is_whitespace() || "'\"`,;".contains(c));
            words.into_iter().any(|word| word.trim_end_matches(':') == bare)
        });
        if is_told { Verdict::Told } else { Verdict::Wrong }
    }
}

/// What a hint says to add, in its order.
fn named(hint: &str) -> Vec<String> {
    hint.split("BuildRequires: ")
        .skip(1)
        .filter_map(|rest| rest.split('\'').next())
        .map(|word| word.trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let pairs =
            [("make", "make"), ("pkgconfig(popt)", "popt-devel"), ("popt-devel", "popt-devel")];
        let providers =
            pairs.map(|(what, who)| (what.to_owned(), BTreeSet::from([who.to_owned()])));
        Known { providers: BTreeMap::from(providers) }
    }

    fn verdict(requirement: &str, hint: Option<&str>, cause: &str) -> Verdict {
        let report = Report {
            fault: "package".to_owned(),
            error: "building the package".to_owned(),
            causes: vec![cause.to_owned()],
            hint: hint.map(str::to_owned),
        };
        known().judge(requirement, &report)
    }

    #[test]
    fn a_hint_is_right_where_it_names_what_was_taken_by_any_of_its_names() {
        let add = |word: &str| format!("add 'BuildRequires: {word}'");
        assert_eq!(verdict("make", Some(&add("make")), ""), Verdict::Right);
        assert_eq!(verdict("pkgconfig(popt) >= 1", Some(&add("popt-devel")), ""), Verdict::Right);
        assert_eq!(verdict("popt-devel", Some(&add("pkgconfig(popt)")), ""), Verdict::Right);
        let two = format!("{}; {}", add("gcc"), add("make"));
        assert_eq!(verdict("make", Some(&two), ""), Verdict::Among);
    }

    #[test]
    fn what_only_a_cause_names_is_told_and_what_nothing_names_is_wrong() {
        assert_eq!(verdict("make", None, "make: command not found"), Verdict::Told);
        assert_eq!(verdict("make", Some("add 'BuildRequires: gcc'"), "cmake"), Verdict::Wrong);
    }

    #[test]
    fn only_requirements_of_the_build_are_taken() {
        let spec = "Name: x\nBuildRequires:  gcc\nRequires: y\nBuildRequires:  make >= 4\n";
        let found: Vec<&str> = requirements(spec).into_iter().map(requirement_of).collect();
        assert_eq!(found, ["gcc", "make >= 4"]);
    }
}
