//! Which zone may link which. The folder is the trust boundary, and arrows point one way.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Zone (the folder under the root, or one crate of it) to the zones that it may link.
/// A row with a longer path stands before the row of its zone.
const ARROWS: &[(&str, &[&str])] = &[
    ("base/model", &[]),
    ("base", &["base"]),
    ("control", &["base", "control"]),
    // The solver reads strangers' metadata, so it may link a parser; it sits in a confined child.
    ("solver", &["base/confine", "base/model", "base/wire", "base/parse"]),
    // The examiner takes apart what builds made; it sits in a confined child as well.
    ("examiner", &["base/confine", "base/model", "base/wire", "base/parse"]),
    // The signer has the keys: no parser of strangers' bytes comes near them.
    ("signer", &["base/confine", "base/model", "base/wire"]),
    ("worker/jail", &["base/model", "base/wire", "base/parse"]),
    // Put into jails as bytes, and not linked to: whatever runs there is hostile.
    ("guest", &[]),
    ("worker", &["base", "guest", "worker"]),
    ("app", &["base", "control", "solver", "examiner", "signer", "worker", "app"]),
    ("tests", &["base", "control", "solver", "examiner", "signer", "worker", "app", "tests"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new().no_deps().exec().expect("cargo metadata of this workspace")
}

fn folders(metadata: &Metadata) -> BTreeMap<String, String> {
    metadata
        .packages
        .iter()
        .map(|package| {
            let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
            let folder = folder.strip_prefix(&metadata.workspace_root).expect("inside the root");
            (package.name.to_string(), folder.to_string())
        })
        .collect()
}

fn lies_in(folder: &str, zone: &str) -> bool {
    folder == zone || folder.starts_with(&format!("{zone}/"))
}

fn links_of(metadata: &Metadata) -> Vec<(String, String)> {
    let folders = folders(metadata);
    metadata
        .packages
        .iter()
        .flat_map(|package| {
            package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind != DependencyKind::Development)
                .filter_map(|dependency| folders.get(&dependency.name))
                .map(|to| (folders[package.name.as_str()].clone(), to.clone()))
        })
        .collect()
}

#[test]
fn every_crate_lies_in_a_zone() {
    for folder in folders(&metadata()).values() {
        assert!(ARROWS.iter().any(|(zone, _)| lies_in(folder, zone)), "{folder} has no zone");
    }
}

#[test]
fn arrows_point_one_way() {
    for (from, to) in links_of(&metadata()) {
        let (zone, allowed) =
            ARROWS.iter().find(|(zone, _)| lies_in(&from, zone)).expect("tested above");
        let fine = allowed.iter().any(|zone| lies_in(&to, zone));
        assert!(fine, "{from} (zone {zone}) may not link {to}");
    }
}

#[test]
fn every_arrow_is_used_by_some_crate() {
    let links = links_of(&metadata());
    for (zone, allowed) in ARROWS.iter().filter(|(zone, _)| *zone != "tests") {
        for target in *allowed {
            let used = links.iter().any(|(from, to)| lies_in(from, zone) && lies_in(to, target));
            assert!(used, "no crate of {zone} links {target}: take the arrow back");
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_outside_jail_and_solver() {
    for package in metadata().packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a manifest");
        let inherits = manifest.contains("[lints]\nworkspace = true");
        let may_be_unsafe = ["kiln-jail", "kiln-solver"].contains(&package.name.as_str());
        assert!(inherits || may_be_unsafe, "{} does not take the workspace's lints", package.name);
    }
}
