//! Compiles what runs in guests: `program` by a cargo of its own, since it is static and this is
//! not, and what is preloaded by the compiler alone, since it has no dependencies.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// For guests of the host's own architecture.
const TARGET: &str = concat_target();

const fn concat_target() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "aarch64-unknown-linux-gnu"
    } else {
        "x86_64-unknown-linux-gnu"
    }
}

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to"));
    let own =
        ["build.rs", "clock", "folders", "program/src", "program/Cargo.toml", "program/Cargo.lock"];
    // What the program is made of besides.
    let linked = ["base/model/src", "base/wire/src", "worker/jail/src", "policy"];
    let linked = linked.map(|folder| format!("../{folder}"));
    for changed in own.iter().map(|it| (*it).to_owned()).chain(linked) {
        println!("cargo::rerun-if-changed={changed}");
    }
    program(&out);
    ["clock", "folders"].iter().for_each(|name| preloaded(&out, name));
}

fn program(out: &Path) {
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo says which it is"));
    cargo.args(["build", "--quiet", "--locked", "--release", "--target", TARGET]);
    cargo.args(["--manifest-path", "program/Cargo.toml", "--target-dir"]).arg(out.join("cargo"));
    // What the outer cargo was told is not for this one.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let outer = text.starts_with("CARGO_FEATURE") || text.starts_with("CARGO_CFG");
        if outer || ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"].contains(&&*text) {
            cargo.env_remove(name);
        }
    }
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static");
    let status = cargo.status().expect("cargo can be started");
    assert!(
        status.success(),
        "the guest's program could not be compiled; it needs libc.a (libc6-dev, glibc-static)"
    );
    let built = out.join("cargo").join(TARGET).join("release/kiln-guest-program");
    std::fs::copy(&built, out.join("program")).expect("the guest's program is where cargo puts it");
}

fn preloaded(out: &Path, name: &str) {
    let mut rustc = Command::new(env::var_os("RUSTC").expect("cargo says which compiler"));
    rustc.args(["--edition", "2024", "--crate-type", "cdylib"]);
    rustc.arg("--crate-name").arg(format!("kiln_{name}"));
    rustc.args(["-C", "opt-level=2", "-C", "panic=abort", "-C", "strip=symbols"]);
    rustc.args(["-C", "link-arg=-nostdlib", "-C", "link-arg=-nostartfiles"]);
    rustc.arg("-o").arg(out.join(name).with_extension("so"));
    rustc.arg(format!("{name}/{name}.rs"));
    let status = rustc.status().expect("the compiler can be started");
    assert!(status.success(), "the library '{name}' could not be compiled");
}
