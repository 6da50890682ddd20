//! The jail: the one crate with privilege, and it has none on the host.
//!
//! Zone: `worker/jail`. A [`Plan`] is data; the [`Launcher`] starts a keeper with it, the keeper
//! starts pid 1 in namespaces of its own, pid 1 makes the tree, locks itself in and runs the
//! steps:
//!
//! ```text
//! launcher (the worker)          an ordinary user; maps ids, keeps the log, takes the results
//!   keeper (same program)        root of a user namespace; starts, watches, collects, cleans
//!     pid 1                      of the jail's namespaces; makes the tree, locks itself in
//!       steps                    the guest: what a package brings
//! ```
//!
//! A [`MicroVm`] does the same inside a machine, with the same keeper in it.
//!
//! What does not belong here: what is built, why, and what becomes of it.

mod cancel;
mod cgroup;
mod clean;
mod collect;
mod ids;
mod keeper;
mod launch;
mod lockdown;
#[cfg(feature = "host")]
mod machine;
pub mod machine_messages;
mod messages;
mod mounts;
mod pid1;
mod plan;
mod policy;
mod rate;
mod sys;
mod terminal;
#[cfg(feature = "host")]
mod unpack;
mod watch;

pub use cancel::Cancel;
pub use cgroup::Controllers;
pub use ids::{
    BUILD_ID, Extent, IdError, IdMap, Range, SUBGID, SUBUID, range_of, slots_in, user_name,
};
pub use keeper::{Strength, main as keeper_main};
pub use launch::{End, Event, JailError, Launcher, Outcome};
pub use lockdown::landlock_works;
#[cfg(feature = "host")]
pub use machine::{Accelerator, Kernel, MachineError, MicroVm, MicroVmSettings};
pub use messages::{FileHead, StepEnded, StepExit};
pub use plan::{Barrier, BuildUser, Collect, Grants, Mount, Plan, PlanError, Run, Step, User};
pub use policy::PolicyError;
