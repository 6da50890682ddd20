//! A bundle in other hands: another user, who may not even look into the folders of the one who
//! built, another folder of kiln's, and no network.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use kiln_kit::{Ground, begun_by, only_for_root};

use crate::build::staged;
use crate::cases::read;
use crate::kiln::Proof;
use crate::place::{Place, own_folder};

/// Who builds it again; `scripts/test-user` makes it.
const OTHER: &str = "kiln-other";

/// Builds a package, moves its bundle, and has it built again there.
pub fn run(place: &Place, name: &str) -> Result<()> {
    if place.ground.user().is_none() {
        only_for_root("be two users");
        return Ok(());
    }
    let script = own_folder().join("../../scripts/test-user");
    ensure!(Command::new(script).arg(OTHER).status()?.success(), "{OTHER} could not be made");
    let other = Ground::of_user(OTHER).map_err(|why| anyhow::anyhow!(why.0))?;

    let case = read(&[name.to_owned()])?.pop().context("one was asked for")?;
    let (source, how) = staged(place, &case)?;
    let built = place.kiln().build(&source, &format!("elsewhere-{name}"), &how)?;
    ensure!(built.is_built(), "the build failed: {}", built.trouble());
    let written = place.ground.own_folder("results")?.join(format!("{name}.kiln.tar"));
    place.kiln().export(&built.folder, &written)?;
    let bundle = other.path().join("moved.kiln.tar");
    fs::copy(&written, &bundle)?;
    fs::set_permissions(&bundle, Permissions::from_mode(0o644))?;
    let program = other.program(&place.program)?;

    // Shut for everybody but root while the other one works.
    let shut = |mode| fs::set_permissions(place.ground.path(), Permissions::from_mode(mode));
    let before = fs::metadata(place.ground.path())?.permissions().mode();
    shut(0o700)?;
    let proof = again(&other, &program, &bundle);
    shut(before)?;
    let proof = proof?;
    println!("{name}: {} by {OTHER}, without a network", proof.verdict);
    ensure!(proof.is_reproduced(), "{proof:?}");
    Ok(())
}

fn again(other: &Ground, program: &Path, bundle: &Path) -> Result<Proof> {
    let folder = other.own_folder("kiln")?;
    let verb = |words: &[&str]| {
        let mut kiln = other.command(program);
        kiln.env("KILN_DIR", &folder).args(words);
        let mut alone = Command::new("unshare");
        alone.args(["--net", "setpriv", "--reuid", OTHER, "--regid", OTHER, "--clear-groups"]);
        begun_by(alone, &kiln)
    };
    let output = verb(&["verify", "--json"]).arg(bundle).stdin(Stdio::null()).output()?;
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    let proof = serde_json::from_slice(&output.stdout).with_context(said)?;
    // Layers belong to ids that only kiln may remove.
    let removed = verb(&["cache", "gc", "--unused", "0"]).output()?;
    ensure!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    Ok(proof)
}
