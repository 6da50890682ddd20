//! A lock that someone hands in: kiln's own, or mock's.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use kiln_model::{Foreign, Lock, Report, Requirement};
use kiln_parse::lock::LOCK_CAP;
use kiln_parse::mock_lock::{self, Wanted};

use crate::Failure;

/// What a buildroot is to be made of.
#[derive(Debug)]
pub(crate) enum GivenLock {
    /// Exactly this.
    Kiln(Box<Lock>),
    /// These packages, by name and version: mock's lock has no digest that can be relied on, so
    /// they are found in the target's repositories and locked anew.
    Mock(Vec<Wanted>),
}

impl GivenLock {
    /// Reads a `kiln.lock` or a `buildroot_lock.json`, whichever it is.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(LOCK_CAP as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| unreadable(path, &error.to_string()))?;
        // mock's says its version as text, kiln's as a number.
        let begins = String::from_utf8_lossy(&bytes[..bytes.len().min(1 << 20)]);
        let is_mocks = begins.contains("\"buildroot\"");
        let read = match is_mocks {
            true => mock_lock::read(&bytes).map(Self::Mock).map_err(|error| Report::of(&error)),
            false => kiln_parse::lock::read(&bytes)
                .map(|lock| Self::Kiln(Box::new(lock)))
                .map_err(|error| Report::of(&error)),
        };
        read.map_err(|report| {
            let causes = std::iter::once(report.error).chain(report.causes);
            let mut failure = unreadable(path, "");
            failure.0.causes = causes.collect();
            failure
        })
    }

    /// The lock, where it is one that can be built on as it is.
    pub(crate) fn into_lock(self) -> Option<Lock> {
        match self {
            Self::Kiln(lock) => Some(*lock),
            Self::Mock(_) => None,
        }
    }

    /// What must be in the buildroot, where that is all that is known.
    pub(crate) fn pins(&self) -> Vec<Requirement> {
        let Self::Mock(wanted) = self else { return Vec::new() };
        wanted
            .iter()
            .filter_map(|one| {
                let nevra = &one.nevra;
                let (epoch, version) = (nevra.epoch(), nevra.version());
                let text = format!("{} = {epoch}:{version}-{}", nevra.name(), nevra.release());
                // Keys that rpm keeps in its database are packages to mock, and to nobody else.
                (nevra.name() != "gpg-pubkey").then(|| text.parse().ok()).flatten()
            })
            .collect()
    }
}

fn unreadable(path: &Path, why: &str) -> Failure {
    let shown = Foreign::new(&path.display().to_string());
    let hint = "'kiln lock' writes one, and so does mock (--calculate-build-dependencies)";
    let mut failure =
        Failure::caller(format!("{shown} is not a lock that can be used"), Some(hint.to_owned()));
    failure.0.causes.push(why.to_owned());
    failure
}
