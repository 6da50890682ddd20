//! Which packages answer some requirements: libsolv, in a process of its own.
//!
//! Zone: `solver`, CONFINED: it reads strangers' metadata with a library in C, so it runs as a
//! child without network, secrets, programs or names of files ([`kiln_confine`]), and all that it
//! says is a claim. What does not belong here: fetching, caching and choosing what to ask
//! (`control/resolve`).
//!
//! [`child_main`] is the child's `main`; [`start`] is for whoever starts it.

mod compile;
mod confine;
mod hashing;
mod near;
mod needs;
mod problem;
mod search;
mod serve;
mod solve;
#[allow(unsafe_code, reason = "libsolv is C; everything unsafe is in this module")]
mod sys;
mod tenant;
mod why;
mod world;

use std::process::ExitCode;

use kiln_confine::child;
use kiln_wire::rights;
use kiln_wire::solver::{Answer, Failure};

pub use confine::Limits;
pub use kiln_confine::Barrier;
pub use kiln_confine::child::{Budget, CpuBudget, start};
pub use serve::serve;

/// The first argument with which the app starts itself in this role.
pub const ROLE: &str = "internal-solver";

/// The child's `main`: confines itself and answers what comes through its standard input, a Unix
/// socket, until the parent hangs up. Ends with 70 (`EX_SOFTWARE`) where it can't be confined.
pub fn child_main() -> ExitCode {
    run_child(&Barrier::ALL, Limits::default())
}

/// As [`child_main`], with other limits, or with barriers left out: for tests, which show that a
/// barrier that is missing is noticed.
pub fn run_child(barriers: &[Barrier], limits: Limits) -> ExitCode {
    child::answer(
        limits.bounds(),
        confine::GRANTS,
        barriers,
        |socket, why| {
            let failure = Failure::System(why.to_string());
            let _ = rights::send(socket, &Answer::Failed(failure), &[]);
        },
        |socket, holding| serve(socket, holding, CpuBudget { seconds: limits.cpu }),
    )
}
