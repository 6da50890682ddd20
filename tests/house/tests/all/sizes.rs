//! Sizes at which code is hard to read: 800 lines for a file, 80 for a function.

use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

const FILE: usize = 800;
const FUNCTION: usize = 80;

fn sources() -> Vec<PathBuf> {
    let mut todo: Vec<PathBuf> =
        ["base", "control", "solver", "examiner", "signer", "guest", "worker", "app", "tests"]
            .map(|zone| Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(zone))
            .to_vec();
    let mut found = Vec::new();
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the tree").flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

struct Functions<'a> {
    file: &'a Path,
    long: Vec<String>,
}

impl Functions<'_> {
    fn look(&mut self, name: &syn::Ident, body: &syn::Block) {
        let lines = body.span().end().line - body.span().start().line;
        if lines > FUNCTION {
            self.long.push(format!("{}: {name} has {lines} lines", self.file.display()));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.look(&function.sig.ident, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.look(&function.sig.ident, &function.block);
        visit::visit_impl_item_fn(self, function);
    }
}

#[test]
fn files_and_functions_can_be_read() {
    let mut wrong = Vec::new();
    for file in sources() {
        let text = fs::read_to_string(&file).expect("a source file");
        let lines = text.lines().count();
        if lines > FILE {
            wrong.push(format!("{} has {lines} lines", file.display()));
        }
        let parsed = syn::parse_file(&text).expect("a source file that compiles");
        let mut functions = Functions { file: &file, long: Vec::new() };
        functions.visit_file(&parsed);
        wrong.append(&mut functions.long);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
