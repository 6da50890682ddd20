//! The stronger backend: the same plan, in a jail, in a machine that ends with it.
//!
//! ```text
//! worker                     makes images of layers and a scratch disk, starts, listens, checks
//!   keeper, pid 1            of a jail with `policy/emulator.toml`
//!     emulator               sees its firmware, the images and the scratch disk, and no network
//!       machine              a kernel of its own, our init, and in it the jail of the plan
//! ```
//!
//! Inside runs the same keeper as outside, so that a plan means the same in both backends. What
//! comes out of a machine is what its guest may have made of it: names, sizes and counts are
//! checked here once more, and no disk that it wrote is ever mounted.

mod emulator;
mod frames;
mod host;
mod images;
mod initrd;
mod inside;
mod kernel;
mod scratch;
mod talk;

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kiln_model::{Digest, Fault, Faulty, Foreign, Limits};

use crate::cancel::Cancel;
use crate::ids::IdMap;
use crate::keeper::Strength;
use crate::launch::{End, Event, JailError, Launcher, Outcome};
use crate::plan::{Plan, PlanError};

pub use emulator::Accelerator;
use emulator::{Emulator, Hardware};
use images::{Images, MakingPlace};
use inside::Inside;
pub use kernel::Kernel;
use talk::{Said, Talk};

/// How long a machine may take from its start to its first word.
const START: Duration = Duration::from_secs(120);

/// How long it may take to take what it is told.
const BEGIN: Duration = Duration::from_secs(60);

/// How often a machine is started that does not get as far as that.
const TRIES: u32 = 2;

/// The same where it only is to be seen whether it starts at all.
const TRIAL: Duration = Duration::from_secs(20);

/// How much of a machine's console is kept, for an error.
const CONSOLE: usize = 1500;

/// Starts machines.
#[derive(Debug, Clone)]
pub struct MicroVm {
    launcher: Launcher,
    emulator: Emulator,
    images: Images,
    kernel: Kernel,
    initrd: PathBuf,
    empty: PathBuf,
    accelerator: Accelerator,
    strength: Strength,
}

/// What machines are made of.
#[derive(Debug)]
pub struct MicroVmSettings<'a> {
    /// Starts the jails that emulators run in.
    pub launcher: Launcher,
    /// The program that is init inside: `kiln_guest::PROGRAM`.
    pub program: &'a [u8],
    /// Trees in which a kernel is looked for, the first that has one counts.
    pub kernels: Vec<PathBuf>,
    /// A folder for what is made once.
    pub state: PathBuf,
    /// Whether weakened plans are carried out too.
    pub strength: Strength,
}

