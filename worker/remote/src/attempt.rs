//! What an attempt asks of control, as messages.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kiln_agent::{Control, LogKind};
use kiln_cas::Cas;
use kiln_model::{Digest, LeaseKey, Lock, LockedPackage, Report, Stage};
use kiln_wire::worker::{
    ClaimedArtifact, Fetched, Pinned, Provide, Provided, ResolveRequest, Resolved, Source,
    StageEnded, StageNote,
};
use tokio::runtime::Handle;

use crate::link::{Link, LinkError};
use crate::logs::LogLine;

/// How many blobs are fetched at once.
const AT_ONCE: usize = 8;

/// Control, as an attempt on another host sees it.
pub(crate) struct Remote<'a> {
    link: &'a Link,
    cas: &'a Cas,
    runtime: Handle,
    key: LeaseKey,
    /// The locks that were given out: what they name may be asked for.
    locks: Mutex<Vec<Lock>>,
    build: LogLine,
    root: LogLine,
}

impl<'a> Remote<'a> {
    pub(crate) fn new(link: &'a Link, cas: &'a Cas, runtime: Handle, key: LeaseKey) -> Self {
        let (build, root) = (LogLine::new("build"), LogLine::new("root"));
        Self { link, cas, runtime, key, locks: Mutex::default(), build, root }
    }

    /// Both logs, for whoever sends them.
    pub(crate) fn logs(&self) -> [&LogLine; 2] {
        [&self.build, &self.root]
    }

    /// Fetches what is to be built.
    pub(crate) fn fetch_sources(&self, source: &Source) -> Result<(), LinkError> {
        let wanted = source.files().iter().map(|file| (file.digest, file.size));
        self.runtime.block_on(self.fetch_all(wanted.collect()))
    }

    async fn fetch_all(&self, wanted: BTreeSet<(Digest, u64)>) -> Result<(), LinkError> {
        stream::iter(wanted)
            .map(async |(digest, size)| self.link.fetch(self.cas, self.key, &digest, size).await)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// The lock that these packages are those of.
    fn lock_of(&self, packages: &[&LockedPackage]) -> Option<Digest> {
        let locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let has_all = |lock: &&Lock| {
            let its: BTreeSet<&Digest> = lock.every_package().map(|one| &one.digest).collect();
            packages.iter().all(|package| its.contains(&package.digest))
        };
        locks.iter().find(has_all).map(kiln_parse::lock::digest)
    }
}

impl Control for Remote<'_> {
    fn resolve(&self, request: &ResolveRequest) -> Result<Resolved, Report> {
        let asked = self.link.insist("/worker/v1/resolve", request);
        let resolved: Resolved = self.runtime.block_on(asked).map_err(|error| error.report())?;
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.extend([resolved.base.clone(), resolved.lock.clone()]);
        Ok(resolved)
    }

    fn provide(&self, key: LeaseKey, packages: &[&LockedPackage]) -> Result<u64, Report> {
        let missing: BTreeSet<(Digest, u64)> = packages
            .iter()
            .filter(|package| !self.cas.has(&package.digest))
            .map(|package| (package.digest, package.size))
            .collect();
        let count = missing.len() as u64;
        let Some(lock) = self.lock_of(packages) else {
            let error = "packages were asked for that no lock names".to_owned();
            let fault = kiln_model::Fault::Kiln;
            return Err(Report { fault, error, causes: Vec::new(), hint: None });
        };
        let work = async {
            let asked = Provide { key, lock };
            let _: Provided = self.link.insist("/worker/v1/provide", &asked).await?;
            self.fetch_all(missing).await
        };
        self.runtime.block_on(work).map_err(|error| error.report())?;
        Ok(count)
    }

    fn deliver(&self, key: LeaseKey, artifact: &ClaimedArtifact) -> Result<(), Report> {
        let ClaimedArtifact { digest, size, .. } = artifact;
        let handed = self.link.deliver(self.cas, key, digest, *size);
        self.runtime.block_on(handed).map_err(|error| error.report())
    }

    fn pin(&self, fetched: &Fetched) -> Result<Source, Report> {
        let asked = self.link.insist("/worker/v1/source", fetched);
        let pinned: Pinned = self.runtime.block_on(asked).map_err(|error| error.report())?;
        // Another attempt may have been faster: then it is what that one fetched.
        self.fetch_sources(&pinned.source).map_err(|error| error.report())?;
        Ok(pinned.source)
    }

    fn stage_began(&self, _: LeaseKey, stage: Stage) {
        tracing::debug!(job = %self.key.job, stage = stage.word(), "began");
    }

    fn stage_ended(&self, key: LeaseKey, ended: &StageEnded) {
        let note = StageNote { key, ended: ended.clone() };
        if let Err(error) = self.runtime.block_on(self.link.tell("/worker/v1/stage", &note)) {
            tracing::warn!(job = %key.job, %error, "telling that a stage ended");
        }
    }

    fn log(&self, _: LeaseKey, kind: LogKind, bytes: &[u8]) -> io::Result<()> {
        match kind {
            LogKind::Build => self.build.push(bytes),
            LogKind::Root => self.root.push(bytes),
        }
    }
}
