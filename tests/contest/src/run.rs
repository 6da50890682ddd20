use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use kiln_contest::{Heard, Told};
use kiln_jail::{
    Cancel, Controllers, Event, IdMap, Launcher, MachineError, MicroVm, Plan, Strength,
};

/// Reads a plan on standard input, runs it, prints one [`Told`] as JSON.
pub(crate) fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let mut asked: kiln_contest::Asked = serde_json::from_str(&text)?;
    asked.plan.ids = IdMap::of_slot(asked.slot)?;
    let plan: &Plan = &asked.plan;
    prepare(plan)?;
    let own = std::env::current_exe()?;
    let controllers = if asked.controllers { Controllers::find() } else { Controllers::None };
    let launcher = Launcher::new(own, vec!["keeper".to_owned()], controllers);
    let cancel = Cancel::new()?;
    let mut heard = Heard::default();
    let mut on = |event: Event<'_>| {
        note(&mut heard, event);
        Ok(())
    };
    let outcome = match &asked.machine {
        None => launcher.run(plan, &cancel, &mut on),
        Some(state) => match machines(launcher, state) {
            Ok(machines) => machines.run(plan, &cancel, &mut on),
            Err(lack) => Err(lack.into()),
        },
    };
    let told = match outcome {
        Ok(outcome) => {
            let end = format!("{:?}", outcome.end);
            Told { heard, end, error: None }
        }
        Err(error) => {
            let error = Some(format!("{:#}", anyhow::Error::from(error)));
            Told { heard, end: String::new(), error }
        }
    };
    println!("{}", serde_json::to_string(&told)?);
    Ok(())
}

/// What machines are made of on this host; a kernel is looked for where the environment says, too.
fn machines(launcher: Launcher, state: &Path) -> Result<MicroVm, MachineError> {
    let kernels: Vec<_> =
        std::env::var_os("KILN_GUEST_KERNEL").map(PathBuf::from).into_iter().collect();
    kiln_agent::open_machines(launcher, &kernels, state, Strength::Contest)
}

fn note(heard: &mut Heard, event: Event<'_>) {
    match event {
        Event::Log(bytes) => heard.log.push_str(&String::from_utf8_lossy(bytes)),
        Event::StepEnded(ended) => heard.steps.push(ended.clone()),
        Event::File(head) => heard.files.push((head.name.clone(), Vec::new())),
        Event::Bytes(bytes) => {
            if let Some((_, content)) = heard.files.last_mut() {
                content.extend_from_slice(bytes);
            }
        }
        Event::Refused { name, why } => {
            heard.refused.push((name.as_str().to_owned(), why.to_owned()));
        }
        Event::FileEnd | Event::Stream(_) | Event::Door(_) => {}
        Event::Terminal(ours) => {
            let mut terminal = std::fs::File::from(ours);
            let mut text = String::new();
            // A terminal whose other end is closed answers with an error: what came stays.
            let _ = terminal.read_to_string(&mut text);
            heard.log.push_str(&text);
        }
    }
}

/// Makes the folders that a plan writes in, as a worker does.
fn prepare(plan: &Plan) -> Result<()> {
    use std::fs::{DirBuilder, Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    let open = Permissions::from_mode(0o777);
    DirBuilder::new().recursive(true).create(&plan.folder).context("making the jail's folder")?;
    set_permissions(&plan.folder, open.clone())?;
    for mount in &plan.mounts {
        if let kiln_jail::Mount::Overlay { upper, .. } = mount {
            let upper = plan.folder.join(upper);
            DirBuilder::new().create(&upper)?;
            set_permissions(&upper, open.clone())?;
        }
    }
    Ok(())
}
