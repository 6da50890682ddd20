//! What documents say of the tree is so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files of the tree with that ending, leaving out what is built or fetched.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut todo = vec![root()];
    let mut found = Vec::new();
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the tree").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_folder = entry.file_type().expect("a type").is_dir();
            if is_folder && !name.starts_with('.') && !["target", "results"].contains(&&*name) {
                todo.push(entry.path());
            } else if !is_folder && name.ends_with(ending) {
                found.push(entry.path());
            }
        }
    }
    found
}

/// What stands between `](` and `)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for document in files(".md") {
        let text = fs::read_to_string(&document).expect("a document");
        let folder = document.parent().expect("a document lies in a folder");
        for link in links(&text).filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let path = link.split('#').next().unwrap_or(link);
            if !folder.join(path).exists() {
                wrong.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn tests_that_documents_promise_by_exist() {
    let known: BTreeSet<String> = files(".rs")
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).expect("a source file");
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
            names.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    for document in ["THREAT_MODEL.md", "docs/slsa.md"] {
        let text = fs::read_to_string(root().join(document)).expect(document);
        let named: Vec<&str> = text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.matches('_').count() > 2 && !name.contains('/'))
            .collect();
        assert!(named.len() > 20, "{document}: only {named:?} are named");
        let missing: Vec<_> = named.iter().filter(|name| !known.contains(**name)).collect();
        assert!(missing.is_empty(), "{document}: no such tests: {missing:?}");
    }
}

#[test]
fn no_path_of_a_machine_stands_in_the_tree() {
    // Put together, so that this file is not its own find.
    let paths = [["/ro", "ot/"].concat(), ["/wo", "rk/"].concat()];
    let mut found = Vec::new();
    for ending in [".md", ".toml", ".sh", "Makefile"] {
        for file in files(ending) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            if paths.iter().any(|path| text.contains(path.as_str())) {
                found.push(file);
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
