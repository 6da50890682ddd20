//! `kiln shell --local`: a shell in the buildroot that a build would get, with the package's
//! sources unpacked. What is done there is thrown away with it.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use kiln_model::{Isolation, JobId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::failure::Failure;
use crate::folders::Folders;
use crate::local::Local;
use crate::options::BuildOptions;
use crate::sources;
use crate::ui::{Ui, Verbosity};

/// What `kiln shell` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: BuildOptions,

    /// In a buildroot that 'kiln build --keep-root' kept, by the number that it told
    #[arg(long, value_name = "JOB", conflicts_with_all = ["source", "target", "profile", "lock"])]
    kept: Option<i64>,

    /// A source package, a folder with a spec and its sources, or a spec in its folder
    #[arg(value_name = "SOURCE", required_unless_present = "kept")]
    source: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    arguments.options.require_local("shell")?;
    let folders = Folders::find()?;
    let ui = Ui::new(Verbosity::Stages);
    let Some(source) = &arguments.source else {
        return enter(JobId(arguments.kept.unwrap_or_default()), &folders, &ui);
    };
    let plan = arguments.options.plan(&folders)?;
    let local = Local::open(&folders, Some(&plan.target), plan.isolation(), Arc::clone(&ui))?;
    let given = sources::take(source, &local.cas)?;
    ui.heading(&format!("a shell for {} on {}", given.title, plan.target.name));
    let submission = plan.submission(given, &local.cas)?;
    local.shell(submission, &|terminal| {
        ui.end();
        attach(terminal);
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A shell in a buildroot that was kept.
fn enter(job: JobId, folders: &Folders, ui: &Arc<Ui>) -> Result<ExitCode, Failure> {
    let place = folders.kept(job);
    if !place.exists() {
        let hint = "'kiln build --keep-root' keeps one and says its number";
        let error = format!("no buildroot is kept for job {job}");
        return Err(Failure::caller(error, Some(hint.to_owned())));
    }
    let local = Local::open(folders, None, Isolation::default(), Arc::clone(ui))?;
    local.enter(job, &|terminal| {
        ui.end();
        attach(terminal);
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Puts this process's terminal through to the shell's, in a thread of its own: it ends when the
/// shell's end of the terminal is closed.
fn attach(shell: OwnedFd) {
    std::thread::spawn(move || {
        let _raw = Raw::set();
        // A terminal that is gone is the end of the session, not an error.
        let _ = relay(&shell);
    });
}

/// This process's terminal without line editing, which is the shell's business; as it was again
/// when this is dropped.
struct Raw(Option<Termios>);

impl Raw {
    fn set() -> Self {
        let input = io::stdin();
        let before = input.is_terminal().then(|| tcgetattr(&input).ok()).flatten();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            let _ = tcsetattr(&input, OptionalActions::Now, &raw);
        }
        Self(before)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Drain, before);
        }
    }
}

fn relay(shell: &OwnedFd) -> io::Result<()> {
    const END_OF_INPUT: u8 = 4;
    let mut terminal = File::from(shell.try_clone()?);
    let mut buffer = [0; 4096];
    let mut typing = true;
    loop {
        match_size(shell);
        let (from_shell, typed) = wait(shell, typing)?;
        if from_shell {
            let count = terminal.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            io::stdout().write_all(&buffer[..count])?;
            io::stdout().flush()?;
        }
        if typed {
            let count = io::stdin().read(&mut buffer)?;
            match count {
                0 => {
                    typing = false;
                    terminal.write_all(&[END_OF_INPUT])?;
                }
                count => terminal.write_all(&buffer[..count])?,
            }
        }
    }
}

/// Waits for either side; at most a quarter of a second, since a window that changes its size
/// says so by a signal, which goes to whatever thread the kernel likes.
fn wait(shell: &OwnedFd, typing: bool) -> io::Result<(bool, bool)> {
    let input = io::stdin();
    let mut descriptors = [
        PollFd::from_borrowed_fd(shell.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN),
    ];
    let watched = if typing { 2 } else { 1 };
    let most = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
    poll(&mut descriptors[..watched], Some(&most))?;
    let ready = |at: usize| !descriptors[at].revents().is_empty();
    Ok((ready(0), typing && ready(1)))
}

fn match_size(shell: &OwnedFd) {
    let output = io::stdout();
    if let (Ok(ours), Ok(theirs)) = (tcgetwinsize(&output), tcgetwinsize(shell))
        && (ours.ws_row, ours.ws_col) != (theirs.ws_row, theirs.ws_col)
    {
        let _ = tcsetwinsize(shell, ours);
    }
}
