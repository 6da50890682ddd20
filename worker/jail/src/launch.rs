//! The launcher: starts a keeper for a plan and hands on what comes back.
//!
//! Runs in the worker, as an ordinary user. It is the only part that calls a program of the host:
//! `newuidmap` and `newgidmap`, which write the id maps that this user is entitled to.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kiln_model::{Breached, Fault, Faulty, Foreign, Limit};
use kiln_wire::frame::{self, FrameError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::cancel::Cancel;
use crate::cgroup::{Controllers, Group};
use crate::ids::{Extent, IdError};
use crate::messages::{FileHead, FromKeeper, MESSAGE_CAP, StepEnded, ToKeeper};
use crate::plan::{Barrier, Plan, PlanError};
use crate::rate::Rate;
use crate::terminal::Receiver;

/// Starts jails.
#[derive(Debug, Clone)]
pub struct Launcher {
    keeper: PathBuf,
    arguments: Vec<String>,
    controllers: Controllers,
    /// Whether this process may write id maps itself: as root, which it is in a machine alone.
    maps_itself: bool,
}

/// Something that happens while a jail runs, in the order in which it is heard of.
#[derive(Debug)]
pub enum Event<'a> {
    /// The guest wrote to its log.
    Log(&'a [u8]),
    /// A step ended.
    StepEnded(&'a StepEnded),
    /// The guest has a terminal; this is our end.
    Terminal(OwnedFd),
    /// The other end of a step's stream.
    Stream(OwnedFd),
    /// The jail has a door; this listens at it.
    Door(OwnedFd),
    /// A file begins. Its name is made of the characters of package names and is no path.
    File(&'a FileHead),
    /// Bytes of that file; together as many as its head said.
    Bytes(&'a [u8]),
    /// That file is whole.
    FileEnd,
    /// A file was not taken.
    Refused {
        /// Its name.
        name: &'a Foreign,
        /// Why.
        why: &'a str,
    },
}

/// How a jail ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The steps that ran.
    pub steps: Vec<StepEnded>,
    /// Why it ended.
    pub end: End,
}

/// Why a jail ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The steps are done; the last one tells whether it went well.
    Done,
    /// A limit was reached.
    Breached(Breached),
    /// It was cancelled.
    Cancelled,
}

/// Why there was no jail, or no proper end of it.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// This user has no ids for it.
    #[error("finding ids for a jail")]
    Ids(#[from] IdError),
    /// The plan is wrong.
    #[error("checking the plan of a jail")]
    Plan(#[from] PlanError),
    /// A program of the host did not do its part.
    #[error("running {program}: {told}")]
    Program {
        /// Which.
        program: &'static str,
        /// What it said.
        told: Foreign,
    },
    /// The jail could not be made; the guest has no part in it.
    #[error("making the jail: {0}")]
    Setup(String),
    /// There is no machine.
    #[cfg(feature = "host")]
    #[error("making a machine")]
    Host(#[source] Box<crate::machine::MachineError>),
    /// The machine ended, or says what no machine of ours says: its guest's doing.
    #[error("running a machine: {0}")]
    Machine(String),
    /// A step failed for want of disk.
    #[error("running a jail: its disk is full, only {left} bytes are left")]
    Full {
        /// How many bytes there were.
        left: u64,
    },
    /// The keeper is gone.
    #[error("the jail's keeper is gone")]
    Keeper(#[source] FrameError),
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

impl Faulty for JailError {
    fn fault(&self) -> Fault {
        match self {
            Self::Ids(_)
            | Self::Program { .. }
            | Self::Setup(_)
            | Self::Full { .. }
            | Self::Io { .. } => Fault::Host,
            #[cfg(feature = "host")]
            Self::Host(error) => error.fault(),
            Self::Machine(_) => Fault::Package,
            Self::Plan(_) | Self::Keeper(_) => Fault::Kiln,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Ids(_) | Self::Program { .. } | Self::Setup(_) => Some(
                "'kiln doctor' says what this host lacks, and the command that mends it".into(),
            ),
            Self::Full { .. } => {
                Some("free some disk space; 'kiln cache gc' removes what no lock needs".into())
            }
            #[cfg(feature = "host")]
            Self::Host(error) => error.hint(),
            Self::Machine(_) | Self::Plan(_) | Self::Keeper(_) | Self::Io { .. } => None,
        }
    }
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> JailError {
    move |source| JailError::Io { doing, source }
}

impl Launcher {
    /// Jails whose keeper is started as `keeper` with `arguments`: this same program in another
    /// role, which calls [`crate::keeper_main`].
    pub fn new(keeper: PathBuf, arguments: Vec<String>, controllers: Controllers) -> Self {
        Self { keeper, arguments, controllers, maps_itself: false }
    }

    /// The same for a process that is root of a machine: it asks no program for id maps.
    pub fn of_machine(keeper: PathBuf, arguments: Vec<String>) -> Self {
        let controllers = Controllers::find();
        Self { keeper, arguments, controllers, maps_itself: true }
    }

    /// Runs a plan to its end. Every process of the jail is dead and everything that it wrote is
    /// removed, but for what the plan keeps, when this returns.
    pub fn run(
        &self,
        plan: &Plan,
        cancel: &Cancel,
        on: &mut dyn FnMut(Event<'_>) -> io::Result<()>,
    ) -> Result<Outcome, JailError> {
        plan.check()?;
        if plan.clock.is_some() && !self.maps_itself {
            return Err(PlanError::Unsupported("only a machine has a clock of its own").into());
        }
        let (log, guests_log) = pipe_with(PipeFlags::CLOEXEC)
            .map_err(io::Error::from)
            .map_err(failed("making a pipe"))?;
        // Room for a burst of log without a switch between processes for each line.
        let _ = rustix::pipe::fcntl_setpipe_size(&log, 1 << 20);
        let (control, theirs) = UnixStream::pair().map_err(failed("making a stream"))?;
        let child = Command::new(&self.keeper)
            .args(&self.arguments)
            .stdin(OwnedFd::from(theirs))
            .stdout(guests_log)
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(failed("starting the jail's keeper"))?;
        let limits = &plan.limits;
        let cpus = cpus_of(plan);
        let group =
            self.controllers.group(limits, cpus).map_err(failed("making control groups"))?;
        let counts_memory = !self.controllers.counts_memory();
        let maps_itself = self.maps_itself;
        let mut run =
            Run { plan, control, log, child, group, counts_memory, maps_itself, on, cancel };
        let result = run.go();
        // The keeper ends by itself once its stream is closed, and cleans up before it does.
        let Run { control, mut child, group, .. } = run;
        drop(control);
        child.wait().map_err(failed("waiting for the jail's keeper"))?;
        let (mut outcome, trouble) = result?;
        if let Some(breached) = group.breached(limits) {
            outcome.end = End::Breached(breached);
        }
        match (trouble, &outcome.end) {
            (Some(trouble), End::Done) => Err(trouble),
            _ => Ok(outcome),
        }
    }
}

struct Run<'a> {
    plan: &'a Plan,
    control: UnixStream,
    log: OwnedFd,
    child: Child,
    group: Group,
    counts_memory: bool,
    maps_itself: bool,
    on: &'a mut dyn FnMut(Event<'_>) -> io::Result<()>,
    cancel: &'a Cancel,
}

/// What is known of a run so far.
struct State {
    outcome: Outcome,
    /// What the keeper said of a jail that could not be made, or not go on.
    trouble: Option<JailError>,
    started: Instant,
    heard: Instant,
    logged: u64,
    rate: Rate,
    stopping: bool,
}

impl Run<'_> {
    fn go(&mut self) -> Result<(Outcome, Option<JailError>), JailError> {
        self.say(&ToKeeper::Plan(Box::new(self.plan.clone())))?;
        let now = Instant::now();
        let mut state = State {
            outcome: Outcome { steps: Vec::new(), end: End::Done },
            trouble: None,
            started: now,
            heard: now,
            logged: 0,
            rate: Rate::new(now),
            stopping: false,
        };
        loop {
            let news = self.wait(&state)?;
            if news.log {
                self.hear_log(&mut state)?;
            }
            if news.control && self.hear_keeper(&mut state)? {
                // Nobody writes to the log any more: what is in the pipe is all of it.
                while self.hear_log(&mut state)? {}
                return Ok((state.outcome, state.trouble));
            }
            if news.cancelled && !state.stopping {
                self.stop(&mut state, End::Cancelled)?;
            }
            if let Some(breached) = self.late(&state) {
                self.stop(&mut state, End::Breached(breached))?;
            }
        }
    }

    fn say(&self, message: &ToKeeper) -> Result<(), JailError> {
        frame::write_message(&mut &self.control, message).map_err(JailError::Keeper)
    }

    fn stop(&self, state: &mut State, end: End) -> Result<(), JailError> {
        if !state.stopping {
            state.stopping = true;
            state.outcome.end = end;
            self.say(&ToKeeper::Stop)?;
        }
        Ok(())
    }

    fn wait(&self, state: &State) -> Result<News, JailError> {
        let mut descriptors = [
            PollFd::new(&self.control, PollFlags::IN),
            PollFd::new(&self.log, PollFlags::IN),
            PollFd::from_borrowed_fd(self.cancel.as_fd(), PollFlags::IN),
        ];
        // A cancellation that was heard stays readable, and deadlines stay passed: while the jail
        // stops, its end and its log are all that is waited for.
        let (watched, until) = if state.stopping {
            (2, None)
        } else {
            let left = self.next_deadline(state).saturating_duration_since(Instant::now());
            (3, Timespec::try_from(left.max(Duration::from_millis(1))).ok())
        };
        match poll(&mut descriptors[..watched], until.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed("waiting for a jail")(error.into())),
        }
        let has = |at: usize| !descriptors[at].revents().is_empty();
        Ok(News { control: has(0), log: has(1), cancelled: has(2) })
    }

    fn next_deadline(&self, state: &State) -> Instant {
        let limits = &self.plan.limits;
        let wall = state.started + Duration::from_secs(limits.wall);
        let silence = state.heard + Duration::from_secs(limits.silence);
        wall.min(silence)
    }

    /// The limit on time that is passed, if one is.
    fn late(&self, state: &State) -> Option<Breached> {
        if state.stopping || self.plan.is_without(Barrier::Limits) {
            return None;
        }
        let limits = &self.plan.limits;
        let passed = |since: Instant| since.elapsed().as_secs();
        let (wall, silence) = (passed(state.started), passed(state.heard));
        if wall >= limits.wall {
            Some(Breached { limit: Limit::Wall, allowed: limits.wall, seen: wall })
        } else if silence >= limits.silence {
            Some(Breached { limit: Limit::Silence, allowed: limits.silence, seen: silence })
        } else {
            None
        }
    }

    /// Reads what is in the log's pipe; false at its end.
    fn hear_log(&mut self, state: &mut State) -> Result<bool, JailError> {
        let mut buffer = [0; 1 << 16];
        let count = match rustix::io::read(&self.log, &mut buffer) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => return Ok(true),
            Err(error) => return Err(failed("reading the log")(error.into())),
        };
        if count == 0 {
            return Ok(false);
        }
        state.heard = Instant::now();
        let allowed = self.plan.limits.log;
        let room = usize::try_from(allowed.saturating_sub(state.logged)).unwrap_or(usize::MAX);
        state.logged += count as u64;
        let kept = &buffer[..count.min(room)];
        if !kept.is_empty() {
            (self.on)(Event::Log(kept)).map_err(failed("keeping the log"))?;
        }
        if state.logged > allowed && !self.plan.is_without(Barrier::Limits) {
            let breached = Breached { limit: Limit::Log, allowed, seen: state.logged };
            self.stop(state, End::Breached(breached))?;
        }
        let flood = state.rate.count(count as u64, self.plan.limits.log_rate, state.heard);
        if let Some(breached) = flood.filter(|_| !self.plan.is_without(Barrier::Limits)) {
            self.stop(state, End::Breached(breached))?;
        }
        Ok(true)
    }

    /// Hears one message of the keeper; true when it is the last.
    fn hear_keeper(&mut self, state: &mut State) -> Result<bool, JailError> {
        let mut receiver = Receiver::new(&self.control);
        let message = frame::read_message(&mut receiver, MESSAGE_CAP)
            .and_then(|message| message.ok_or_else(gone))
            .map_err(JailError::Keeper)?;
        let descriptor = receiver.descriptor;
        match message {
            FromKeeper::Unmapped => {
                self.map_ids()?;
                self.say(&ToKeeper::Mapped)?;
            }
            FromKeeper::Entered(pid) => {
                self.group.take(pid).map_err(failed("putting a jail into its control groups"))?;
                self.say(&ToKeeper::Grouped { counts_memory: self.counts_memory })?;
            }
            FromKeeper::StepEnded(ended) => {
                (self.on)(Event::StepEnded(&ended)).map_err(failed("noting a step's end"))?;
                state.outcome.steps.push(ended);
            }
            FromKeeper::Failed(told) => state.trouble = Some(JailError::Setup(told)),
            FromKeeper::Full(left) => state.trouble = Some(JailError::Full { left }),
            FromKeeper::Breached(breached) => state.outcome.end = End::Breached(breached),
            FromKeeper::File(head) => self.take_file(&head)?,
            FromKeeper::Refused { name, why } => {
                let name = Foreign::new(&name);
                (self.on)(Event::Refused { name: &name, why: &why })
                    .map_err(failed("noting a file that was refused"))?;
            }
            FromKeeper::Terminal => {
                if let Some(terminal) = descriptor {
                    (self.on)(Event::Terminal(terminal)).map_err(failed("taking a terminal"))?;
                }
            }
            FromKeeper::Stream => {
                if let Some(stream) = descriptor {
                    (self.on)(Event::Stream(stream)).map_err(failed("taking a stream"))?;
                }
            }
            FromKeeper::Door => {
                if let Some(door) = descriptor {
                    (self.on)(Event::Door(door)).map_err(failed("taking a door"))?;
                }
            }
            FromKeeper::Ended => return Ok(true),
        }
        Ok(false)
    }

    fn take_file(&mut self, head: &FileHead) -> Result<(), JailError> {
        const KEEPING: &str = "keeping a result";
        (self.on)(Event::File(head)).map_err(failed(KEEPING))?;
        let mut left = head.size;
        while left > 0 {
            let frame = frame::read(&mut (&self.control).take(u64::MAX), frame::DATA_CAP)
                .and_then(|frame| frame.ok_or_else(gone))
                .map_err(JailError::Keeper)?;
            let count = frame.body.len() as u64;
            if frame.kind != frame::DATA || count == 0 || count > left {
                return Err(JailError::Keeper(gone()));
            }
            (self.on)(Event::Bytes(&frame.body)).map_err(failed(KEEPING))?;
            left -= count;
        }
        (self.on)(Event::FileEnd).map_err(failed(KEEPING))
    }

    fn map_ids(&self) -> Result<(), JailError> {
        let pid = self.child.id();
        let maps = &self.plan.ids;
        if self.maps_itself {
            write_map(pid, "uid_map", &maps.users)?;
            return write_map(pid, "gid_map", &maps.groups);
        }
        let users = start_mapping("newuidmap", pid, &maps.users)?;
        let groups = start_mapping("newgidmap", pid, &maps.groups)?;
        end_mapping("newuidmap", users)?;
        end_mapping("newgidmap", groups)
    }
}

/// How many CPUs the guest may use at once: where the plan names none, all that there are.
fn cpus_of(plan: &Plan) -> u32 {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    let count = if plan.cpus.is_empty() { all() } else { plan.cpus.len() };
    count.try_into().unwrap_or(u32::MAX)
}

/// Writes an id map (user_namespaces(7)): all of it at once, or the kernel takes none.
fn write_map(pid: u32, file: &str, extents: &[Extent]) -> Result<(), JailError> {
    let line = |it: &Extent| format!("{} {} {}\n", it.inside, it.outside, it.count);
    let text: String = extents.iter().map(line).collect();
    std::fs::write(format!("/proc/{pid}/{file}"), text).map_err(failed("writing an id map"))
}

struct News {
    control: bool,
    log: bool,
    cancelled: bool,
}

fn gone() -> FrameError {
    FrameError::Io(io::ErrorKind::UnexpectedEof.into())
}

fn start_mapping(program: &'static str, pid: u32, extents: &[Extent]) -> Result<Child, JailError> {
    let numbers = extents.iter().flat_map(|extent| [extent.inside, extent.outside, extent.count]);
    Command::new(program)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| JailError::Program { program, told: Foreign::new(&error.to_string()) })
}

fn end_mapping(program: &'static str, child: Child) -> Result<(), JailError> {
    let output = child.wait_with_output().map_err(failed("waiting for an id map"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(JailError::Program { program, told: Foreign::from_bytes(&output.stderr) })
}
