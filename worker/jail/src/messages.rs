//! What launcher and keeper say to each other, in frames of `kiln_wire::frame`.

use kiln_model::Breached;
use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// The longest message, in bytes: a plan with some hundred layers and RPMs is a tenth of it.
pub(crate) const MESSAGE_CAP: usize = 4 << 20;

/// From the launcher to the keeper.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToKeeper {
    /// What to do; comes first.
    Plan(Box<Plan>),
    /// The id maps are written.
    Mapped,
    /// Pid 1 is in its control groups, if there are any.
    Grouped {
        /// Whether the keeper has to count memory, since no controller does.
        counts_memory: bool,
    },
    /// End the guest now; clean up as always.
    Stop,
}

/// From the keeper to the launcher; the guest has no way to write here.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromKeeper {
    /// The user namespace waits for its maps.
    Unmapped,
    /// Pid 1 waits to be put into control groups; its id on the host.
    Entered(i32),
    /// A step ended.
    StepEnded(StepEnded),
    /// The jail could not be made: not the guest's doing.
    Failed(String),
    /// A step failed, and the disk under the jail has only so many bytes left.
    Full(u64),
    /// A limit that the keeper watches was reached, and the guest ended.
    Breached(Breached),
    /// A file follows, in frames of raw data, `size` bytes in all.
    File(FileHead),
    /// A file that was not taken, and why.
    Refused {
        /// Its name, tamed.
        name: String,
        /// Why.
        why: String,
    },
    /// A terminal's other end comes with this message, as a descriptor.
    Terminal,
    /// The other end of a step's stream comes with this message, as a descriptor.
    Stream,
    /// What listens at the jail's door comes with this message, as a descriptor.
    Door,
    /// Every process is dead, everything is collected and removed.
    Ended,
}

/// What was collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHead {
    /// Which entry of the plan's `collect` it is of.
    pub collect: usize,
    /// Its own name, without a path.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// How a step ended and what it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEnded {
    /// Which step of the plan.
    pub step: usize,
    /// How it ended.
    pub exit: StepExit,
    /// CPU time in user mode of it and of all that it left, in milliseconds.
    pub user_ms: u64,
    /// CPU time in the kernel, likewise.
    pub system_ms: u64,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepExit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}
