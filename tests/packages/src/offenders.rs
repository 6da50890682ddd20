//! Packages that are known not to be the same each time: each is found, and what is wrong with it is
//! named rightly. Their specs are in `offenders/`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::kiln::{How, Kiln};
use crate::place::{Place, own_folder};
use crate::report::{table, write};

/// A package that is not the same each time.
#[derive(Debug, Clone, Copy)]
pub struct Offender {
    /// The name of its spec.
    pub name: &'static str,
    /// What has to be made different for it to show; nothing where it differs each time.
    pub culprit: Option<&'static str>,
    /// What a report must name as its cause.
    pub cause: &'static str,
}

/// All of them.
pub const OFFENDERS: &[Offender] = &[
    Offender { name: "date", culprit: Some("clock"), cause: "date" },
    Offender { name: "path", culprit: Some("build-path"), cause: "build-path" },
    Offender { name: "host", culprit: Some("host-name"), cause: "host-name" },
    Offender { name: "jobs", culprit: Some("cpus"), cause: "order" },
    Offender { name: "readdir", culprit: Some("file-order"), cause: "order" },
    Offender { name: "user", culprit: Some("user"), cause: "user" },
    Offender { name: "kernel", culprit: Some("kernel"), cause: "kernel" },
    Offender { name: "random", culprit: None, cause: "random" },
    Offender { name: "padding", culprit: None, cause: "uninitialised" },
];

/// How one fared.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What the challenge found to make the difference.
    pub found: Vec<String>,
    /// What the report names as the cause.
    pub causes: Vec<String>,
    /// What is wrong with that; nothing, hopefully.
    pub wrong: Vec<String>,
}

/// Challenges all of them in full, prints and writes what came of it, and tells whether each was
/// found and rightly named.
pub fn run(place: &Place) -> Result<bool> {
    let mut rows = Vec::new();
    for offender in OFFENDERS {
        let row = challenge(place, offender)?;
        eprintln!("{}: {} {}", row.name, row.found.join(", "), row.wrong.join("; "));
        rows.push(row);
    }
    let shown: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let fine = if row.wrong.is_empty() { "yes".to_owned() } else { row.wrong.join("; ") };
            vec![row.name.clone(), row.found.join(", "), row.causes.join(", "), fine]
        })
        .collect();
    table(&["offender", "what makes the difference", "causes by evidence", "rightly named"], &shown);
    write("offenders", &rows)?;
    Ok(rows.iter().all(|row| row.wrong.is_empty()))
}

fn challenge(place: &Place, offender: &Offender) -> Result<Row> {
    let (kiln, results) = built(place, offender)?;
    let (proof, ..) = kiln.verify(&results, &["--challenge"])?;
    let found = match proof.is_unstable {
        true => vec!["itself".to_owned()],
        false => proof.culprits.clone(),
    };
    let expected = vec![offender.culprit.unwrap_or("itself").to_owned()];
    let causes = proof.causes();
    let mut wrong = Vec::new();
    if proof.verdict != "diverged" {
        wrong.push(format!("it is {}", proof.verdict));
    }
    if found != expected {
        wrong.push(format!("{found:?} is named and not {expected:?}"));
    }
    if !causes.iter().any(|cause| cause == offender.cause) {
        wrong.push(format!("{causes:?} are its causes and not {}", offender.cause));
    }
    Ok(Row { name: offender.name.to_owned(), found, causes, wrong })
}

/// The same with two rebuilds each: the one that has to show it, and one that must not.
pub fn look(place: &Place, offender: &Offender) -> Result<()> {
    let (kiln, results) = built(place, offender)?;
    let usual = kiln.verify(&results, &[])?.0;
    let varied = match offender.culprit {
        None => usual,
        Some(culprit) => {
            ensure!(usual.is_reproduced(), "{}: {} with all as it was", offender.name, usual.verdict);
            kiln.verify(&results, &["--vary", culprit])?.0
        }
    };
    let causes = varied.causes();
    ensure!(varied.verdict == "diverged", "{}: {}", offender.name, varied.verdict);
    let is_named = causes.iter().any(|cause| cause == offender.cause);
    ensure!(is_named, "{}: {causes:?} and not {}", offender.name, offender.cause);
    Ok(())
}

fn built<'a>(place: &'a Place, offender: &Offender) -> Result<(Kiln<'a>, PathBuf)> {
    let name = format!("{}.spec", offender.name);
    let path = own_folder().join("offenders").join(&name);
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let source = place.stage(&format!("offender-{}", offender.name), &[(name, bytes)])?;
    let kiln = place.kiln();
    let outcome = kiln.build(&source, &format!("offender-{}", offender.name), &How::default())?;
    ensure!(outcome.is_built(), "{}: {}", offender.name, outcome.trouble());
    Ok((kiln, outcome.folder))
}
