//! Packages that attack, and packages in a machine of their own.

use anyhow::{Result, bail, ensure};

use crate::build::staged;
use crate::kiln::How;
use crate::place::Place;
use crate::rpms::digest;

/// Tries the quick ones of the attacks against the jail of this host, and against weakened ones.
pub fn attacks(place: &Place) -> Result<()> {
    let kiln = place.kiln();
    let told = kiln.run(&["contest", "--quick", "--backend", "namespaces"])?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let errors = String::from_utf8_lossy(&told.stderr);
    ensure!(told.status.success(), "{text}{errors}");
    let rows = text.lines().filter(|line| line.starts_with("namespaces ")).count();
    ensure!(rows >= 8, "only {rows} attacks were tried: {text}");
    Ok(())
}

/// What this host lacks for machines, if it lacks something.
pub fn lack(place: &Place) -> Result<Option<String>> {
    let told = place.kiln().run(&["contest", "--only", "no-new-privs", "--backend", "microvm"])?;
    let errors = String::from_utf8_lossy(&told.stderr).into_owned();
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let is_lack = text.contains("this host has no") || text.contains("no kernel for machines");
    match (told.status.success(), is_lack) {
        (true, _) => Ok(None),
        (false, true) => Ok(Some(text.trim().to_owned())),
        (false, false) => bail!("{text}{errors}"),
    }
}

/// Builds a package in a jail of the host and in a machine, and compares what came out.
pub fn same(place: &Place, name: &str) -> Result<()> {
    let Some(cases) = place.cases_or_skip(&[name.to_owned()])? else { return Ok(()) };
    let kiln = place.kiln();
    let mut files = Vec::new();
    for isolation in ["namespaces", "microvm"] {
        let (source, how) = staged(place, &cases[0])?;
        let how = How { isolation: Some(isolation), jobs: Some(2), ..how };
        let outcome = kiln.build(&source, &format!("{name}-{isolation}"), &how)?;
        ensure!(outcome.is_built(), "{isolation}: {}", outcome.trouble());
        let made = outcome.files().iter().map(|file| digest(file)).collect::<Result<Vec<_>>>()?;
        println!("{name} in {isolation}: {} files, {} ms", made.len(), outcome.wall_ms);
        files.push(made);
    }
    ensure!(files[0] == files[1], "{name} came out differently in a machine");
    Ok(())
}
