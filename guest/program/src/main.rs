//! The one program that kiln runs among a package's own, in several roles. Static: it finds nothing
//! in the tree that it runs in that it could rely on.

use std::process::ExitCode;

/// `EX_USAGE`: it was called in a way that there isn't.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let role = std::env::args().nth(1);
    eprintln!("kiln: a guest has no role {role:?}");
    ExitCode::from(USAGE)
}
