//! The one program that kiln runs among a package's own, in several roles. Static: it finds nothing
//! in the tree that it runs in that it could rely on.

mod normalise;

use std::process::ExitCode;

/// `EX_USAGE`: it was called in a way that there isn't.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let role = arguments.next();
    match role.as_ref().and_then(|role| role.to_str()) {
        Some("normalise") => normalise::main(arguments),
        _ => {
            eprintln!("kiln: a guest has no role {role:?}");
            ExitCode::from(USAGE)
        }
    }
}
