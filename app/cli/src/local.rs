//! Control and worker in this one process: what `--local` means. The same flow and the same
//! agent as a service's; only the calls between them are calls.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kiln_agent::{
    Agent, AgentSettings, Control, Folders as WorkerFolders, KeptRoot, LogKind, Slot, SlotError,
    Slots,
};
use kiln_cas::Cas;
use kiln_flow::{Flow, Own, Submission};
use kiln_jail::{Barrier, Cancel, Controllers, Launcher, MachineError, MicroVm, Strength};
use kiln_model::{Isolation, JobId, LeaseKey, Lock, LockedPackage, Report, Stage, Target};
use kiln_store::{JobRecord, Store};
use kiln_wire::worker::{
    ClaimedArtifact, Ending, Fetched, Lease, ResolveRequest, Resolved, Source, StageEnded,
};
use tokio::runtime::Runtime;

use crate::control::{Parts, open_flow};
use crate::failure::doing;
use crate::folders::Folders;
use crate::ui::Ui;
use crate::{Failure, mock_facts, role};

/// Everything that building on this machine takes.
pub(crate) struct Local {
    runtime: Runtime,
    pub(crate) flow: Flow,
    pub(crate) cas: Cas,
    agent: Agent,
    slots: Slots,
    pub(crate) launcher: Launcher,
    cancel: Cancel,
    ui: Arc<Ui>,
    folders: Folders,
    /// Nothing is collected while this process may be using it.
    _in_use: File,
}

impl Local {
    /// Opens the folders and the store, and makes them where there are none. `target` is what can
    /// be built for.
    pub(crate) fn open(
        folders: &Folders,
        target: Option<&Target>,
        isolation: Isolation,
        ui: Arc<Ui>,
    ) -> Result<Self, Failure> {
        Self::open_without(folders, target, isolation, ui, &[])
    }

    /// The same, with barriers left out of every jail: for the contest.
    pub(crate) fn open_without(
        folders: &Folders,
        target: Option<&Target>,
        isolation: Isolation,
        ui: Arc<Ui>,
        without: &[Barrier],
    ) -> Result<Self, Failure> {
        refuse_root()?;
        let in_use = folders.in_use()?;
        let runtime = Runtime::new().map_err(doing("starting the runtime"))?;
        let worker = WorkerFolders::open(folders.data())
            .map_err(doing(format!("opening {}", folders.data().display())))?;
        let cas = Cas::open(&folders.blobs())?;
        let store = runtime.block_on(Store::open(&folders.data().join("kiln.db")))?;
        let flow = {
            let _inside = runtime.enter();
            let parts = Parts { store, targets: target.into_iter().cloned().collect() };
            open_flow(folders, &cas, parts, ui.progress())?
        };
        let (keeper, strength) = match without {
            [] => (role::KEEPER, Strength::Full),
            _ => (role::CONTEST_KEEPER, Strength::Contest),
        };
        let launcher =
            Launcher::new(role::OWN_PROGRAM.into(), vec![keeper.to_owned()], Controllers::find());
        let machines = match isolation {
            Isolation::Namespaces => None,
            Isolation::Microvm => Some(open_machines(folders, &launcher, strength)?),
        };
        let slots = Slots::open(worker.clone(), SLOTS)?;
        let settings = AgentSettings {
            launcher: launcher.clone(),
            machines,
            cas: cas.clone(),
            folders: worker,
            authorities: Vec::new(),
            without: without.to_vec(),
        };
        let agent = Agent::open(settings)?;
        let cancel = Cancel::new().map_err(doing("preparing for ^C"))?;
        watch_for_interrupts(&runtime, &cancel, &ui);
        let folders = folders.clone();
        Ok(Self {
            runtime,
            flow,
            cas,
            agent,
            slots,
            launcher,
            cancel,
            ui,
            folders,
            _in_use: in_use,
        })
    }

    /// Lets a repository of the packager's own take part in the builds that follow.
    pub(crate) fn use_own(&self, own: Own) {
        self.flow.use_own(own);
    }

