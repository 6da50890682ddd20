//! Runs one jail of an attempt: its folder, its log, its results into the store.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use kiln_cas::{Cas, Inserter};
use kiln_jail::{
    BUILD_ID, Barrier, BuildUser, Cancel, Collect, End, Event, Grants, Launcher, MicroVm, Mount,
    Outcome, Plan, Run, Step, StepEnded, StepExit,
};
use kiln_model::{Around, Fault, Isolation, LeaseKey, Limits, Outlets};
use kiln_wire::worker::ClaimedArtifact;

use crate::control::{Control, LogKind};
use crate::door::Door;
use crate::error::{AttemptError, io_error};
use crate::kept;
use crate::slot::Slot;

/// Who runs jails: what all jails of one attempt have in common.
pub(crate) struct Jails<'a> {
    pub(crate) launcher: &'a Launcher,
    pub(crate) machines: Option<&'a MicroVm>,
    pub(crate) isolation: Isolation,
    pub(crate) without: &'a [Barrier],
    pub(crate) slot: &'a Slot,
    pub(crate) cas: &'a Cas,
    pub(crate) control: &'a dyn Control,
    pub(crate) cancel: &'a Cancel,
    pub(crate) key: LeaseKey,
    pub(crate) limits: &'a Limits,
    pub(crate) cpus: Vec<u32>,
    /// What all of them see around them.
    pub(crate) around: Around,
}

/// One jail to run.
pub(crate) struct Wanted {
    /// The name of its folder in the slot's scratch.
    pub(crate) name: &'static str,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) steps: Vec<Step>,
    pub(crate) collect: Vec<Collect>,
    pub(crate) limits: Limits,
    pub(crate) address_space: Option<u64>,
    /// Whether no barrier is left out, whatever the others go without.
    pub(crate) is_whole: bool,
    /// The writable layers that stay.
    pub(crate) keep: Vec<String>,
    /// A writable layer that an earlier jail left, to be worked on: its name and where it is.
    pub(crate) begin_with: Option<(String, PathBuf)>,
    /// The only way out of it, if it has one.
    pub(crate) way: Option<Way>,
    pub(crate) log: LogKind,
    /// What is being done, for messages; and whose fault a failure of a step is.
    pub(crate) doing: &'static str,
    pub(crate) fault: Fault,
}

/// A way out of a jail, and how far it leads.
pub(crate) struct Way {
    /// The port of its loopback.
    pub(crate) port: u16,
    /// Whom may be spoken to.
    pub(crate) outlets: Outlets,
    /// The most bytes that may come in.
    pub(crate) bytes: u64,
}

/// What came of a jail.
pub(crate) struct Ran {
    /// Its folder: what was to be kept is in it.
    pub(crate) folder: PathBuf,
    /// What was collected: which entry of `collect`, and the file.
    pub(crate) files: Vec<(usize, ClaimedArtifact)>,
    /// What was not, one line each.
    pub(crate) refused: Vec<String>,
    /// The steps.
    pub(crate) steps: Vec<StepEnded>,
}

impl Ran {
    /// CPU time of all steps, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> u64 {
        self.steps.iter().map(|step| step.user_ms + step.system_ms).sum()
    }

    /// The exit code of the last step.
    pub(crate) fn last_code(&self) -> Option<i32> {
        match self.steps.last()?.exit {
            StepExit::Code(code) => Some(code),
            StepExit::Signal(_) => None,
        }
    }
}

