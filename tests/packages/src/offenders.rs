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
    table(
        &["offender", "what makes the difference", "causes by evidence", "rightly named"],
        &shown,
    );
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
            ensure!(
                usual.is_reproduced(),
                "{}: {} with all as it was",
                offender.name,
                usual.verdict
            );
            kiln.verify(&results, &["--vary", culprit])?.0
        }
    };
    let causes = varied.causes();
    ensure!(varied.verdict == "diverged", "{}: {}", offender.name, varied.verdict);
    let is_named = causes.iter().any(|cause| cause == offender.cause);
    ensure!(is_named, "{}: {causes:?} and not {}", offender.name, offender.cause);
    Ok(())
}

/// The package whose archives hold times and owners: the same each time, and without kiln's normalising
/// not.
pub fn look_at_archives(place: &Place) -> Result<()> {
    for (is_raw, verdict) in [(false, "reproduced"), (true, "diverged")] {
        let (kiln, results) = built_as(place, "archives", is_raw)?;
        let proof = kiln.verify(&results, &["--vary", "clock", "--vary", "user"])?.0;
        ensure!(proof.verdict == verdict, "raw: {is_raw}: {} {:?}", proof.verdict, proof.files());
    }
    Ok(())
}

/// What kiln's macros keep the same: without each of them, a rebuild under another clock and host name
/// shows what it is for.
pub fn look_at_macros(place: &Place) -> Result<()> {
    for (name, body, shows) in [
        ("use_source_date_epoch_as_buildtime", "0", "\"buildtime\""),
        ("_buildhost", "%(uname -n)-x", "\"buildhost\""),
        ("build_mtime_policy", "%{nil}", "\"mtime\""),
    ] {
        let define = vec![(name.to_owned(), body.to_owned())];
        let how = How { define, ..How::default() };
        let (kiln, results) = built_how(place, "archives", &how)?;
        // Files get the kernel's times, which nothing shifts: another second has to begin.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let proof = kiln.verify(&results, &["--vary", "clock", "--vary", "host-name"])?.0;
        let said = proof.comparison.as_ref().map(ToString::to_string).unwrap_or_default();
        ensure!(!proof.is_reproduced(), "it makes no difference whether {name} is set");
        ensure!(said.contains(shows), "{name}: {said}");
    }
    Ok(())
}

/// That a rebuild fails, or has nothing to be built from, is no difference: each is a verdict, and a code,
/// of its own.
pub fn look_at_what_cannot_be_rebuilt(place: &Place) -> Result<()> {
    let (kiln, results) = built_as(place, "timebomb", false)?;
    let proof = kiln.verify(&results, &["--vary", "clock"])?.0;
    let why = proof.trouble.as_ref().map(|report| report.error.as_str()).unwrap_or_default();
    ensure!(proof.verdict == "unbuilt" && why.contains("rpmbuild"), "{} {why}", proof.verdict);
    ensure!(proof.comparison.is_none(), "nothing is known of what it would have given");
    // The spec is all that it is built from, and somebody takes it away.
    let spec = crate::rpms::digest(&own_folder().join("offenders/timebomb.spec"))?;
    let blob = kiln.folder().join("blobs.v1/sha256").join(&spec[..2]).join(&spec[2..]);
    fs::remove_file(&blob).with_context(|| format!("removing {}", blob.display()))?;
    let proof = kiln.verify(&results, &[])?.0;
    let why = proof.trouble.as_ref().map(|report| report.error.as_str()).unwrap_or_default();
    ensure!(proof.verdict == "unavailable" && why.contains("timebomb.spec"), "{why}");
    Ok(())
}

/// A package that was signed since, or whose signatures were taken off, is still the one that was built.
pub fn look_at_another_signature(place: &Place) -> Result<()> {
    let (kiln, results) = built_as(place, "host", false)?;
    let name = "offender-host-1-1.noarch.rpm";
    let mut package = rpm::Package::open(results.join(name))?;
    package.clear_signatures()?;
    let other = place.ground.own_folder("signed")?.join("renamed.rpm");
    package.write_file(place.ground.path().join("signed/renamed.rpm"))?;
    ensure!(fs::read(&other)? != fs::read(results.join(name))?, "it has other bytes");
    let proof = kiln.verify(&other, &[])?.0;
    ensure!(proof.is_reproduced(), "{}", proof.verdict);
    Ok(())
}

fn built<'a>(place: &'a Place, offender: &Offender) -> Result<(Kiln<'a>, PathBuf)> {
    built_as(place, offender.name, false)
}

fn built_as<'a>(place: &'a Place, offender: &str, is_raw: bool) -> Result<(Kiln<'a>, PathBuf)> {
    built_how(place, offender, &How { is_raw, ..How::default() })
}

fn built_how<'a>(place: &'a Place, offender: &str, how: &How) -> Result<(Kiln<'a>, PathBuf)> {
    let name = format!("{offender}.spec");
    let path = own_folder().join("offenders").join(&name);
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let source = place.stage(&format!("offender-{offender}"), &[(name, bytes)])?;
    let kiln = place.kiln();
    let defined: Vec<&str> = how.define.iter().map(|(name, _)| name.as_str()).collect();
    let results = format!("offender-{offender}-{}-{}", how.is_raw, defined.join("-"));
    let outcome = kiln.build(&source, &results, how)?;
    ensure!(outcome.is_built(), "{offender}: {}", outcome.trouble());
    Ok((kiln, outcome.folder))
}
