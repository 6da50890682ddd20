//! The kiln program: picks a role, wires concrete types, stops.

use std::process::ExitCode;

fn main() -> ExitCode {
    kiln_cli::run()
}
