//! The keeper: a process of ours beside the jail, root of its user namespace and of nothing else.
//!
//! It starts pid 1, watches it, and when every process is dead takes out the results and removes
//! the rest. It stays in the host's mount and process namespaces, and ends the jail when the
//! launcher is gone, so that nothing is left of a build whose server was killed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use kiln_model::Breached;
use kiln_wire::frame::{self, FrameError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::UnshareFlags;

use crate::clean;
use crate::collect::{self, Collected, lost};
use crate::messages::{FromKeeper, MESSAGE_CAP, ToKeeper};
use crate::mounts::{Doing, SetupError};
use crate::pid1;
use crate::plan::{Barrier, Mount, Plan, PlanError};
use crate::sys::{self, Side};
use crate::terminal::{self, Receiver};
use crate::watch::{INTERVAL, Watch, disk_limit};

/// Below so many bytes a disk counts as full: who finds no room for a file often removes what it
/// has written of it, so there is some.
const FULL: u64 = 32 << 20;

/// Which plans a keeper carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// Only whole jails.
    Full,
    /// Weakened ones too: for the contest, which must see each barrier missing.
    Contest,
}

/// The keeper's main function. Standard input is the stream to the launcher, standard output the
/// log of the guest.
pub fn main(strength: Strength) -> ExitCode {
    match keep(strength) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody is left to be told.
        Err(_) => ExitCode::FAILURE,
    }
}

fn keep(strength: Strength) -> Result<(), SetupError> {
    sys::close_inherited().doing(|| "closing what was inherited".to_owned())?;
    // Out of the terminal's reach: ^C is for the launcher, which ends a jail in good order.
    rustix::process::setsid().doing(|| "starting a session".to_owned())?;
    let control = UnixStream::from(
        rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3).doing(|| "taking the stream".to_owned())?,
    );
    let log =
        rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3).doing(|| "taking the log".to_owned())?;
    let Some(ToKeeper::Plan(plan)) = hear(&control)? else { return Err(unexpected()) };
    let mut keeper = Keeper { control, plan: *plan, folder: None };
    if let Err(error) = keeper.run(strength, log) {
        keeper.say(&FromKeeper::Failed(pid1::told(&error)))?;
    }
    if let Some(folder) = &keeper.folder
        && let Err(error) = clean::clean(folder, &keeper.plan.keep)
    {
        keeper.say(&FromKeeper::Failed(pid1::told(&error)))?;
    }
    keeper.say(&FromKeeper::Ended)
}

struct Keeper {
    control: UnixStream,
    plan: Plan,
    /// The plan's folder, once this process is root of the user namespace.
    folder: Option<OwnedFd>,
}

/// Why the guest was watched no longer.
enum Watched {
    /// Pid 1 is done.
    Done,
    /// Pid 1 is done, and its last step, or the jail, failed.
    Failed,
    /// A limit was reached.
    Breached(Breached),
    /// The launcher wants an end, or is gone.
    Stopped,
}

impl Keeper {
    fn run(&mut self, strength: Strength, log: OwnedFd) -> Result<(), SetupError> {
        check(&self.plan, strength)
            .map_err(|error| SetupError::new(error, io::ErrorKind::InvalidInput))?;
        sys::unshare(UnshareFlags::NEWUSER).doing(|| "entering a user namespace".to_owned())?;
        self.say(&FromKeeper::Unmapped)?;
        let Some(ToKeeper::Mapped) = hear(&self.control)? else { return Err(unexpected()) };
        if self.plan.only_cleans() {
            return self.become_root();
        }
        // For the children of this process; it stays where it is itself.
        sys::unshare(UnshareFlags::NEWPID).doing(|| "making a process namespace".to_owned())?;
        let (ours, theirs) = UnixStream::pair().doing(|| "making a stream to pid 1".to_owned())?;
        let pid1 = match sys::fork().doing(|| "starting pid 1".to_owned())? {
            Side::Child => {
                drop(ours);
                std::process::exit(pid1::run(&self.plan, theirs, &log))
            }
            Side::Parent(pid1) => pid1,
        };
        drop((theirs, log));
        let result = self.keep_pid1(pid1, ours);
        // Whatever happened: when this has been waited for, no process of the jail is left.
        let _ = rustix::process::kill_process(pid1, Signal::KILL);
        wait_for(pid1)?;
        match result? {
            Watched::Done => self.collect(),
            Watched::Failed => self.look_at_disk(),
            Watched::Stopped => Ok(()),
            Watched::Breached(breached) => self.say(&FromKeeper::Breached(breached)),
        }
    }

    fn keep_pid1(&mut self, pid1: Pid, mut status: UnixStream) -> Result<Watched, SetupError> {
        self.say(&FromKeeper::Entered(pid1.as_raw_pid()))?;
        let Some(ToKeeper::Grouped { counts_memory }) = hear(&self.control)? else {
            return Err(unexpected());
        };
        io::Write::write_all(&mut status, b"g").doing(|| "starting pid 1".to_owned())?;
        self.become_root()?;
        self.watch(pid1, &status, counts_memory)
    }

