//! Each package builds, and what comes out is what it should be.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cases::{Case, read};
use crate::kiln::{How, Outcome};
use crate::place::Place;
use crate::report::{each, seconds, table, write};
use crate::rpms::Rpm;

/// How one package fared.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it shows.
    pub shows: String,
    /// How many RPMs, without the source package.
    pub rpms: usize,
    /// From submission to end, in milliseconds.
    pub wall_ms: u64,
    /// CPU time in jails, in milliseconds.
    pub cpu_ms: u64,
    /// What is wrong with it; nothing, hopefully.
    pub wrong: Vec<String>,
}

/// Builds all, prints and writes what came of it, and tells whether all is well.
pub fn run(place: &Place, names: &[String], at_once: usize) -> Result<bool> {
    let Some(cases) = place.cases_or_skip(names)? else { return Ok(true) };
    let rows = each(&cases, at_once, |case| one(place, case), told);
    let shown: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.name.clone(),
                row.shows.clone(),
                row.rpms.to_string(),
                seconds(row.wall_ms),
                seconds(row.cpu_ms),
                if row.wrong.is_empty() { "yes".to_owned() } else { row.wrong.join("; ") },
            ]
        })
        .collect();
    table(&["package", "shows", "RPMs", "s", "CPU s", "as it should be"], &shown);
    let fine = rows.iter().filter(|row| row.wrong.is_empty()).count();
    println!("{fine} of {} packages built and are what they should be", rows.len());
    write("build", &rows)?;
    Ok(fine == rows.len())
}

fn told(case: &Case, row: &Row) -> String {
    match row.wrong.is_empty() {
        true => format!("{} built in {} s", case.name, seconds(row.wall_ms)),
        false => format!("{}: {}", case.name, row.wrong.join("; ")),
    }
}

fn one(place: &Place, case: &Case) -> Row {
    let mut row = Row {
        name: case.name.clone(),
        shows: case.shows.clone(),
        rpms: 0,
        wall_ms: 0,
        cpu_ms: 0,
        wrong: Vec::new(),
    };
    let built = staged(place, case).and_then(|(source, how)| {
        place.kiln().build(&source, &format!("build-{}", case.name), &how)
    });
    match built {
        Err(error) => row.wrong.push(format!("{error:#}")),
        Ok(outcome) => {
            (row.wall_ms, row.cpu_ms) = (outcome.wall_ms, outcome.cpu_ms);
            match judge(case, &outcome) {
                Ok((rpms, wrong)) => (row.rpms, row.wrong) = (rpms, wrong),
                Err(error) => row.wrong.push(format!("{error:#}")),
            }
        }
    }
    row
}

/// The folder to build, and how: after what it needs that the distribution lacks.
pub fn staged(place: &Place, case: &Case) -> Result<(PathBuf, How)> {
    let mut before = Vec::new();
    for name in &case.after {
        let first = read(std::slice::from_ref(name))?.pop().context("one was asked for")?;
        before.push(place.stage(name, &first.files(str::to_owned)?)?);
    }
    let source = place.stage(&case.name, &case.files(str::to_owned)?)?;
    Ok((source, How { before, ..How::default() }))
}

/// What is wrong with the RPMs of a build.
fn judge(case: &Case, outcome: &Outcome) -> Result<(usize, Vec<String>)> {
    if !outcome.is_built() {
        return Ok((0, vec![outcome.trouble()]));
    }
    let rpms: Vec<Rpm> =
        outcome.files().iter().map(|path| Rpm::open(path)).collect::<Result<_>>()?;
    let binary: Vec<&Rpm> = rpms.iter().filter(|rpm| !rpm.is_source()).collect();
    let mut wrong = Vec::new();
    let mut expect = |what: &str, expected: &BTreeSet<String>, found: BTreeSet<String>| {
        if found != *expected {
            wrong.push(format!("{what}: {found:?} and not {expected:?}"));
        }
    };
    let named = |wanted: &dyn Fn(&Rpm) -> bool| -> Result<BTreeSet<String>> {
        let those = binary.iter().filter(|rpm| wanted(rpm));
        those.map(|rpm| Ok(rpm.name()?.to_owned())).collect()
    };
    expect("RPMs", &case.rpms, named(&|_| true)?);
    expect("noarch", &case.noarch, named(&|rpm| rpm.arch().is_ok_and(|arch| arch == "noarch"))?);
    let mut scriptlets = BTreeSet::new();
    for rpm in &binary {
        let name = rpm.name()?;
        scriptlets.extend(rpm.scriptlets().into_iter().map(|kind| format!("{name}:{kind}")));
    }
    expect("scriptlets", &case.scriptlets, scriptlets);
    let mut lacking = |what: &str, wanted: &BTreeSet<String>, there: BTreeSet<String>| {
        let missing: Vec<&String> = wanted.difference(&there).collect();
        if !missing.is_empty() {
            wrong.push(format!("{what} lack {missing:?}"));
        }
    };
    let all = |of: &[&Rpm], read: &dyn Fn(&Rpm) -> Result<BTreeSet<String>>| {
        of.iter().map(|rpm| read(rpm)).collect::<Result<Vec<_>>>()
    };
    let provided = all(&binary, &Rpm::provides)?.into_iter().flatten().collect();
    lacking("provides", &case.provides, provided);
    lacking("build requirements", &case.dynamic, asked_for(outcome)?);
    let languages: usize = binary.iter().map(|rpm| rpm.languages()).sum::<Result<usize>>()?;
    if languages != case.languages {
        wrong.push(format!("{languages} files of messages and not {}", case.languages));
    }
    wrong.extend(debug_trouble(&binary)?);
    Ok((binary.len(), wrong))
}

/// What was asked for at build time, in all: what a spec asks for while it is built stands in the
/// lock alone.
fn asked_for(outcome: &Outcome) -> Result<BTreeSet<String>> {
    let path = outcome.folder.join("kiln.lock");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let Lock { requires } = serde_json::from_str(&text)?;
    // `(a >= 3 with a < 4)` asks for an `a`.
    let name = |text: &String| {
        let text = text.trim_start_matches('(');
        text.split_whitespace().next().unwrap_or_default().to_owned()
    };
    Ok(requires.iter().map(name).collect())
}

/// `kiln.lock`, as far as it is looked at.
#[derive(Deserialize)]
struct Lock {
    requires: Vec<String>,
}

/// Packages with debug information hold some, and their sources.
fn debug_trouble(rpms: &[&Rpm]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for rpm in rpms {
        let name = rpm.name()?;
        let (ending, what): (&str, &dyn Fn(&str) -> bool) = match name {
            _ if name.ends_with("-debuginfo") => {
                ("a file with debug information", &|path| path.ends_with(".debug"))
            }
            _ if name.ends_with("-debugsource") => {
                ("a source", &|path| path.starts_with("/usr/src/debug/"))
            }
            _ => continue,
        };
        if !rpm.files()?.keys().any(|path| what(path)) {
            wrong.push(format!("{name} is without {ending}"));
        }
    }
    Ok(wrong)
}
