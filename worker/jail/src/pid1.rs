//! Pid 1 of a jail: enters the namespaces, makes the tree, locks itself in, runs the steps.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use kiln_wire::frame;
use rustix::fs::Mode;
use rustix::process::{Signal, WaitOptions};
use rustix::thread::{Gid, Uid, UnshareFlags};

use crate::lockdown;
use crate::messages::{FromKeeper, StepEnded, StepExit};
use crate::mounts::{self, Doing, SetupError, Sources};
use crate::plan::{Barrier, BuildUser, Plan, Run, Step};
use crate::sys::{self, Side};
use crate::terminal;

/// What pid 1 exits with when it could not make the jail.
pub(crate) const SETUP_FAILED: i32 = 125;

/// Runs the plan; the exit code is for the keeper. Everything else is told over `status`.
pub(crate) fn run(plan: &Plan, mut status: UnixStream, log: &OwnedFd) -> i32 {
    match enter(plan, &mut status, log).and_then(|()| run_steps(plan, &mut status)) {
        Ok(()) => 0,
        Err(error) => {
            let _ = frame::write_message(&mut status, &FromKeeper::Failed(told(&error)));
            SETUP_FAILED
        }
    }
}

pub(crate) fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", told(source)),
        None => error.to_string(),
    }
}

fn enter(plan: &Plan, status: &mut UnixStream, log: &OwnedFd) -> Result<(), SetupError> {
    die_with_parent()?;
    // The launcher puts this process into its control groups while it is still the launcher's
    // user, which is what cgroup v1 asks for.
    let mut go = [0];
    status.read_exact(&mut go).doing(|| "waiting for the keeper".to_owned())?;
    let mut spaces = UnshareFlags::NEWNS | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP;
    if !plan.is_without(Barrier::Network) {
        spaces |= UnshareFlags::NEWNET;
    }
    if !plan.is_without(Barrier::Ipc) {
        spaces |= UnshareFlags::NEWIPC;
    }
    sys::unshare(spaces).doing(|| "entering namespaces".to_owned())?;
    let sources = Sources::open(plan)?;
    // The host's: not every tree has one.
    let null = File::open("/dev/null").doing(|| "opening /dev/null".to_owned())?;
    become_root()?;
    let root = mounts::make_tree(plan, &sources)?;
    mounts::enter(&root)?;
    rustix::system::sethostname(plan.hostname.as_bytes())
        .doing(|| "setting the host name".to_owned())?;
    if !plan.is_without(Barrier::Network) {
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::DGRAM,
            None,
        )
        .doing(|| "opening a socket".to_owned())?;
        sys::bring_loopback_up(&socket).doing(|| "bringing the loopback up".to_owned())?;
        if let Some(port) = plan.door {
            open_door(port, status)?;
        }
    }
    take_cpus(&plan.cpus)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let outside = sources.into_folder();
    set_streams(&null, log)?;
    lockdown::lock_down(plan, &outside)?;
    if plan.is_without(Barrier::ClosedFolders) {
        rustix::io::fcntl_setfd(&outside, rustix::io::FdFlags::empty())
            .doing(|| "leaving a folder open".to_owned())?;
        std::mem::forget(outside);
    }
    Ok(())
}

/// Listens on this jail's own loopback, and hands that to the launcher. A socket stays in the
/// network in which it was made: what is taken from it there comes from in here and nowhere else.
fn open_door(port: u16, status: &UnixStream) -> Result<(), SetupError> {
    let door = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port))
        .doing(|| "listening at the door".to_owned())?;
    terminal::send(status.as_fd(), &FromKeeper::Door, door.as_fd())
}

/// The kernel sends SIGKILL here when the keeper dies; a change of user takes that back, so it
/// is asked for after each one.
pub(crate) fn die_with_parent() -> Result<(), SetupError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .doing(|| "asking to die with the parent".to_owned())
}

pub(crate) fn become_root() -> Result<(), SetupError> {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    rustix::thread::set_thread_groups(&[]).doing(|| "dropping groups".to_owned())?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).doing(|| "taking group 0".to_owned())?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).doing(|| "taking user 0".to_owned())?;
    die_with_parent()
}

fn take_cpus(cpus: &[u32]) -> Result<(), SetupError> {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = rustix::thread::CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu as usize));
    rustix::thread::sched_setaffinity(None, &set).doing(|| "taking CPUs".to_owned())
}

/// Standard input is nothing, output and errors are the log. No other descriptor of the host's
/// outlives an exec, since all are close-on-exec.
fn set_streams(null: &File, log: &OwnedFd) -> Result<(), SetupError> {
    rustix::stdio::dup2_stdin(null).doing(|| "closing standard input".to_owned())?;
    rustix::stdio::dup2_stdout(log).doing(|| "setting standard output".to_owned())?;
    rustix::stdio::dup2_stderr(log).doing(|| "setting standard error".to_owned())
}