    /// Opens the plan's folder and becomes root of the user namespace: from here on this process
    /// may do in the host's tree what the folder's descriptor allows, and nothing else.
    fn become_root(&mut self) -> Result<(), SetupError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&self.plan.folder, flags, Mode::empty())
            .doing(|| format!("opening {}", self.plan.folder.display()))?;
        pid1::become_root()?;
        rustix::process::set_parent_process_death_signal(None)
            .doing(|| "staying beyond the launcher".to_owned())?;
        self.folder = Some(folder);
        Ok(())
    }

    fn watch(
        &self,
        pid1: Pid,
        status: &UnixStream,
        counts_memory: bool,
    ) -> Result<Watched, SetupError> {
        let folder = self.folder.as_ref().expect("opened before the watch begins");
        let mut watch =
            Watch::new(pid1, folder, uppers(&self.plan), &self.plan.limits, counts_memory);
        let mut failed = false;
        loop {
            match wait_for_news(&self.control, status)? {
                News::Nothing => {
                    if let Some(breached) = watch.look()
                        && !self.plan.is_without(Barrier::Limits)
                    {
                        return Ok(Watched::Breached(breached));
                    }
                }
                News::Launcher => return Ok(Watched::Stopped),
                News::Pid1 => match self.pass_on(status)? {
                    Passed::End if failed => return Ok(Watched::Failed),
                    Passed::End => return Ok(Watched::Done),
                    Passed::Good => {}
                    Passed::Bad => failed = true,
                },
            }
        }
    }

    /// Passes a message of pid 1 on to the launcher.
    fn pass_on(&self, status: &UnixStream) -> Result<Passed, SetupError> {
        let mut receiver = Receiver::new(status);
        let Some(message) =
            frame::read_message::<FromKeeper>(&mut receiver, MESSAGE_CAP).map_err(lost)?
        else {
            return Ok(Passed::End);
        };
        let comes_along =
            matches!(message, FromKeeper::Terminal | FromKeeper::Stream | FromKeeper::Door);
        if let (true, Some(descriptor)) = (comes_along, &receiver.descriptor) {
            terminal::send(self.control.as_fd(), &message, descriptor.as_fd())?;
            return Ok(Passed::Good);
        }
        self.say(&message)?;
        Ok(match &message {
            FromKeeper::StepEnded(ended) if self.plan.steps[ended.step].is_fine(ended.exit) => {
                Passed::Good
            }
            _ => Passed::Bad,
        })
    }

    fn collect(&self) -> Result<(), SetupError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        match collect::collect(&self.plan, folder, &mut &self.control)? {
            Collected::All => Ok(()),
            Collected::TooMuch(breached) => self.say(&FromKeeper::Breached(breached)),
        }
    }

    /// Whatever a step says why it failed: over the limit or on a full disk, that is why. Looked at
    /// before anything is removed.
    fn look_at_disk(&self) -> Result<(), SetupError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        if !self.plan.is_without(Barrier::Limits)
            && let Some(breached) = disk_limit(folder, &uppers(&self.plan), &self.plan.limits)
        {
            return self.say(&FromKeeper::Breached(breached));
        }
        let disk = rustix::fs::fstatvfs(folder).doing(|| "looking at the disk".to_owned())?;
        let left = disk.f_bavail * disk.f_frsize;
        if left < FULL || disk.f_files > 0 && disk.f_favail == 0 {
            self.say(&FromKeeper::Full(left))?;
        }
        Ok(())
    }

    fn say(&self, message: &FromKeeper) -> Result<(), SetupError> {
        frame::write_message(&mut &self.control, message).map_err(lost)
    }
}

/// What became of a message of pid 1.
enum Passed {
    /// A step went well, or there is a terminal.
    Good,
    /// A step, or the jail, failed.
    Bad,
    /// There are no more.
    End,
}

fn check(plan: &Plan, strength: Strength) -> Result<(), PlanError> {
    if strength == Strength::Full && !plan.without.is_empty() {
        return Err(PlanError::Weakened);
    }
    plan.check()
}

fn uppers(plan: &Plan) -> Vec<&str> {
    plan.mounts
        .iter()
        .filter_map(|mount| match mount {
            Mount::Overlay { upper, .. } => Some(upper.as_str()),
            _ => None,
        })
        .collect()
}

enum News {
    Launcher,
    Pid1,
    Nothing,
}

fn wait_for_news(control: &UnixStream, status: &UnixStream) -> Result<News, SetupError> {
    let mut descriptors = [PollFd::new(status, PollFlags::IN), PollFd::new(control, PollFlags::IN)];
    let most = Timespec::try_from(INTERVAL).expect("half a second fits");
    match poll(&mut descriptors, Some(&most)) {
        Err(rustix::io::Errno::INTR) => return Ok(News::Nothing),
        result => result.doing(|| "waiting for news".to_owned())?,
    };
    // A word or an end of the launcher's means the same here: stop.
    let [status, control] = descriptors.map(|descriptor| !descriptor.revents().is_empty());
    Ok(match (status, control) {
        (_, true) => News::Launcher,
        (true, false) => News::Pid1,
        (false, false) => News::Nothing,
    })
}

fn wait_for(pid: Pid) -> Result<(), SetupError> {
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            result => return result.map(drop).doing(|| "waiting for pid 1".to_owned()),
        }
    }
}

fn hear(control: &UnixStream) -> Result<Option<ToKeeper>, SetupError> {
    frame::read_message(&mut &*control, MESSAGE_CAP).map_err(lost)
}

fn unexpected() -> SetupError {
    lost(FrameError::Io(io::ErrorKind::ConnectionAborted.into()))
}
