//! `kiln worker`: a worker of a service, and what operators do with those there are.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use kiln_agent::{Agent, AgentSettings, Folders as WorkerFolders, Slots};
use kiln_cas::Cas;
use kiln_jail::{Accelerator, Controllers, Launcher, MicroVm, Strength};
use kiln_model::Isolation;
use kiln_remote::{Link, Stop, WorkSettings, work};
use kiln_wire::worker::{Enrol, Enrolled};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::failure::{Failure, doing};
use crate::folders::Folders;
use crate::local::{SLOTS, open_machines, refuse_root};
use crate::{client, host, role, telemetry};

/// What `kiln worker` takes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Option<client::workers::Verb>,

    #[command(flatten)]
    run: Run,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The service to work for: https://kiln.example.org
    #[arg(long, value_name = "URL", env = "KILN_SERVER")]
    server: Option<String>,

    /// The one-time right that 'kiln worker enroll NAME' gave; needed once
    #[arg(long, value_name = "TICKET")]
    enroll: Option<String>,

    /// How many attempts to run at once
    #[arg(long, value_name = "N", default_value_t = 2)]
    parallel: u32,

    /// One lease, one attempt, and that's it: for hosts that are thrown away
    #[arg(long)]
    once: bool,

    /// The strongest isolation that it offers: namespaces or microvm; what this host has, where
    /// nothing is said
    #[arg(long, value_name = "ISOLATION")]
    isolation: Option<Isolation>,

    /// Certificates (PEM) of authorities that servers of sources are believed by, besides those of
    /// this host
    #[arg(long, value_name = "FILE", env = "KILN_SOURCE_CA", value_delimiter = ':')]
    source_ca: Vec<PathBuf>,

    /// Read the credential from standard input, and stop when that ends
    #[arg(long, hide = true)]
    credential_stdin: bool,

    #[command(flatten)]
    telemetry: telemetry::Telling,
}

/// What a worker is known by, as it is kept: `worker.json`, 0600.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    server: String,
    name: String,
    credential: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.verb {
        Some(verb) => client::workers::run(verb),
        None => work_for(&arguments.run),
    }
}

fn work_for(arguments: &Run) -> Result<ExitCode, Failure> {
    refuse_root()?;
    let _telemetry = arguments.telemetry.begin("kiln-worker")?;
    host::prepare();
    let folders = Folders::find()?;
    let _in_use = folders.in_use()?;
    let runtime = tokio::runtime::Runtime::new().map_err(doing("starting the runtime"))?;
    let link = runtime.block_on(link(arguments, &folders))?;
    let stop = {
        let _inside = runtime.enter();
        stop_of(arguments.credential_stdin)?
    };
    let settings = settings(arguments, &folders, link, stop)?;
    host::tell("READY=1");
    runtime.block_on(work(settings))?;
    Ok(ExitCode::SUCCESS)
}

fn settings(
    arguments: &Run,
    folders: &Folders,
    link: Link,
    stop: watch::Receiver<Stop>,
) -> Result<WorkSettings, Failure> {
    let worker = WorkerFolders::open(folders.data())
        .map_err(doing(format!("opening {}", folders.data().display())))?;
    let cas = Cas::open(&folders.blobs())?;
    let launcher =
        Launcher::new(role::OWN_PROGRAM.into(), vec![role::KEEPER.to_owned()], Controllers::find());
    let slots = Slots::open(worker.clone(), SLOTS)?;
    let machines = machines(arguments, folders, &launcher)?;
    let isolation = machines.as_ref().map_or(Isolation::Namespaces, |_| Isolation::Microvm);
    let has_kvm = machines.as_ref().is_some_and(|it| it.accelerator() == Accelerator::Kvm);
    let agent = Agent::open(AgentSettings {
        launcher: launcher.clone(),
        machines,
        cas: cas.clone(),
        folders: worker,
        authorities: arguments.source_ca.clone(),
        without: Vec::new(),
    })?;
    let parallel = arguments.parallel.clamp(1, slots.count());
    let once = arguments.once;
    Ok(WorkSettings { link, agent, slots, launcher, cas, parallel, isolation, has_kvm, once, stop })
}

/// Machines, where this host has what they are made of; a worker that was told to have them does
/// nothing without.
fn machines(
    arguments: &Run,
    folders: &Folders,
    launcher: &Launcher,
) -> Result<Option<MicroVm>, Failure> {
    if arguments.isolation == Some(Isolation::Namespaces) {
        return Ok(None);
    }
    match open_machines(folders, launcher, Strength::Full) {
        Ok(machines) => {
            tracing::info!(
                kernel = machines.kernel().release,
                accelerator = ?machines.accelerator(),
                "offers builds in a microvm"
            );
            Ok(Some(machines))
        }
        Err(error) if arguments.isolation == Some(Isolation::Microvm) => Err(error.into()),
        Err(error) => {
            tracing::info!(%error, "offers no builds in a microvm");
            Ok(None)
        }
    }
}

/// The way to the service: by the credential that is kept, or by a new one.
async fn link(arguments: &Run, folders: &Folders) -> Result<Link, Failure> {
    if arguments.credential_stdin {
        let server = arguments.server.clone().unwrap_or_default();
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(doing("reading the credential"))?;
        return Ok(Link::new(&server, line.trim(), client::authorities())?);
    }
    let path = folders.data().join("worker.json");
    if let Some(ticket) = &arguments.enroll {
        let hint = "name the service with --server URL".to_owned();
        let server = arguments.server.clone();
        let server = server.ok_or_else(|| Failure::caller("enrol where?", Some(hint)))?;
        let asked = Enrol {
            ticket: ticket.clone(),
            arch: std::env::consts::ARCH.to_owned(),
            slots: arguments.parallel,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let Enrolled { name, credential } =
            Link::enrol(&server, &asked, client::authorities()).await?;
        keep(&path, &Kept { server, name, credential })?;
    }
    let kept = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
    let Some(kept) = kept else {
        let hint = "an operator makes a ticket with 'kiln worker enroll NAME'; then \
                    'kiln worker --server URL --enroll TICKET'";
        return Err(Failure::caller("this host is no worker yet", Some(hint.to_owned())));
    };
    let server = arguments.server.clone().unwrap_or(kept.server);
    Ok(Link::new(&server, &kept.credential, client::authorities())?)
}

fn keep(path: &PathBuf, kept: &Kept) -> Result<(), Failure> {
    let failed = || doing(format!("writing {}", path.display()));
    let json = serde_json::to_vec_pretty(kept).expect("types of our own always serialise");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(failed())?;
    file.write_all(&json).map_err(failed())
}

/// When to stop: at the first signal after what is under way, at the second at once; for who was
/// started by `kiln up`, when that is gone.
fn stop_of(watches_stdin: bool) -> Result<watch::Receiver<Stop>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let (told, stop) = watch::channel(Stop::Not);
    if watches_stdin {
        std::thread::spawn(move || {
            // Nothing more is ever written there: it ends when the parent does.
            let mut rest = [0];
            while io::stdin().lock().read(&mut rest).is_ok_and(|count| count > 0) {}
            told.send_replace(Stop::Now);
        });
        return Ok(stop);
    }
    let failed = "watching for signals";
    let mut interrupt = signal(SignalKind::interrupt()).map_err(doing(failed))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(doing(failed))?;
    tokio::spawn(async move {
        for next in [Stop::Soon, Stop::Now] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::info!("stopping");
            told.send_replace(next);
        }
        interrupt.recv().await;
    });
    Ok(stop)
}