/// Why there is no machine, or no image for one.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A program or file that is not here, and the package that has it.
    #[error("this host has no {0}")]
    Lacking(&'static str, &'static str),
    /// No kernel was found.
    #[error("no kernel for machines was found")]
    Kernel,
    /// A layer that is no folder of a store of layers.
    #[error("not a layer's tree: {}", .0.display())]
    Tree(PathBuf),
    /// An image could not be made.
    #[error("making an image of a layer: mkfs.erofs says {0}")]
    Image(Foreign),
    /// A scratch disk could not be made.
    #[error("making a scratch disk: mke2fs says {0}")]
    Scratch(Foreign),
    /// The machine did not start.
    #[error("the machine did not start: {0}")]
    Start(Foreign),
    /// Someone ended it.
    #[error("cancelled")]
    Cancelled,
    /// The jail that it was to be made in could not be made.
    #[error("making a machine")]
    Jail(#[source] Box<JailError>),
    /// The system refused.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

impl Faulty for MachineError {
    fn fault(&self) -> Fault {
        match self {
            Self::Lacking(..)
            | Self::Kernel
            | Self::Image(_)
            | Self::Scratch(_)
            | Self::Start(_)
            | Self::Io { .. } => Fault::Host,
            Self::Tree(_) => Fault::Kiln,
            Self::Cancelled => Fault::Caller,
            Self::Jail(error) => error.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Lacking(_, package) => Some(format!("it comes with the package {package}")),
            Self::Kernel => Some(
                "'scripts/guest-kernel' unpacks one, without installing it; or name a folder with \
                 KILN_GUEST_KERNEL"
                    .to_owned(),
            ),
            Self::Start(_) | Self::Image(_) | Self::Scratch(_) => {
                Some("'kiln doctor' tries a machine and says what this host lacks".to_owned())
            }
            Self::Jail(error) => error.hint(),
            Self::Tree(_) | Self::Cancelled | Self::Io { .. } => None,
        }
    }
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> MachineError {
    move |source| MachineError::Io { doing, source }
}

impl From<JailError> for MachineError {
    fn from(error: JailError) -> Self {
        Self::Jail(Box::new(error))
    }
}

impl MicroVm {
    /// Finds what machines are made of on this host, and tries whether its processor can run
    /// them. That a device is there says little: a machine is started.
    pub fn open(settings: MicroVmSettings<'_>) -> Result<Self, MachineError> {
        const DOING: &str = "preparing machines";
        let MicroVmSettings { launcher, program, kernels, state, strength } = settings;
        let emulator = Emulator::find()?;
        let mkfs = host::HostProgram::find(&["mkfs.erofs"]).map_err(failed(DOING))?;
        let mkfs = mkfs.ok_or(MachineError::Lacking("mkfs.erofs", "erofs-utils"))?;
        scratch::program().ok_or(MachineError::Lacking("mke2fs", "e2fsprogs"))?;
        let kernel = kernels.iter().find_map(|root| Kernel::find_in(root));
        let kernel = kernel.ok_or(MachineError::Kernel)?;
        let empty = state.join("empty");
        DirBuilder::new().recursive(true).create(&empty).map_err(failed(DOING))?;
        let drivers = kernel.drivers().map_err(failed("reading the drivers of a kernel"))?;
        let initrd = keep(&state, &initrd::initrd(program, &drivers)).map_err(failed(DOING))?;
        let images = Images { program: mkfs };
        let accelerator = Accelerator::Tcg;
        let mut machines =
            Self { launcher, emulator, images, kernel, initrd, empty, accelerator, strength };
        if kvm_is_there() {
            machines.accelerator = Accelerator::Kvm;
            if machines.try_start(&state).is_err() {
                machines.accelerator = Accelerator::Tcg;
            }
        }
        Ok(machines)
    }

    /// What runs the machines' instructions.
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    /// The kernel that they start.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Starts a machine and ends it; how long it took to its first word, and how long it had been
    /// up by its own clock then.
    pub fn try_start(&self, state: &Path) -> Result<(Duration, Duration), MachineError> {
        const DOING: &str = "trying a machine";
        let folder = state.join(format!("trial-{}", std::process::id()));
        make_open(&folder).map_err(failed(DOING))?;
        let ids = IdMap::of_slot(0).map_err(JailError::from)?;
        let limits = Limits {
            memory: 256 << 20,
            disk: 1 << 20,
            inodes: 64,
            wall: TRIAL.as_secs(),
            ..Limits::default()
        };
        let plan = Plan { limits, ..Plan::that_cleans(folder.clone(), ids) };
        let cancel = Cancel::new().map_err(failed(DOING))?;
        let began = Instant::now();
        let (mut took, mut up) = (None, Duration::ZERO);
        let started = self.machine(&plan, &[], (0, 0), &cancel, &mut |stream| {
            let mut talk = Talk::new(&plan, stream, &cancel);
            up = talk.hear_ready(TRIAL)?;
            took = Some(began.elapsed());
            Ok(Said::Ended(Outcome { steps: Vec::new(), end: End::Done }))
        });
        let _ = fs::remove_dir_all(&folder);
        started?;
        took.map(|took| (took, up)).ok_or_else(|| MachineError::Start(Foreign::new("")))
    }

    /// Runs a plan to its end, as [`Launcher::run`] does. The machine is gone when this returns,
    /// and all that it wrote with it.
    pub fn run(
        &self,
        plan: &Plan,
        cancel: &Cancel,
        on: &mut dyn FnMut(Event<'_>) -> io::Result<()>,
    ) -> Result<Outcome, JailError> {
        plan.check()?;
        if self.strength == Strength::Full && !plan.without.is_empty() {
            return Err(PlanError::Weakened.into());
        }
        if plan.only_cleans() {
            return self.launcher.run(plan, cancel, on);
        }
        let inside = Inside::of(plan)?;
        let place =
            MakingPlace { folder: &plan.folder, empty: &self.empty, ids: &plan.ids, cancel };
        let images = inside.trees.iter().map(|tree| self.images.of(tree, &self.launcher, &place));
        let images = match images.collect::<Result<Vec<_>, _>>() {
            Err(MachineError::Cancelled) => return Ok(cancelled()),
            images => images?,
        };
        let inputs = inside.counts();
        tried(|| {
            self.machine(plan, &images, inputs, cancel, &mut |stream| {
                let mut talk = Talk::new(plan, stream, cancel);
                talk.hear_ready(START)?;
                talk.begin(&inside)?;
                talk.hear_began(BEGIN)?;
                talk.listen(on)
            })
        })
    }

    /// Starts a machine with these disks and lets `speak` speak with it; when this returns it is
    /// gone.
    fn machine(
        &self,
        plan: &Plan,
        images: &[PathBuf],
        inputs: (u64, u64),
        cancel: &Cancel,
        speak: &mut dyn FnMut(UnixStream) -> Result<Said, JailError>,
    ) -> Result<Outcome, JailError> {
        const SCRATCH: &str = "scratch";
        let folder = plan.folder.join("machine");
        make_open(&folder)
            .and_then(|()| make_open(&folder.join("emulator")))
            .map_err(failed("making a machine's folder"))?;
        scratch::make(&folder.join(SCRATCH), &plan.limits, inputs)?;
        let hardware = Hardware {
            accelerator: self.accelerator,
            kernel: &self.kernel.image,
            initrd: &self.initrd,
            layers: images,
            scratch: (SCRATCH, scratch::size_for(&plan.limits, inputs.1)),
            limits: &plan.limits,
            cpus: &plan.cpus,
            clock: plan.clock,
        };
        let outer = self.emulator.plan(&hardware, folder.clone(), &self.empty, &plan.ids);
        let result = self.run_beside(&outer, speak);
        // Its content is gone with the jail; the folders are ours.
        let removed = fs::remove_dir_all(&folder);
        let outcome = match result {
            Err(_) if cancel.is_cancelled() => cancelled(),
            result => result?,
        };
        removed.map_err(failed("removing a machine's folder"))?;
        Ok(outcome)
    }

    /// Runs the emulator's jail in a thread of its own while this one speaks with the machine.
    fn run_beside(
        &self,
        outer: &Plan,
        speak: &mut dyn FnMut(UnixStream) -> Result<Said, JailError>,
    ) -> Result<Outcome, JailError> {
        let stop = Cancel::new().map_err(failed("preparing to stop a machine"))?;
        let (hand_over, taken) = mpsc::channel();
        let mut console = Vec::new();
        let (said, ended) = std::thread::scope(|scope| {
            let (stop, console) = (&stop, &mut console);
            let emulator = scope.spawn(move || {
                self.launcher.run(outer, stop, &mut |event| {
                    match event {
                        Event::Stream(stream) => drop(hand_over.send(UnixStream::from(stream))),
                        Event::Log(bytes) => keep_tail(console, bytes),
                        _ => {}
                    }
                    Ok(())
                })
            });
            let said = taken.recv().map_or(Ok(Said::Gone { had_begun: false }), &mut *speak);
            if !matches!(said, Ok(Said::Gone { .. })) {
                stop.cancel();
            }
            (said, emulator.join())
        });
        let ended = ended.map_err(|_| failed("running an emulator")(io::Error::other("lost")))?;
        let said = said.map_err(|error| with_console(error, &console))?;
        match (said, ended?) {
            (Said::Ended(outcome), _) => Ok(outcome),
            (Said::Gone { .. }, Outcome { end: End::Breached(breached), .. }) => {
                Ok(Outcome { steps: Vec::new(), end: End::Breached(breached) })
            }
            (Said::Gone { had_begun }, _) => {
                let told = Foreign::from_bytes(&console);
                match had_begun {
                    true => Err(JailError::Machine(format!("it ended before its steps: {told}"))),
                    false => Err(MachineError::Start(told).into()),
                }
            }
        }
    }
}

/// Carries a plan out in a machine. Of one that does not start nothing was run or told of: another
/// one may do better.
fn tried<T>(mut machine: impl FnMut() -> Result<T, JailError>) -> Result<T, JailError> {
    for _ in 1..TRIES {
        match machine() {
            Err(JailError::Host(error)) if matches!(*error, MachineError::Start(_)) => {}
            ended => return ended,
        }
    }
    machine()
}

fn cancelled() -> Outcome {
    Outcome { steps: Vec::new(), end: End::Cancelled }
}

/// What a machine that does not start says on its console tells why.
fn with_console(error: JailError, console: &[u8]) -> JailError {
    match error {
        JailError::Host(error) => match *error {
            MachineError::Start(told) if !console.is_empty() => {
                let console = Foreign::from_bytes(console);
                MachineError::Start(Foreign::new(&format!("{told}; its console: {console}"))).into()
            }
            other => other.into(),
        },
        other => other,
    }
}

fn keep_tail(console: &mut Vec<u8>, bytes: &[u8]) {
    console.extend_from_slice(bytes);
    let over = console.len().saturating_sub(CONSOLE);
    console.drain(..over);
}

/// Whether this user may ask the processor for machines at all.
fn kvm_is_there() -> bool {
    use rustix::fs::{Access, access};
    access("/dev/kvm", Access::READ_OK | Access::WRITE_OK).is_ok()
}

/// Writes what is made once under the name of its content.
fn keep(folder: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let path = folder.join(format!("initrd-{}", Digest::of(bytes).short()));
    if path.exists() {
        return Ok(path);
    }
    let part = path.with_extension(format!("part-{}", std::process::id()));
    fs::write(&part, bytes)?;
    fs::set_permissions(&part, Permissions::from_mode(0o644))?;
    fs::File::open(&part)?.sync_all()?;
    fs::rename(&part, &path)?;
    Ok(path)
}

/// A folder that a jail's root can work in; nobody else gets as far as this.
fn make_open(folder: &Path) -> io::Result<()> {
    DirBuilder::new().create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o777))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::mpsc::{Receiver, Sender};

    use kiln_wire::frame;

    use super::*;
    use crate::machine_messages::{FromMachine, VERSION};

    /// How long a machine may take to its first word here.
    const SOON: Duration = Duration::from_millis(100);

    const READY: FromMachine = FromMachine::Ready { version: VERSION, up_ms: 1 };

    /// What is said by one machine after the other: nothing, by one that hangs. How many were
    /// started, and how it ended.
    fn started(machines: &[&[FromMachine]]) -> (usize, Result<(), JailError>) {
        let mut plan = Plan::that_cleans("/f".into(), IdMap::for_tests());
        plan.steps.clear();
        let cancel = Cancel::new().expect("an eventfd");
        let (open, _kept): (Sender<UnixStream>, Receiver<UnixStream>) = mpsc::channel();
        let mut count = 0;
        let ended = tried(|| {
            let (ours, theirs) = UnixStream::pair().expect("a stream");
            for said in machines[count] {
                let mut words = Vec::new();
                frame::write_message(&mut words, said).expect("a message");
                (&theirs).write_all(&words).expect("written");
            }
            // One that hangs is still there.
            open.send(theirs).expect("kept");
            count += 1;
            let mut talk = Talk::new(&plan, ours, &cancel);
            talk.hear_ready(SOON)?;
            talk.hear_began(SOON)?;
            talk.listen(&mut |_| Ok(())).map(drop)
        });
        (count, ended)
    }

    #[test]
    fn a_machine_that_hangs_before_it_begins_is_tried_once_more() {
        let fine: &[FromMachine] = &[READY, FromMachine::Began, FromMachine::Ended];
        for hung in [&[][..], &[READY]] {
            let (count, ended) = started(&[hung, fine]);
            assert!(ended.is_ok() && count == 2, "{count}: {ended:?}");
            let (count, ended) = started(&[hung, hung, fine]);
            assert_eq!(count, 2, "not for ever");
            let told = format!("{:?}", ended.expect_err("it hung"));
            assert!(told.contains("it says nothing"), "{told}");
        }
    }

    #[test]
    fn a_machine_that_has_begun_is_not_tried_again() {
        // A step that nobody asked for: whatever it ran, it ran.
        let false_word: &[FromMachine] = &[READY, FromMachine::Began, READY];
        let (count, ended) = started(&[false_word, &[]]);
        assert_eq!(count, 1);
        assert!(matches!(ended, Err(JailError::Machine(_))), "{ended:?}");
    }
}
