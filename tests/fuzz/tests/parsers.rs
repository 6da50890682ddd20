//! Each parser for a moment; `kiln-fuzz --seconds 60` is the long lane.

use std::process::Command;

#[test]
fn no_parser_panics_or_takes_what_it_likes() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_kiln-fuzz"))
        .args(["--seconds", "1", "--keep"])
        .arg(folder.path())
        .output()
        .expect("started");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let counted = told.lines().filter(|line| line.ends_with(" inputs")).count();
    assert!(counted > 15, "{told}");
}