impl Jails<'_> {
    /// Runs it. Nothing of it is left afterwards but what is to be kept.
    pub(crate) fn run(
        &self,
        wanted: Wanted,
        terminal: Option<&dyn Fn(OwnedFd)>,
    ) -> Result<Ran, AttemptError> {
        let machines = self.machines_for(&wanted, terminal.is_some())?;
        let plan = self.plan(&wanted)?;
        let mut results = Results::new(self, &wanted);
        let mut on = |event: Event<'_>| results.take(event, terminal);
        let outcome = match machines {
            Some(machines) => machines.run(&plan, self.cancel, &mut on),
            None => self.launcher.run(&plan, self.cancel, &mut on),
        };
        let Results { files, refused, door, .. } = results;
        let denied = door.map_or_else(Vec::new, |door| door.refused());
        if wanted.keep.is_empty() {
            // Its content is gone; what is left are folders of our own.
            fs::remove_dir_all(&plan.folder).map_err(io_error("removing", &plan.folder))?;
        }
        let outcome = match outcome {
            // Being ended, the keeper may go before it has heard everything: no trouble of its own.
            Err(_) if self.cancel.is_cancelled() => return Err(AttemptError::Cancelled),
            outcome => outcome?,
        };
        match self.judge(&wanted, &outcome) {
            Err(AttemptError::Step { .. }) if !denied.is_empty() => {
                return Err(AttemptError::Outlet(denied));
            }
            judged => judged?,
        }
        Ok(Ran { folder: plan.folder, files, refused, steps: outcome.steps })
    }

    /// What a jail is started by: machines, where the build asks for one. A shell and the fetching
    /// of sources are no code of a package's build and need what a machine has not; layers are kept,
    /// and nothing that a machine wrote is.
    fn machines_for(
        &self,
        wanted: &Wanted,
        has_terminal: bool,
    ) -> Result<Option<&MicroVm>, AttemptError> {
        let needs_host = has_terminal || wanted.way.is_some() || !wanted.keep.is_empty();
        match self.isolation {
            Isolation::Namespaces => Ok(None),
            Isolation::Microvm if needs_host => Ok(None),
            Isolation::Microvm => self.machines.map(Some).ok_or(AttemptError::NoMachines),
        }
    }

    fn plan(&self, wanted: &Wanted) -> Result<Plan, AttemptError> {
        let folder = self.slot.scratch.join(wanted.name);
        self.make_open(&folder)?;
        for mount in &wanted.mounts {
            let Mount::Overlay { upper, .. } = mount else { continue };
            match &wanted.begin_with {
                Some((name, from)) if name == upper => kept::put(from, &folder.join(upper))?,
                _ => self.make_open(&folder.join(upper))?,
            }
        }
        Ok(Plan {
            hostname: self.around.host_name.to_owned(),
            ids: self.slot.ids.clone(),
            folder,
            mounts: wanted.mounts.clone(),
            steps: wanted.steps.clone(),
            collect: wanted.collect.clone(),
            limits: wanted.limits.clone(),
            cpus: self.cpus.clone(),
            address_space: wanted.address_space,
            keep: wanted.keep.clone(),
            door: wanted.way.as_ref().map(|way| way.port),
            build_user: BuildUser {
                name: self.around.user.to_owned(),
                id: BUILD_ID + self.around.user_offset,
                home: self.around.home.to_owned(),
            },
            grants: Grants::Guest,
            clock: None,
            without: if wanted.is_whole { Vec::new() } else { self.without.to_vec() },
        })
    }

    /// A folder that the jail's root can write in; nobody else gets as far as this.
    fn make_open(&self, folder: &PathBuf) -> Result<(), AttemptError> {
        DirBuilder::new().create(folder).map_err(io_error("creating", folder))?;
        fs::set_permissions(folder, Permissions::from_mode(0o777))
            .map_err(io_error("setting the mode of", folder))
    }

    fn judge(&self, wanted: &Wanted, outcome: &Outcome) -> Result<(), AttemptError> {
        match &outcome.end {
            End::Cancelled => return Err(AttemptError::Cancelled),
            End::Breached(breached) => return Err(AttemptError::Limit(breached.clone())),
            End::Done => {}
        }
        let failed = outcome.steps.iter().find(|ended| {
            let also_fine = &wanted.steps[ended.step].also_fine;
            !matches!(ended.exit, StepExit::Code(code) if code == 0 || also_fine.contains(&code))
        });
        match failed {
            None => Ok(()),
            Some(ended) => Err(AttemptError::Step {
                doing: wanted.doing,
                program: program_of(&wanted.steps[ended.step]),
                exit: ended.exit,
                fault: wanted.fault,
            }),
        }
    }
}

/// The name by which a failed step is told.
fn program_of(step: &Step) -> String {
    match &step.run {
        Run::Program { argv } | Run::Stream { argv } | Run::Terminal { argv } => {
            // A shell that runs another program for kiln's sake is not worth telling of.
            let other = argv.iter().filter(|_| argv.get(1).is_some_and(|it| it == "-c"));
            let path = other.into_iter().find(|it| it.starts_with("/usr/bin/"));
            let path = path.or(argv.first()).map_or("", String::as_str);
            path.rsplit('/').next().unwrap_or(path).to_owned()
        }
        Run::Unpack { .. } => "unpacking".to_owned(),
        Run::BuildUser { .. } => "making the build user".to_owned(),
    }
}

/// Takes what a jail hands out.
struct Results<'a> {
    jails: &'a Jails<'a>,
    log: LogKind,
    way: Option<&'a Way>,
    door: Option<Door>,
    open: Option<(usize, String, Inserter<'a>)>,
    files: Vec<(usize, ClaimedArtifact)>,
    refused: Vec<String>,
}

impl<'a> Results<'a> {
    fn new(jails: &'a Jails<'a>, wanted: &'a Wanted) -> Self {
        Self {
            jails,
            log: wanted.log,
            way: wanted.way.as_ref(),
            door: None,
            open: None,
            files: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn take(&mut self, event: Event<'_>, terminal: Option<&dyn Fn(OwnedFd)>) -> io::Result<()> {
        match event {
            Event::Log(bytes) => self.jails.control.log(self.jails.key, self.log, bytes)?,
            Event::File(head) => {
                let inserter = self.jails.cas.insert().map_err(io::Error::other)?;
                self.open = Some((head.collect, head.name.clone(), inserter));
            }
            Event::Bytes(bytes) => {
                if let Some((_, _, inserter)) = &mut self.open {
                    inserter.write_all(bytes)?;
                }
            }
            Event::FileEnd => {
                if let Some((collect, name, inserter)) = self.open.take() {
                    let (digest, size) = inserter.finish().map_err(io::Error::other)?;
                    self.files.push((collect, ClaimedArtifact { name, digest, size }));
                }
            }
            Event::Refused { name, why } => self.refused.push(format!("{name}: {why}")),
            Event::Terminal(descriptor) => {
                if let Some(take) = terminal {
                    take(descriptor);
                }
            }
            Event::Door(listener) => {
                if let Some(way) = self.way {
                    self.door = Some(Door::open(listener, way.outlets.clone(), way.bytes));
                }
            }
            Event::StepEnded(_) | Event::Stream(_) => {}
        }
        Ok(())
    }
}
