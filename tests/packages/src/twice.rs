//! Each package comes out the same, byte for byte, whatever surrounds its build.
//!
//! | what differs | first build | second build |
//! | --- | --- | --- |
//! | time | | later, by a second at least |
//! | cache | cold: a folder of kiln's own, empty | warm, where an earlier build left its layers |
//! | slot | the first | that of two builds at once which is free |
//! | processes at once | 1 | 5 |
//! | host name, where root may change it | the host's | `somewhere-else` |
//! | caller's environment | plain | another time zone, language, home and umask of its own |

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::build::staged;
use crate::cases::Case;
use crate::kiln::{How, Outcome};
use crate::place::Place;
use crate::report::{each, table, write};
use crate::rpms::{difference, digest};

/// How one package fared.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// How many files were compared.
    pub files: usize,
    /// Whether no layer had to be made for the first build, and for the second.
    pub was_warm: [bool; 2],
    /// The files that differ, each with what differs in it.
    pub differ: Vec<String>,
    /// Why they could not be compared.
    pub trouble: Option<String>,
}

/// Builds all twice, prints and writes what came of it, and tells whether all is well.
pub fn run(place: &Place, names: &[String], at_once: usize) -> Result<bool> {
    let Some(cases) = place.cases_or_skip(names)? else { return Ok(true) };
    let tell = |case: &Case, row: &Row| match (&row.trouble, row.differ.is_empty()) {
        (Some(trouble), _) => format!("{}: {trouble}", case.name),
        (None, true) => format!("{}: the same", case.name),
        (None, false) => format!("{} differs: {}", case.name, row.differ.join("; ")),
    };
    let rows = each(&cases, at_once, |case| one(place, case), tell);
    let yes = |is_so: bool| if is_so { "warm" } else { "cold" }.to_owned();
    let shown: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let verdict = match (&row.trouble, row.differ.is_empty()) {
                (Some(trouble), _) => trouble.clone(),
                (None, true) => "yes".to_owned(),
                (None, false) => row.differ.join("; "),
            };
            let [first, second] = row.was_warm.map(yes);
            vec![row.name.clone(), row.files.to_string(), first, second, verdict]
        })
        .collect();
    table(&["package", "files", "first", "second", "same bytes"], &shown);
    let same = |row: &&Row| row.trouble.is_none() && row.differ.is_empty();
    let fine = rows.iter().filter(same).count();
    let files: usize = rows.iter().map(|row| row.files).sum();
    println!("{fine} of {} packages came out the same, {files} files", rows.len());
    if place.ground.user().is_none() {
        println!("the host name was the same: only root may change it");
    }
    write("twice", &rows)?;
    Ok(fine == rows.len())
}

fn one(place: &Place, case: &Case) -> Row {
    let mut row = Row {
        name: case.name.clone(),
        files: 0,
        was_warm: [false; 2],
        differ: Vec::new(),
        trouble: None,
    };
    if let Err(error) = compare(place, case, &mut row) {
        row.trouble = Some(format!("{error:#}"));
    }
    row
}

fn compare(place: &Place, case: &Case, row: &mut Row) -> Result<()> {
    let (source, how) = staged(place, case)?;
    let cold = place.cold_kiln(&case.name)?;
    let plain = How { jobs: Some(1), ..how.clone() };
    let first = cold.build(&source, &format!("first-{}", case.name), &plain);
    place.forget(&cold)?;
    let first = first?;
    ensure!(first.is_built(), "the first build failed: {}", first.trouble());
    std::thread::sleep(Duration::from_millis(1100));
    let other = How {
        jobs: Some(5),
        hostname: Some("somewhere-else".to_owned()),
        env: [
            ("TZ", "Pacific/Auckland"),
            ("LANG", "de_DE.UTF-8"),
            ("SOURCE_DATE_EPOCH", "12345"),
            ("CFLAGS", "-O0"),
            ("USER", "someone"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        ..how
    };
    let second = place.kiln().build(&source, &format!("second-{}", case.name), &other)?;
    ensure!(second.is_built(), "the second build failed: {}", second.trouble());
    row.was_warm = [first.was_warm(), second.was_warm()];
    let (first, second) = (files(&first), files(&second));
    row.files = first.len();
    for (name, path) in &first {
        match second.get(name) {
            None => row.differ.push(format!("{name} came out of the first build alone")),
            Some(other) if digest(path)? == digest(other)? => {}
            Some(other) => row.differ.push(format!("{name}: {}", difference(path, other)?)),
        }
    }
    let more = second.keys().filter(|name| !first.contains_key(*name));
    row.differ.extend(more.map(|name| format!("{name} came out of the second build alone")));
    Ok(())
}

fn files(outcome: &Outcome) -> BTreeMap<String, PathBuf> {
    let named = outcome.artifacts.iter();
    named.map(|made| (made.name.clone(), outcome.folder.join(&made.name))).collect()
}
