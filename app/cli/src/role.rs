//! Roles of this program that it starts itself in, and nobody else.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::Failure;
use crate::failure::doing;

/// The first argument of a jail's keeper.
pub(crate) const KEEPER: &str = "internal-keeper";

/// The first argument of a solver.
pub(crate) const SOLVER: &str = "internal-solver";

/// The path by which this program starts itself again, whatever has become of its file.
pub(crate) fn own_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(doing("finding this program"))
}

/// Runs the role that the first argument names; nothing where it names none.
pub(crate) fn run() -> Option<ExitCode> {
    let role = std::env::args_os().nth(1)?;
    match role.to_str()? {
        KEEPER => Some(kiln_jail::keeper_main(kiln_jail::Strength::Full)),
        SOLVER => Some(kiln_solver::child_main()),
        _ => None,
    }
}
