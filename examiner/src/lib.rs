//! In what two builds of one package differ: each pair of files from its lead down to the bytes of
//! its files, by kind, with a guess at the cause.
//!
//! Zone: `examiner`, CONFINED: it unpacks and takes apart what strangers' builds made, so it runs
//! as a child without network, secrets, programs, threads or names of files ([`kiln_confine`]), on
//! two open files at a time, within bounds of memory and CPU time, and all that it says is a claim.
//! Whether two files are the same is none of its business: a digest says that. What does not belong
//! here: finding the files, starting the child, and the verdict (`control/prove`).
//!
//! [`child_main`] is the child's `main`; [`start`] is for whoever starts it.

mod cause;
mod confine;
mod content;
mod dates;
mod files;
mod logs;
mod package;
mod payload;
mod serve;
mod shown;
mod tagnames;
mod tags;

use std::process::ExitCode;

use kiln_confine::child;
use kiln_wire::examiner::{Answer, Failure};
use kiln_wire::rights;

pub use confine::Limits;
pub use kiln_confine::Barrier;
pub use kiln_confine::child::{Budget, CpuBudget, start};
pub use serve::serve;

/// The first argument with which the app starts itself in this role.
pub const ROLE: &str = "internal-examiner";

/// In what two contents of a file at that path differ; the child's work, for tests that have it take
/// apart what is broken.
pub fn differing(path: &str, original: &[u8], rebuilt: &[u8]) -> Vec<kiln_model::DifferingContent> {
    let mut finder = content::Finder::of(path);
    finder.compare(original, rebuilt);
    finder.found
}

/// The child's `main`: confines itself and answers what comes through its standard input, a Unix
/// socket, until the parent hangs up. Ends with 70 where it can't be confined.
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
