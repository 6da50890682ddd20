//! What is linked may be linked: every crate's licence is one that deny.toml allows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cargo_metadata::MetadataCommand;

fn allowed() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deny.toml");
    let text = fs::read_to_string(path).expect("deny.toml");
    let list = text.split("allow = [").nth(1).and_then(|rest| rest.split(']').next());
    list.expect("a list of licences").split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether one of the alternatives is allowed, and in it each part: SPDX expressions without
/// nested brackets, and the old form with '/'.
fn is_fine(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let parts = expression.replace(['(', ')'], "");
    let mut all = parts.split(" AND ");
    all.all(|part| {
        let mut alternatives = part.split(" OR ").flat_map(|one| one.split('/'));
        alternatives.any(|one| allowed.contains(one.trim()))
    })
}

#[test]
fn every_crate_has_a_licence_that_is_allowed() {
    let allowed = allowed();
    let metadata = MetadataCommand::new().exec().expect("cargo metadata of this workspace");
    let wrong: Vec<String> = metadata
        .packages
        .iter()
        .filter(|package| {
            let licence = package.license.as_deref().unwrap_or_default();
            !is_fine(licence, &allowed)
        })
        .map(|package| format!("{}: {:?}", package.name, package.license))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
