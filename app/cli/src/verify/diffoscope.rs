//! What diffoscope says, beside what kiln says: another opinion, of a program that somebody else
//! wrote and that this user has installed. It runs as this user does and is not confined.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use kiln_cas::Cas;
use kiln_model::Proof;

use crate::failure::{Failure, doing};
use crate::ui::Ui;

/// How long it may look at one pair of files, in seconds.
const PATIENCE: &str = "600";

/// Says before anything is built that it isn't there.
pub(crate) fn require() -> Result<(), Failure> {
    if is_installed() {
        return Ok(());
    }
    let hint = "install diffoscope, or leave --diffoscope out";
    Err(Failure::caller("diffoscope is not installed", Some(hint.to_owned())))
}

/// Lets it look at each pair that differs, and writes what it says to `folder`, a file for each.
pub(crate) fn write(proof: &Proof, cas: &Cas, folder: &Path, ui: &Ui) -> Result<(), Failure> {
    let Some(comparison) = &proof.comparison else { return Ok(()) };
    fs::create_dir_all(folder).map_err(doing(format!("creating {}", folder.display())))?;
    let work = tempfile::tempdir().map_err(doing("making a folder for diffoscope"))?;
    for artifact in &comparison.artifacts {
        let (Some(old), Some(new)) = (artifact.original, artifact.rebuilt) else { continue };
        if old == new {
            continue;
        }
        // By its own name: diffoscope goes by names as well, and shows them.
        let mut places = Vec::new();
        for (side, digest) in [("original", old), ("rebuilt", new)] {
            let side = work.path().join(side);
            fs::create_dir_all(&side).map_err(doing("making a folder for diffoscope"))?;
            let place = side.join(&artifact.name);
            cas.link(&digest, &place)?;
            places.push(Path::new(side.file_name().unwrap_or_default()).join(&artifact.name));
        }
        let to = std::path::absolute(folder.join(format!("{}.txt", artifact.name)))
            .map_err(doing("naming a report of diffoscope"))?;
        ui.line(&format!("  diffoscope looks at {}", artifact.name));
        let status = Command::new("timeout")
            .args([PATIENCE, "diffoscope", "--text"])
            .arg(&to)
            .args(&places)
            .current_dir(work.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(doing("starting diffoscope"))?;
        // 1 is its word for 'they differ'.
        if !matches!(status.code(), Some(0 | 1)) {
            ui.line(&format!("  diffoscope ended with {status} at {}", artifact.name));
        }
    }
    Ok(())
}

fn is_installed() -> bool {
    let asked = Command::new("diffoscope")
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}