    /// Submits, leases, builds and accepts; keeps the buildroot where that is asked for. A
    /// package that fails is a record, not an error.
    pub(crate) fn build(
        &self,
        submission: Submission,
        keep: bool,
    ) -> Result<(JobRecord, LeaseKey), Failure> {
        let (lease, slot) = self.begin(submission)?;
        let control = self.control();
        let place = self.folders.kept(lease.key.job);
        let keep = keep.then_some(place.as_path());
        let ending = self.agent.run(&lease, &slot, &control, &self.cancel, keep);
        self.end(&lease, &slot, ending)
    }

    /// Whether the buildroot of a job was kept.
    pub(crate) fn has_kept(&self, job: JobId) -> bool {
        self.folders.kept(job).exists()
    }

    /// Opens a shell in a buildroot that was kept; what is done there stays in it.
    pub(crate) fn enter(&self, job: JobId, terminal: &dyn Fn(OwnedFd)) -> Result<(), Failure> {
        let place = self.folders.kept(job);
        let kept = KeptRoot::read(&place)?;
        let take = || self.slots.take_numbered(kept.slot, &self.launcher);
        let slot = self.wait_for("the slot that it was built in is taken", take)?;
        let control = self.control();
        self.agent.enter(&place, &kept, &slot, &control, &self.cancel, terminal)?;
        Ok(slot.clean(&self.launcher)?)
    }

    /// Opens a shell in the buildroot of a submission.
    pub(crate) fn shell(
        &self,
        submission: Submission,
        terminal: &dyn Fn(OwnedFd),
    ) -> Result<(), Failure> {
        let (lease, slot) = self.begin(submission)?;
        let control = self.control();
        let result = self.agent.shell(&lease, &slot, &control, &self.cancel, terminal);
        // A shell builds nothing: its job ends as one that someone ended.
        self.end(&lease, &slot, Ending::Cancelled)?;
        result.map_err(|error| Failure(error.report()))
    }

    /// The locks of a submission; nothing is built.
    pub(crate) fn lock(&self, submission: Submission) -> Result<Resolved, Failure> {
        let (lease, slot) = self.begin(submission)?;
        let control = self.control();
        let result = self.agent.lock(&lease, &slot, &control, &self.cancel);
        self.end(&lease, &slot, Ending::Cancelled)?;
        result.map_err(|error| Failure(error.report()))
    }

    /// A lock that this made, as mock writes it.
    pub(crate) fn mock_lock(&self, lock: &Lock) -> Result<Vec<u8>, Failure> {
        let facts = mock_facts::of(lock, &self.flow, &self.cas)?;
        Ok(kiln_parse::mock_lock::to_bytes(lock, &facts)?)
    }

    /// Whether the store has some bytes.
    pub(crate) fn has(&self, bytes: &[u8]) -> bool {
        self.cas.has(&kiln_model::Digest::of(bytes))
    }

    /// The end of a log of an attempt.
    pub(crate) fn end_of_log(&self, key: LeaseKey, log: &str, bytes: u64) -> String {
        let tail = self.flow.logs().tail(key, log, bytes).unwrap_or_default();
        String::from_utf8_lossy(&tail).into_owned()
    }

    /// What is known of a job.
    pub(crate) fn record(&self, job: JobId) -> Result<crate::build::Record, Failure> {
        let store = self.flow.store();
        self.runtime.block_on(async {
            let stages = store.stages(job).await?;
            let artifacts = store.artifacts(job).await?;
            Ok(crate::build::Record { stages, artifacts })
        })
    }

    fn begin(&self, submission: Submission) -> Result<(Lease, Slot), Failure> {
        let submitted = self.runtime.block_on(self.flow.submit(submission))?;
        let slot = self.wait_for_slot()?;
        let worker = format!("local/{}", slot.number);
        let lease = self.runtime.block_on(self.flow.lease(submitted.jobs[0], &worker))?;
        Ok((lease, slot))
    }

    fn end(
        &self,
        lease: &Lease,
        slot: &Slot,
        ending: Ending,
    ) -> Result<(JobRecord, LeaseKey), Failure> {
        let record = self.runtime.block_on(self.flow.finish(lease.key, ending));
        self.flow.logs().close(lease.key);
        slot.clean(&self.launcher)?;
        Ok((record?, lease.key))
    }

