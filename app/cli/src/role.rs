//! Roles of this program that it starts itself in, and nobody else.

use std::process::ExitCode;

/// The first argument of a jail's keeper.
pub(crate) const KEEPER: &str = "internal-keeper";

/// The first argument of a keeper that carries out weakened plans: of the contest alone.
pub(crate) const CONTEST_KEEPER: &str = "internal-contest-keeper";

/// The first argument of a solver.
pub(crate) const SOLVER: &str = "internal-solver";

/// The first argument of an examiner.
pub(crate) const EXAMINER: &str = kiln_examiner::ROLE;

/// The first argument of a signer that keeps keys.
pub(crate) const SIGNER: &str = kiln_signer::ROLE;

/// The path by which this program starts itself again, whatever has become of its file: an
/// upgrade puts another in its place, and this one goes on as what it is (proc(5)).
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// Runs the role that the first argument names; nothing where it names none.
pub(crate) fn run() -> Option<ExitCode> {
    let role = std::env::args_os().nth(1)?;
    match role.to_str()? {
        KEEPER => Some(kiln_jail::keeper_main(kiln_jail::Strength::Full)),
        CONTEST_KEEPER => Some(kiln_jail::keeper_main(kiln_jail::Strength::Contest)),
        SOLVER => Some(kiln_solver::child_main()),
        EXAMINER => Some(kiln_examiner::child_main()),
        SIGNER => Some(kiln_signer::child_main()),
        kiln_signer::PROGRAM_ROLE => {
            let program: Vec<_> = std::env::args_os().skip(2).collect();
            Some(kiln_signer::program_main(&program))
        }
        _ => None,
    }
}
