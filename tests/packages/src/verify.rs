//! Each package is built, and built again from its record: with everything as it was, or with
//! everything around it made different, and then with one thing at a time where that shows.
//!
//! Without kiln's normalising the same is the negative control: what it is worth shows.

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::build::staged;
use crate::cases::Case;
use crate::kiln::{How, Proof};
use crate::place::Place;
use crate::report::{each, seconds, table, write};

/// What is done to each package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Built again with everything as it was.
    Verify,
    /// With everything different.
    Challenge,
    /// Likewise, without normalising.
    Raw,
}

/// How one package fared.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The verdict's word.
    pub verdict: String,
    /// What makes a difference on its own.
    pub culprits: Vec<String>,
    /// Whether it differs with nothing made different.
    pub is_unstable: bool,
    /// The causes that the evidence speaks for.
    pub causes: Vec<String>,
    /// The first files that differ.
    pub files: Vec<String>,
    /// How long the build took, in milliseconds.
    pub build_ms: u64,
    /// How long the verification took, likewise.
    pub verify_ms: u64,
    /// How many times it was built again.
    pub rebuilds: u32,
    /// The size of the proof, in bytes.
    pub bytes: usize,
    /// Why there is no verdict.
    pub trouble: Option<String>,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Challenge => "challenge",
            Self::Raw => "challenge-raw",
        }
    }
}

/// Does it to all, prints and writes what came of it, and tells whether every one has a verdict, and
/// where nothing was made different, whether it is that it was reproduced.
pub fn run(place: &Place, names: &[String], at_once: usize, mode: Mode) -> Result<bool> {
    let Some(cases) = place.cases_or_skip(names)? else { return Ok(true) };
    let rows = each(&cases, at_once, |case| one(place, case, mode), told);
    let shown: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let verdict = row.trouble.as_ref().unwrap_or(&row.verdict);
            vec![
                row.name.clone(),
                verdict.clone(),
                if row.is_unstable { "itself".to_owned() } else { row.culprits.join(", ") },
                row.causes.join(", "),
                row.files.first().cloned().unwrap_or_default(),
                seconds(row.build_ms),
                seconds(row.verify_ms),
                row.rebuilds.to_string(),
                row.bytes.to_string(),
            ]
        })
        .collect();
    let heads = [
        "package",
        "verdict",
        "culprits",
        "causes",
        "first file",
        "build s",
        "verify s",
        "rebuilds",
        "bytes",
    ];
    table(&heads, &shown);
    let reproduced = rows.iter().filter(|row| row.verdict == "reproduced").count();
    println!("{reproduced} of {} packages were reproduced", rows.len());
    write(mode.name(), &rows)?;
    let has_verdict = rows.iter().all(|row| row.trouble.is_none());
    Ok(has_verdict && (mode != Mode::Verify || reproduced == rows.len()))
}

fn told(case: &Case, row: &Row) -> String {
    match &row.trouble {
        Some(trouble) => format!("{}: {trouble}", case.name),
        None => format!("{}: {} {}", case.name, row.verdict, row.culprits.join(", ")),
    }
}

fn one(place: &Place, case: &Case, mode: Mode) -> Row {
    match prove(place, case, mode) {
        Ok((build_ms, proof, bytes, verify_ms)) => Row {
            name: case.name.clone(),
            causes: proof.causes(),
            files: proof.files().into_iter().take(5).collect(),
            verdict: proof.verdict,
            culprits: proof.culprits,
            is_unstable: proof.is_unstable,
            build_ms,
            verify_ms,
            rebuilds: proof.rebuilds,
            bytes,
            trouble: proof.trouble.map(|report| report.error),
        },
        Err(error) => Row {
            name: case.name.clone(),
            verdict: String::new(),
            culprits: Vec::new(),
            is_unstable: false,
            causes: Vec::new(),
            files: Vec::new(),
            build_ms: 0,
            verify_ms: 0,
            rebuilds: 0,
            bytes: 0,
            trouble: Some(format!("{error:#}")),
        },
    }
}

fn prove(place: &Place, case: &Case, mode: Mode) -> Result<(u64, Proof, usize, u64)> {
    let (source, how) = staged(place, case)?;
    let how = How { is_raw: mode == Mode::Raw, ..how };
    let kiln = place.kiln();
    let results = format!("{}-{}", mode.name(), case.name);
    let built = kiln.build(&source, &results, &how)?;
    ensure!(built.is_built(), "the build failed: {}", built.trouble());
    let arguments: &[&str] = if mode == Mode::Verify { &[] } else { &["--challenge"] };
    let (proof, bytes, took) = kiln.verify(&built.folder, arguments)?;
    Ok((built.wall_ms, proof, bytes, took))
}
