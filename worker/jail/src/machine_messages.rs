//! What a host and its machine say to each other, over the machine's one channel, in frames of
//! `kiln_wire::frame`. What a machine says is what its guest may have made it say.

use kiln_model::Breached;
use serde::{Deserialize, Serialize};

use crate::messages::{FileHead, StepEnded};
use crate::plan::Plan;

/// The version of these messages; host and machine are the same program's, so that another one is
/// a mistake in how it was built.
pub const VERSION: u32 = 1;

/// The kind of a frame that holds what the guest wrote to its log.
pub const LOG: u8 = b'l';

/// The longest message of a machine, in bytes.
pub const FROM_MACHINE_CAP: usize = 64 << 10;

/// The longest message to a machine, in bytes: a plan.
pub const TO_MACHINE_CAP: usize = 4 << 20;

/// Where a machine mounts the layers that it is given, by their numbers.
pub const LAYERS: &str = "/layers";

/// Where it mounts its scratch disk.
pub const SCRATCH: &str = "/scratch";

/// Where it puts the files that it is given.
pub const INPUTS: &str = "/scratch/in";

/// The folder of the plan inside.
pub const FOLDER: &str = "/scratch/jail";

/// The name of the channel, and of the scratch disk; layers are called `layer-N`.
pub const CHANNEL: &str = "kiln";

/// The name by which the scratch disk is found.
pub const SCRATCH_DISK: &str = "scratch";

/// The first thing that a host says. The bytes of the inputs follow, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// [`VERSION`].
    pub version: u32,
    /// The plan, as it is inside: its layers are at [`LAYERS`], what it reads of the host at
    /// [`INPUTS`].
    pub plan: Plan,
    /// How many layers there are.
    pub layers: u32,
    /// The files that come.
    pub inputs: Vec<Input>,
}

/// A file or folder that a machine is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Where, below [`INPUTS`].
    pub at: String,
    /// Its size in bytes; nothing for a folder.
    pub size: Option<u64>,
    /// Its mode.
    pub mode: u32,
    /// When it was last changed, in seconds since 1970.
    pub modified: i64,
}

/// From a machine to its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum FromMachine {
    /// It has started, and found its disks.
    Ready {
        /// [`VERSION`].
        version: u32,
        /// How long the machine has been up, by its own clock, in milliseconds.
        up_ms: u64,
    },
    /// It has the plan and all that comes with it, and begins.
    Began,
    /// A step ended.
    StepEnded(StepEnded),
    /// A file follows, in frames of raw data, `size` bytes in all.
    File(FileHead),
    /// A file was not taken, and why.
    Refused {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// The jail in it could not be made, or not go on.
    Failed(String),
    /// All is done.
    Ended,
    /// A limit was reached, and the steps were ended.
    Breached(Breached),
}
