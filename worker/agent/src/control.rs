use kiln_model::{LeaseKey, LockedPackage, Report, Stage};
use kiln_wire::worker::{ClaimedArtifact, Fetched, ResolveRequest, Resolved, Source, StageEnded};

/// Which log a piece belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// Making the buildroot.
    Root,
    /// Making and building the source package.
    Build,
}

/// What a worker may ask of control while it holds a lease, and what it tells.
///
/// In one process it is a call, over the network a message; what control answers is the same.
pub trait Control: Send + Sync {
    /// Turns requirements into locks.
    fn resolve(&self, request: &ResolveRequest) -> Result<Resolved, Report>;

    /// Makes sure that these packages are in the worker's store, verified; tells how many were
    /// not there before.
    fn provide(&self, key: LeaseKey, packages: &[&LockedPackage]) -> Result<u64, Report>;

    /// Hands an artifact over; its bytes are in the worker's store.
    fn deliver(&self, key: LeaseKey, artifact: &ClaimedArtifact) -> Result<(), Report>;

    /// Says what was fetched, which was handed over: what the build is of from now on, whose files
    /// are in the worker's store.
    fn pin(&self, fetched: &Fetched) -> Result<Source, Report>;

    /// A stage begins.
    fn stage_began(&self, key: LeaseKey, stage: Stage);

    /// A stage ended.
    fn stage_ended(&self, key: LeaseKey, ended: &StageEnded);

    /// The guest wrote to a log.
    fn log(&self, key: LeaseKey, kind: LogKind, bytes: &[u8]) -> std::io::Result<()>;
}
