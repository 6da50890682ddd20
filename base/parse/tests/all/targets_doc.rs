//! docs/targets.md and the types agree: every key is there, none else, and the example reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kiln_model::{Key, Knobs, ProfileSpec, RepoSpec, TARGET_SCHEMA, Target};
use kiln_parse::target::{Origin, parse};

const DOC: &str = include_str!("../../../../docs/targets.md");

/// A target in which every field of every type has a value. A new field does not compile here
/// until it is given one, and then its key must be in the document.
fn whole() -> Target {
    let key = Key { fingerprint: Some("0".repeat(40)), from: vec!["a".to_owned()] };
    let repo = RepoSpec {
        id: "a".to_owned(),
        baseurl: vec!["a".to_owned()],
        mirrorlist: Some("a".to_owned()),
        metalink: Some("a".to_owned()),
        keys: vec![key.clone()],
        check_packages: true,
        check_metadata: true,
        priority: 1,
        exclude: vec!["a".to_owned()],
        modules: vec!["a:1".to_owned()],
        packages_above: 1,
        stale_after_days: Some(1),
    };
    let bash = "bash".parse().expect("a requirement");
    let profile = ProfileSpec { version: 1, packages: vec![bash] };
    Target {
        schema: TARGET_SCHEMA,
        name: "a".parse().expect("a name"),
        summary: "a".to_owned(),
        arch: "x86_64".to_owned(),
        vars: BTreeMap::from([("a".to_owned(), "a".to_owned())]),
        macros: BTreeMap::from([("a".to_owned(), "a".to_owned())]),
        rpm: Knobs::default(),
        limits: BTreeMap::from([(kiln_model::Limit::Wall, 1)]),
        profile: BTreeMap::from([("a".to_owned(), profile)]),
        key: BTreeMap::from([("a".to_owned(), key)]),
        repos: vec![repo],
    }
}

/// The keys of a file: tables under a free name (`profile.NAME`, `key.NAME`) without that name.
fn keys_of(target: &Target) -> BTreeSet<String> {
    let text = toml::to_string(target).expect("TOML");
    let table: toml::Table = text.parse().expect("a table");
    let mut keys = BTreeSet::new();
    let mut inside = |prefix: &str, table: &toml::Table| {
        keys.extend(table.keys().map(|key| format!("{prefix}{key}")));
    };
    inside("", &table);
    inside("rpm.", table["rpm"].as_table().expect("a table"));
    for named in ["profile", "key"] {
        for inner in table[named].as_table().expect("a table").values() {
            inside(&format!("{named}."), inner.as_table().expect("a table"));
        }
    }
    for repo in table["repo"].as_array().expect("a list") {
        inside("repo.", repo.as_table().expect("a table"));
    }
    keys.remove("rpm");
    keys
}

#[test]
fn every_key_is_documented_and_nothing_else() {
    let documented: BTreeSet<String> = DOC
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(key, _)| key.to_owned())
        .collect();
    assert_eq!(documented, keys_of(&whole()));
}

#[test]
fn the_example_reads_and_shows_every_key() {
    let (_, rest) = DOC.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let origin = Origin::file(Path::new("/etc/kiln/targets/acme-7-x86_64.toml"));
    let target = parse(example, &origin).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(target.repos[2].keys[0].from, ["file:///etc/kiln/targets/own.asc"]);
    for key in keys_of(&whole()) {
        let last = key.rsplit('.').next().expect("a key");
        assert!(example.contains(last), "the example does not show {key}");
    }
}
