//! The kiln program: picks a role, wires concrete types, stops.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Compared before anything else reads the arguments: this role confines itself and must not
    // have opened or started anything by then.
    if std::env::args_os().nth(1).is_some_and(|role| role == kiln_solver::ROLE) {
        return kiln_solver::child_main();
    }
    kiln_cli::run()
}
