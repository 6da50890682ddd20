//! Pid 1 of a machine: takes a plan from the host, runs it in a jail as a host would, and hands out
//! what comes of it. When it ends the machine does.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use kiln_jail::machine_messages::{
    Begin, FOLDER, FromMachine, INPUTS, Input, LOG, TO_MACHINE_CAP, VERSION,
};
use kiln_jail::{Cancel, End, Event, JailError, Launcher, Mount, Plan};
use kiln_model::{Breached, Limit};
use kiln_wire::frame::{self, DATA, DATA_CAP};
use rustix::fs::{Gid, Uid};

use crate::machine::{self, MachineError, doing};

/// The role of the jail's keeper.
pub const KEEPER: &str = "keeper";

/// Whose files those are that came from the host: nobody's whom the jail knows, as they are there.
const STRANGER: u32 = 65_533;

/// Starts the machine up, serves its host, and ends it.
pub fn main() -> ExitCode {
    match machine::start() {
        Ok(mut channel) => {
            if let Err(error) = serve(&mut channel) {
                let told = FromMachine::Failed(told(&error));
                // Nobody is left to be told.
                let _ = frame::write_message(&mut channel, &told);
            }
        }
        Err(error) => eprintln!("kiln: {}", told(&error)),
    }
    machine::end()
}

fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", told(source)),
        None => error.to_string(),
    }
}

fn serve(channel: &mut File) -> Result<(), MachineError> {
    say(channel, &FromMachine::Ready { version: VERSION, up_ms: machine::up_ms() })?;
    let begin: Begin = frame::read_message(channel, TO_MACHINE_CAP)?
        .ok_or_else(|| doing("waiting for a plan")(io::ErrorKind::UnexpectedEof))?;
    if begin.version != VERSION {
        return Err(doing("reading a plan")(io::ErrorKind::Unsupported));
    }
    machine::mount_disks(begin.layers)?;
    fs::create_dir(INPUTS).map_err(doing("making a folder"))?;
    begin.inputs.iter().try_for_each(|input| take(channel, input))?;
    prepare(&begin.plan).map_err(doing("making the jail's folders"))?;
    say(channel, &FromMachine::Began)?;
    run(channel, &begin.plan)
}

fn say(channel: &mut File, message: &FromMachine) -> Result<(), MachineError> {
    Ok(frame::write_message(channel, message)?)
}

/// Takes a file from the host, with the mode and the time that it has there.
fn take(channel: &mut File, input: &Input) -> Result<(), MachineError> {
    const DOING: &str = "taking a file";
    let at = Path::new(INPUTS).join(&input.at);
    let file = match input.size {
        None => {
            fs::create_dir(&at).map_err(doing(DOING))?;
            File::open(&at).map_err(doing(DOING))?
        }
        Some(size) => {
            let mut file = File::create(&at).map_err(doing(DOING))?;
            copy(channel, &mut file, size)?;
            file
        }
    };
    let stranger = (Some(Uid::from_raw(STRANGER)), Some(Gid::from_raw(STRANGER)));
    rustix::fs::fchown(&file, stranger.0, stranger.1)
        .map_err(io::Error::from)
        .map_err(doing(DOING))?;
    let mode = fs::Permissions::from_mode(input.mode);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(input.modified.unsigned_abs());
    file.set_permissions(mode).and_then(|()| file.set_modified(modified)).map_err(doing(DOING))
}

fn copy(channel: &mut File, to: &mut File, size: u64) -> Result<(), MachineError> {
    let mut left = size;
    while left > 0 {
        let frame = frame::read(channel, DATA_CAP)?;
        let bytes = frame.filter(|frame| frame.kind == DATA).map(|frame| frame.body);
        let bytes = bytes.filter(|bytes| !bytes.is_empty() && bytes.len() as u64 <= left);
        let bytes = bytes.ok_or_else(|| doing("taking a file")(io::ErrorKind::InvalidData))?;
        to.write_all(&bytes).map_err(doing("writing a file"))?;
        left -= bytes.len() as u64;
    }
    Ok(())
}

/// Makes the folders that a plan writes in, as a worker does.
fn prepare(plan: &Plan) -> io::Result<()> {
    let open = |path: &Path| {
        fs::create_dir(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))
    };
    open(Path::new(FOLDER))?;
    for mount in &plan.mounts {
        if let Mount::Overlay { upper, .. } = mount {
            open(&Path::new(FOLDER).join(upper))?;
        }
    }
    Ok(())
}

fn run(channel: &mut File, plan: &Plan) -> Result<(), MachineError> {
    let launcher = Launcher::of_machine("/proc/self/exe".into(), vec![KEEPER.to_owned()]);
    let never = Cancel::new().map_err(doing("preparing"))?;
    let outcome = launcher.run(plan, &never, &mut |event| tell(channel, event));
    let last = match outcome {
        Ok(outcome) => match outcome.end {
            End::Breached(breached) => FromMachine::Breached(breached),
            End::Done | End::Cancelled => FromMachine::Ended,
        },
        // The scratch disk is as large as its limit: full is over it.
        Err(JailError::Full { left }) => {
            let allowed = plan.limits.disk;
            let seen = allowed.saturating_sub(left);
            FromMachine::Breached(Breached { limit: Limit::Disk, allowed, seen })
        }
        Err(error) => FromMachine::Failed(told(&error)),
    };
    say(channel, &last)
}

fn tell(channel: &mut File, event: Event<'_>) -> io::Result<()> {
    let message = match event {
        Event::Log(bytes) => return send(channel, LOG, bytes),
        Event::Bytes(bytes) => return send(channel, DATA, bytes),
        Event::StepEnded(ended) => FromMachine::StepEnded(ended.clone()),
        Event::File(head) => FromMachine::File(head.clone()),
        Event::Refused { name, why } => {
            FromMachine::Refused { name: name.as_str().to_owned(), why: why.to_owned() }
        }
        Event::FileEnd | Event::Terminal(_) | Event::Stream(_) | Event::Door(_) => return Ok(()),
    };
    frame::write_message(channel, &message).map_err(io::Error::other)
}

fn send(channel: &mut File, kind: u8, bytes: &[u8]) -> io::Result<()> {
    for part in bytes.chunks(DATA_CAP) {
        frame::write(channel, kind, part).map_err(io::Error::other)?;
    }
    Ok(())
}
