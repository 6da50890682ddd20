//! The kiln program: picks a role, wires concrete types, stops.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Compared before anything else reads the arguments: these roles confine themselves and must
    // not have opened or started anything by then.
    let role = std::env::args_os().nth(1);
    if role.as_ref().is_some_and(|role| role == kiln_solver::ROLE) {
        return kiln_solver::child_main();
    }
    if role.as_ref().is_some_and(|role| role == kiln_examiner::ROLE) {
        return kiln_examiner::child_main();
    }
    if role.is_some_and(|role| role == kiln_signer::ROLE) {
        return kiln_signer::child_main();
    }
    kiln_cli::run()
}
