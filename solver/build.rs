//! Binds the core of the system's libsolv (not libsolvext, which brings librpm along).

#![allow(clippy::print_stderr, reason = "cargo shows what a build script prints")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The oldest libsolv whose behaviour kiln is tested with.
const OLDEST: &str = "0.7.23";

const HEADERS: &str = "
#include <solv/pool.h>
#include <solv/poolarch.h>
#include <solv/repo.h>
#include <solv/repo_solv.h>
#include <solv/repo_write.h>
#include <solv/solver.h>
#include <solv/solvversion.h>
";

/// All that src/sys.rs calls.
const FUNCTIONS: &[&str] = &[
    "dataiterator_(init|step|skip_solvable|free)",
    "map_(init|free)",
    "pool_(create|free|errstr|set_flag|setdisttype|setarch|strn2id|rel2id|id2str|dep2str)",
    "pool_(addfileprovides|addrelproviders|createwhatprovides|queuetowhatprovides)",
    "pool_(set_whatprovides|lookup_num|lookup_checksum|match_nevr_rel)",
    "queue_(init|free|insertn)",
    "repo_(create|add_solvable|addid_dep|add_repodata|write|add_solv)",
    "repodata_(add_dirstr|internalize|set_checksum|set_location|set_num|str2dir)",
    "solvable_lookup_location",
    "solver_(create|free|set_flag|solve|get_decisionqueue|rule2jobidx)",
    "solver_(problem_count|findallproblemrules|allruleinfos)",
];

const TYPES: &[&str] = &[
    "Dataiterator",
    "Map",
    "Pool",
    "Queue",
    "Repo",
    "Repodata",
    "Solver",
    "SolverRuleinfo",
    "solv_knownid",
];

const VARIABLES: &[&str] = &[
    "DISTTYPE_RPM",
    "POOL_FLAG_IMPLICITOBSOLETEUSESCOLORS",
    "REL_.*",
    "SEARCH_.*",
    "SOLVER_.*",
    "SYSTEMSOLVABLE",
    "solv_version",
];

fn main() {
    let library = pkg_config::Config::new()
        .atleast_version(OLDEST)
        .probe("libsolv")
        .unwrap_or_else(|error| give_up(&format!("no libsolv >= {OLDEST} here ({error})")));
    if !solves_rich_dependencies(&library.include_paths) {
        give_up("this libsolv was built without rich dependencies (ENABLE_COMPLEX_DEPS)");
    }
    let mut builder = bindgen::Builder::default()
        .header_contents("kiln-libsolv.h", HEADERS)
        .clang_args(library.include_paths.iter().map(|path| format!("-I{}", path.display())))
        .rust_edition(bindgen::RustEdition::Edition2024)
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
        .prepend_enum_name(true)
        .layout_tests(false)
        .merge_extern_blocks(true);
    for function in FUNCTIONS {
        builder = builder.allowlist_function(function);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for variable in VARIABLES {
        builder = builder.allowlist_var(variable);
    }
    let bindings = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| builder.generate()))
        .unwrap_or_else(|_| {
            give_up("no libclang, which reads libsolv's headers");
        });
    let bindings = bindings
        .unwrap_or_else(|error| give_up(&format!("libsolv's headers don't read ({error})")));
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    bindings.write_to_file(folder.join("libsolv.rs")).expect("the output folder can be written");
    println!("cargo::rerun-if-changed=build.rs");
}

/// Whether the headers say so; with none found where pkg-config points, the default place does.
fn solves_rich_dependencies(folders: &[PathBuf]) -> bool {
    folders
        .iter()
        .map(PathBuf::as_path)
        .chain([Path::new("/usr/include"), Path::new("/usr/local/include")])
        .find_map(|folder| fs::read_to_string(folder.join("solv/solvversion.h")).ok())
        .is_none_or(|text| text.contains("#define LIBSOLV_FEATURE_COMPLEX_DEPS"))
}

fn give_up(why: &str) -> ! {
    eprintln!("error: {why}");
    eprintln!("hint: kiln's solver needs libsolv and libclang, with the files to build against:");
    eprintln!("        Debian, Ubuntu:  apt-get install libsolv-dev libclang-dev pkg-config");
    eprintln!("        Fedora, CentOS:  dnf install libsolv-devel clang-devel pkgconf");
    eprintln!("        openSUSE:        zypper install libsolv-devel clang-devel pkgconf");
    std::process::exit(1);
}
