//! The one program that kiln runs among a package's own, in several roles. Static: it finds nothing
//! in the tree that it runs in that it could rely on.

mod init;
mod machine;
mod normalise;

use std::process::ExitCode;

/// `EX_USAGE`: it was called in a way that there isn't.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    // A kernel starts its init without a word of ours.
    if std::process::id() == 1 {
        return init::main();
    }
    let mut arguments = std::env::args_os().skip(1);
    let role = arguments.next();
    match role.as_ref().and_then(|role| role.to_str()) {
        // Weakened plans come from a host that allowed them.
        Some(init::KEEPER) => kiln_jail::keeper_main(kiln_jail::Strength::Contest),
        Some("normalise") => normalise::main(arguments),
        _ => {
            eprintln!("kiln: a guest has no role {role:?}");
            ExitCode::from(USAGE)
        }
    }
}