    /// The first free slot.
    fn wait_for_slot(&self) -> Result<Slot, Failure> {
        let why = format!("all {} slots of this host are taken", self.slots.count());
        self.wait_for(&why, || self.slots.take(&self.launcher))
    }

    /// A slot, as soon as it is to be had. Other kilns of this user hold the others: there is no
    /// event for 'one of many files was unlocked', so it is looked for.
    fn wait_for(
        &self,
        why: &str,
        mut take: impl FnMut() -> Result<Option<Slot>, SlotError>,
    ) -> Result<Slot, Failure> {
        let mut told = false;
        loop {
            if let Some(slot) = take()? {
                return Ok(slot);
            }
            if self.cancel.is_cancelled() {
                return Err(Failure::cancelled());
            }
            if !told {
                self.ui.line(&format!("waiting: {why}"));
                told = true;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn control(&self) -> InProcess<'_> {
        InProcess { runtime: &self.runtime, flow: &self.flow, ui: &self.ui }
    }
}

/// What machines are made of on this host; a kernel is looked for where the environment says, too.
pub(crate) fn open_machines(
    folders: &Folders,
    launcher: &Launcher,
    strength: Strength,
) -> Result<MicroVm, MachineError> {
    let kernels: Vec<_> =
        std::env::var_os("KILN_GUEST_KERNEL").map(PathBuf::from).into_iter().collect();
    kiln_agent::open_machines(launcher.clone(), &kernels, folders.data(), strength)
}

/// How many attempts may run on this host at once.
pub(crate) const SLOTS: u32 = 64;

/// No build ever runs with root on the host, and none of kiln needs it.
pub(crate) fn refuse_root() -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let hint = "run it as an ordinary user, or as one made for it: \
                'scripts/test-user kiln && runuser -u kiln -- kiln …'";
    Err(Failure::caller("kiln does not build as root", Some(hint.to_owned())))
}

/// The first ^C ends the build in good order; the second one ends kiln, and what it started
/// cleans up by itself.
fn watch_for_interrupts(runtime: &Runtime, cancel: &Cancel, ui: &Arc<Ui>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (cancel, ui) = (cancel.clone(), Arc::clone(ui));
    runtime.spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
            signal(SignalKind::hangup()),
        ) else {
            return;
        };
        for _ in 0..2 {
            if cancel.is_cancelled() {
                break;
            }
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            ui.line("stopping: the build is ended and its files are removed");
            cancel.cancel();
        }
        interrupt.recv().await;
        std::process::exit(130);
    });
}

/// What a worker asks of control, as calls in one process.
struct InProcess<'a> {
    runtime: &'a Runtime,
    flow: &'a Flow,
    ui: &'a Arc<Ui>,
}

impl Control for InProcess<'_> {
    fn resolve(&self, request: &ResolveRequest) -> Result<Resolved, Report> {
        self.runtime.block_on(self.flow.resolve(request)).map_err(|error| Report::of(&error))
    }

    fn provide(&self, key: LeaseKey, packages: &[&LockedPackage]) -> Result<u64, Report> {
        self.runtime.block_on(self.flow.provide(key, packages)).map_err(|error| Report::of(&error))
    }

    fn deliver(&self, _: LeaseKey, _: &ClaimedArtifact) -> Result<(), Report> {
        // Worker and control share one store: it is there.
        Ok(())
    }

    fn pin(&self, fetched: &Fetched) -> Result<Source, Report> {
        self.runtime.block_on(self.flow.pin(fetched)).map_err(|error| Report::of(&error))
    }

    fn stage_began(&self, _: LeaseKey, stage: Stage) {
        self.ui.stage_began(stage);
    }

    fn stage_ended(&self, key: LeaseKey, ended: &StageEnded) {
        self.ui.stage_ended(ended);
        if let Err(error) = self.runtime.block_on(self.flow.note_stage(key, ended)) {
            self.ui.line(&format!("noting the stage: {error}"));
        }
    }

    fn log(&self, key: LeaseKey, kind: LogKind, bytes: &[u8]) -> std::io::Result<()> {
        let name = match kind {
            LogKind::Root => "root",
            LogKind::Build => "build",
        };
        self.ui.log(bytes);
        self.flow.logs().append(key, name, bytes)
    }
}