fn run_steps(plan: &Plan, status: &mut UnixStream) -> Result<(), SetupError> {
    for (index, step) in plan.steps.iter().enumerate() {
        let before = sys::cpu_of_children();
        let exit = run_step(plan, step, status)?;
        if !plan.is_without(Barrier::KillAtEnd) {
            end_everyone();
        }
        let after = sys::cpu_of_children();
        let ended = StepEnded {
            step: index,
            exit,
            user_ms: millis(after.0.saturating_sub(before.0)),
            system_ms: millis(after.1.saturating_sub(before.1)),
        };
        let failed = !step.is_fine(exit);
        frame::write_message(status, &FromKeeper::StepEnded(ended))
            .map_err(|error| SetupError::new(error, io::ErrorKind::BrokenPipe))?;
        if failed {
            break;
        }
    }
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

fn run_step(plan: &Plan, step: &Step, status: &UnixStream) -> Result<StepExit, SetupError> {
    let child = match sys::fork().doing(|| "forking".to_owned())? {
        Side::Parent(child) => child,
        Side::Child => {
            let code = match start(plan, step, status) {
                Ok(()) => 0,
                Err(error) => {
                    // To the log: a program that is not there is the package's to know of.
                    let _ = writeln!(io::stderr(), "kiln: {}", told(&error));
                    127
                }
            };
            std::process::exit(code)
        }
    };
    // Orphans become children of pid 1; all are waited for, one is the step.
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => {
                return Ok(StepExit::of(ExitStatus::from_raw(status.as_raw())));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(SetupError::new("waiting for a step", error)),
        }
    }
}

/// Ends every process of the jail but this one.
fn end_everyone() {
    // As pid 1 of the namespace, -1 means everyone else in it. No such process: nothing to end.
    let _ = sys::kill_everyone_else();
    while !matches!(rustix::process::wait(WaitOptions::empty()), Err(rustix::io::Errno::CHILD)) {}
}

fn start(plan: &Plan, step: &Step, status: &UnixStream) -> Result<(), SetupError> {
    rustix::process::setsid().doing(|| "starting a session".to_owned())?;
    match &step.run {
        Run::Unpack { from } => unpack(from),
        Run::BuildUser { folders } => make_build_user(&plan.build_user, folders),
        Run::Program { argv } => {
            lockdown::become_user(step.user, plan)?;
            die_with_parent()?;
            Err(exec(argv, step))
        }
        Run::Stream { argv } => {
            let argv = open_stream(argv, status)?;
            lockdown::become_user(step.user, plan)?;
            die_with_parent()?;
            Err(exec(&argv, step))
        }
        Run::Terminal { argv } => {
            terminal::open(status.as_fd())?;
            lockdown::become_user(step.user, plan)?;
            die_with_parent()?;
            Err(exec(argv, step))
        }
    }
}

#[cfg(feature = "host")]
fn unpack(from: &str) -> Result<(), SetupError> {
    crate::unpack::unpack_all(std::path::Path::new(from))
}

/// In a machine nothing is unpacked: the parser of packages stays out of it.
#[cfg(not(feature = "host"))]
fn unpack(_: &str) -> Result<(), SetupError> {
    Err(SetupError::new("unpacking in a machine", io::ErrorKind::Unsupported))
}

/// Makes a stream to the launcher's side; the end that is kept outlives the exec, and its number
/// is put into the arguments.
fn open_stream(argv: &[String], status: &UnixStream) -> Result<Vec<String>, SetupError> {
    let (ours, theirs) = UnixStream::pair().doing(|| "making a stream".to_owned())?;
    terminal::send(status.as_fd(), &FromKeeper::Stream, theirs.as_fd())?;
    rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::empty())
        .doing(|| "handing a stream on".to_owned())?;
    let number = ours.into_raw_fd().to_string();
    Ok(argv.iter().map(|word| word.replace("{stream}", &number)).collect())
}

fn exec(argv: &[String], step: &Step) -> SetupError {
    let os = |text: &str| OsStr::from_bytes(text.as_bytes()).to_owned();
    let error = Command::new(os(&argv[0]))
        .args(argv[1..].iter().map(|argument| os(argument)))
        .env_clear()
        .envs(step.env.iter().map(|(name, value)| (os(name), os(value))))
        .current_dir(os(&step.cwd))
        .exec();
    SetupError::new(format!("starting {}", argv[0]), error)
}

/// Gives the build user a line in `/etc/passwd` and `/etc/group`, and its folders.
fn make_build_user(user: &BuildUser, folders: &[String]) -> Result<(), SetupError> {
    let BuildUser { name, id, home } = user;
    let lines = [
        ("/etc/passwd", format!("{name}:x:{id}:{id}:{name}:{home}:/bin/sh\n")),
        ("/etc/group", format!("{name}:x:{id}:\n")),
    ];
    for (file, line) in lines {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.lines().any(|present| present.split(':').next() == Some(name)) {
            continue;
        }
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)
            .and_then(|mut opened| opened.write_all(format!("{gap}{line}").as_bytes()))
            .doing(|| format!("adding the build user to {file}"))?;
    }
    let root = rustix::fs::open("/", rustix::fs::OFlags::PATH, Mode::empty())
        .doing(|| "opening the root".to_owned())?;
    for folder in folders {
        let relative = folder.trim_start_matches('/');
        mounts::make_place(root.as_fd(), relative, false)?;
        mounts::give(&mounts::open_in(root.as_fd(), relative)?, *id)?;
    }
    Ok(())
}

impl Step {
    /// Whether the step went well.
    pub(crate) fn is_fine(&self, exit: StepExit) -> bool {
        match exit {
            StepExit::Code(code) => code == 0 || self.also_fine.contains(&code),
            StepExit::Signal(_) => false,
        }
    }
}

impl StepExit {
    pub(crate) fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or(0)),
        }
    }
}
