//! `kiln up`: the service. Control in this process; the signer, solvers and a worker as processes
//! of the same program, each with what it needs and no more.

mod boot;
mod crew;
mod hosted;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use kiln_access::Access;
use kiln_cas::Cas;
use kiln_flow::{Bounds, Event, Judge, Publisher, PublisherSettings, Relay, Sweep};
use kiln_model::{Isolation, Limits, Outlet, Outlets, SetLimit, SomeLimits, WorkerName};
use kiln_notify::{Notifier, NotifierSettings};
use kiln_server::{
    Connection, PlainListener, Service, ServiceSettings, TlsFiles, TlsListener, router,
};
use kiln_sign::Signer;
use kiln_store::{Caps, Store, TicketKind};
use kiln_wire::worker::Fetching;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::control::{Parts, SpawnSigner, now, open_flow, prover};
use crate::failure::{Failure, doing};
use crate::folders::Folders;
use crate::host;
use crate::local::refuse_root;
use crate::target::every_target;
use crate::telemetry;

use boot::Boot;
use crew::{Crew, CrewSettings};
use hosted::Hosted;

/// For how long the link to become the first operator is good, in milliseconds.
const WELCOME: i64 = 24 * 3600 * 1000;

/// How often leases that ran out are looked for.
const EXPIRY: Duration = Duration::from_secs(15);

/// After a start, workers have so long to say that they are still at it.
const GRACE: Duration = Duration::from_secs(60);

/// How often what nothing needs is looked for.
const SWEEP: Duration = Duration::from_secs(3600);

/// How soon what could not be published is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// How often it is looked for what has to be told once more.
const RETELL: Duration = Duration::from_secs(2);

/// What `kiln up` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7520")]
    listen: SocketAddr,

    /// A certificate (PEM, with those that lead to an authority): TLS is spoken. Read anew when it
    /// changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Where it is reached, where that is not where it listens: behind a proxy, with TLS
    #[arg(long, value_name = "URL", env = "KILN_URL")]
    url: Option<String>,

    /// The database: postgres://…; an SQLite file in kiln's folder where there is none
    #[arg(long, value_name = "URL", env = "KILN_DATABASE", hide_env_values = true)]
    database: Option<String>,

    /// How many attempts run on this host at once; 0 for none, where workers are elsewhere
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: u32,

    /// What this process's own worker is called: each of several over one database needs another
    #[arg(long, value_name = "NAME", default_value = "local")]
    worker_name: WorkerName,

    /// How many processes a build may start at once; as many as the host has CPUs, as a rule
    #[arg(long, value_name = "N")]
    jobs: Option<u32>,

    /// The most attempts of one project at once
    #[arg(long, value_name = "N")]
    cap_project: Option<i64>,

    /// The most attempts of one submitter at once
    #[arg(long, value_name = "N")]
    cap_user: Option<i64>,

    /// The most attempts for one target at once
    #[arg(long, value_name = "N")]
    cap_target: Option<i64>,

    /// A limit of every build that says nothing else of it, as memory=8G or wall=90m; may be given
    /// again
    #[arg(long, value_name = "WHAT=HOW MUCH")]
    limit: Vec<SetLimit>,

    /// The most that a target, a project or a build may ask for, as memory=32G; may be given again
    #[arg(long, value_name = "WHAT=HOW MUCH")]
    limit_most: Vec<SetLimit>,

    /// What stands between builds and their hosts where no project and no build says: namespaces or
    /// microvm. Where this isn't said either it is namespaces, but for builds in which packages of
    /// other projects may take part, as long as a worker has machines under KVM
    #[arg(long, value_name = "ISOLATION")]
    isolation: Option<Isolation>,

    /// What does at least, whatever projects and builds say
    #[arg(long, value_name = "ISOLATION", default_value_t)]
    isolation_least: Isolation,

    /// The largest file that can be uploaded, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    upload: u64,

    /// A host that sources may be fetched from, besides those named before: HOST, HOST:PORT,
    /// *.DOMAIN, http://HOST for one without TLS, or * for every host of the public internet, which
    /// is what counts where none is named. A host that is named may be one inside
    #[arg(long, value_name = "HOST")]
    source_host: Vec<Outlet>,

    /// Where dist-git keeps what its file 'sources' names, with {name}, {file}, {kind} and {hash}
    #[arg(long, value_name = "URL")]
    lookaside: Option<String>,

    /// A host that webhooks and the state of commits may be sent to, as with --source-host
    #[arg(long, value_name = "HOST")]
    notify_host: Vec<Outlet>,

    /// A program that signs in place of kiln's own signer, and its arguments: see the operator's
    /// guide
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true)]
    signer: Vec<String>,

    #[command(flatten)]
    hosted: Hosted,

    #[command(flatten)]
    telemetry: telemetry::Telling,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    refuse_root()?;
    let _telemetry = arguments.telemetry.begin("kiln-control")?;
    host::prepare();
    let folders = Folders::find()?;
    let _in_use = folders.in_use()?;
    let runtime = tokio::runtime::Runtime::new().map_err(doing("starting the runtime"))?;
    runtime.block_on(serve(arguments, &folders))?;
    // Attempts of this process are none; what still waits for an answer doesn't hold it up.
    runtime.shutdown_timeout(Duration::from_secs(5));
    Ok(ExitCode::SUCCESS)
}

async fn serve(arguments: &Arguments, folders: &Folders) -> Result<(), Failure> {
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.map_err(doing(format!("listening on {}", arguments.listen)))?;
    let address = listener.local_addr().map_err(doing("finding our address"))?;
    let tls = arguments.tls_cert.clone().zip(arguments.tls_key.clone());
    let tls = tls.map(|(certificate, key)| TlsFiles { certificate, key });
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = arguments.url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
    let url = url.trim_end_matches('/').to_owned();
    let boot = Boot::of(folders.data())?;
    boot.mend(&Cas::open(&folders.blobs())?)?;
    let service = Arc::new(open(arguments, folders, &url).await?);
    let stop = watch_signals()?;
    let relay = Relay::new(service.flow.store(), service.flow.events(), &own_word());
    let notifier = notifier(&service, &url)?;
    let chores = [
        tokio::spawn(relay.run()),
        tokio::spawn(publish(Arc::clone(&service))),
        tokio::spawn(expire(Arc::clone(&service))),
        tokio::spawn(sweep(Arc::clone(&service), boot.clone())),
        tokio::spawn(notify(Arc::clone(&service), notifier)),
        tokio::spawn(judge(Arc::clone(&service))),
    ];
    welcome(&service, &url).await?;
    // The worker of this host needs no certificate: it has a door of its own, on the loopback.
    let (own, server) = match tls {
        None => (address, serve_at(&service, &stop, PlainListener::new(listener))),
        Some(files) => {
            let own = TcpListener::bind("127.0.0.1:0").await.map_err(doing("listening"))?;
            let own_address = own.local_addr().map_err(doing("finding our address"))?;
            let safe = TlsListener::start(listener, files).map_err(doing("beginning with TLS"))?;
            drop(serve_at(&service, &stop, PlainListener::new(own)));
            (own_address, serve_at(&service, &stop, safe))
        }
    };
    let crew = match arguments.workers {
        0 => None,
        count => {
            let crew = CrewSettings {
                service: Arc::clone(&service),
                name: arguments.worker_name.clone(),
                server: format!("http://{own}"),
                count,
                telemetry: arguments.telemetry.clone(),
                stop: stop.clone(),
            };
            Some(Crew::start(crew))
        }
    };
    println!("kiln is up: {url}");
    host::tell("READY=1");
    if let Some(crew) = crew {
        // Workers say how their attempts ended before the doors close; the server goes on until
        // the last has.
        crew.ended().await;
        let waited = tokio::time::timeout(Duration::from_secs(5), server).await;
        drop(waited);
    } else {
        let served = server.await.map_err(|lost| doing("serving")(lost.into()))?;
        served.map_err(doing("serving"))?;
    }
    // What they leave is done after the next start; without a store they could only complain.
    chores.iter().for_each(JoinHandle::abort);
    service.flow.store().close().await;
    boot.sync()?;
    println!("kiln is down");
    Ok(())
}

/// Answers what comes to a listener until the service is told to stop.
fn serve_at<L>(
    service: &Arc<Service>,
    stop: &watch::Receiver<bool>,
    listener: L,
) -> JoinHandle<std::io::Result<()>>
where
    L: Listener<Addr = SocketAddr>,
    Connection: for<'a> Connected<IncomingStream<'a, L>>,
{
    let mut stop = stop.clone();
    let router = router(Arc::clone(service));
    let server = axum::serve(listener, router.into_make_service_with_connect_info::<Connection>())
        .with_graceful_shutdown(async move { drop(stop.wait_for(|stop| *stop).await) });
    tokio::spawn(server.into_future())
}

async fn open(arguments: &Arguments, folders: &Folders, url: &str) -> Result<Service, Failure> {
    let cas = Cas::open(&folders.blobs())?;
    let store = match &arguments.database {
        Some(url) => Store::connect(url).await?,
        None => Store::open(&folders.data().join("kiln.db")).await?,
    };
    let (targets, failures) = every_target()?;
    for failure in failures {
        tracing::warn!(error = failure.0.error, "a target that cannot be read is left out");
    }
    let parts = Parts { store: store.clone(), targets };
    let quiet = Arc::new(|_: &kiln_fetch::Event| {});
    let flow = open_flow(folders, &cas, parts, quiet)?;
    flow.let_fetch(fetching(arguments));
    flow.bound(Bounds {
        most: some(&arguments.limit_most),
        isolation: arguments.isolation,
        least: arguments.isolation_least,
    });
    let spawn =
        SpawnSigner { folder: folders.data().join("keys.v1"), program: arguments.signer.clone() };
    let publisher = Publisher::new(PublisherSettings {
        flow: flow.clone(),
        signer: Signer::new(Arc::new(spawn)),
        url: url.to_owned(),
        records: &folders.data().join("records.v1"),
        chunks: &folders.data().join("chunks.v1"),
    });
    let usual = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
    let settings = ServiceSettings {
        url: url.to_owned(),
        caps: Caps {
            project: arguments.cap_project,
            user: arguments.cap_user,
            target: arguments.cap_target,
        },
        limits: Limits::default().with(&some(&arguments.limit)),
        jobs: arguments.jobs.unwrap_or(usual).clamp(1, 1024),
        upload_cap: arguments.upload << 20,
        upload_caps: arguments.hosted.upload_caps(),
        notified: or_public(&arguments.notify_host),
        proxies: arguments.hosted.proxies(),
        rates: arguments.hosted.rates(),
        provider: arguments.hosted.provider(url)?,
    };
    Ok(Service::new(flow, publisher, Access::new(store), settings))
}

/// A word that no other process over the same database has.
fn own_word() -> String {
    kiln_access::Secret::new("control").text().to_owned()
}

fn some(limits: &[SetLimit]) -> SomeLimits {
    limits.iter().map(|set| (set.0, set.1)).collect()
}

/// Whom jails that fetch sources may speak to.
fn fetching(arguments: &Arguments) -> Fetching {
    let outlets = or_public(&arguments.source_host);
    Fetching { outlets, lookaside: arguments.lookaside.clone() }
}

fn or_public(named: &[Outlet]) -> Outlets {
    match named {
        [] => Outlets::public(),
        named => Outlets(named.to_vec()),
    }
}

/// Where nobody is an operator yet: tells who reads this how to become one.
async fn welcome(service: &Service, url: &str) -> Result<(), Failure> {
    if !service.flow.store().has_no_operator().await? {
        return Ok(());
    }
    let made = service.access.make_ticket(TicketKind::Operator, "", WELCOME, now()).await?;
    let ticket = made.0.text().to_owned();
    println!("Nobody is an operator yet. Become the first, within a day:");
    println!("  in a browser:  {url}/welcome?ticket={ticket}");
    println!("  here:          kiln login {url} --user NAME --ticket {ticket}");
    Ok(())
}

/// Publishes whatever is built, as soon as it is; what was left from before a stop, at once.
async fn publish(service: Arc<Service>) {
    let mut events = service.flow.events().listen();
    loop {
        let failed = match service.publisher.publish_ready().await {
            Ok(()) => false,
            Err(error) => {
                let report = kiln_model::Report::of(&error);
                tracing::error!(error = report.error, causes = ?report.causes, "publishing");
                true
            }
        };
        let wait = news_of_a_job(&mut events);
        let goes_on = match failed {
            true => tokio::time::timeout(AGAIN, wait).await.unwrap_or(true),
            false => wait.await,
        };
        if !goes_on {
            return;
        }
    }
}

/// Holds rebuilds against what was built first, as soon as they are over.
async fn judge(service: Arc<Service>) {
    let judge = Judge::new(service.flow.clone(), prover(service.flow.cas()));
    let mut events = service.flow.events().listen();
    loop {
        if let Err(error) = judge.judge_ready().await {
            let report = kiln_model::Report::of(&error);
            tracing::error!(error = report.error, causes = ?report.causes, "judging rebuilds");
        }
        if !tokio::time::timeout(AGAIN, news_of_a_job(&mut events)).await.unwrap_or(true) {
            return;
        }
    }
}

/// Waits until something becomes of a job; false where nobody will say any more.
async fn news_of_a_job(events: &mut kiln_flow::Listener) -> bool {
    loop {
        match events.recv().await {
            Ok(Event::Job(_)) | Err(RecvError::Lagged(_)) => return true,
            Ok(_) => {}
            Err(RecvError::Closed) => return false,
        }
    }
}

/// Tells others what becomes of jobs.
fn notifier(service: &Service, url: &str) -> Result<Notifier, Failure> {
    let outlets = service.settings.notified.clone();
    let settings = NotifierSettings { outlets, url: url.to_owned(), now };
    let made = Notifier::new(service.flow.store().clone(), settings);
    made.map_err(|error| doing("making ready to tell others")(std::io::Error::other(error)))
}

/// Tells what is in the outbox: at once when something happens, and what is tried again later.
async fn notify(service: Arc<Service>, notifier: Notifier) {
    let mut events = service.flow.events().listen();
    loop {
        match notifier.tell_all().await {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => tracing::error!(%error, "telling others"),
        }
        let news = async {
            loop {
                match events.recv().await {
                    Ok(Event::Log(_)) => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => return true,
                    Err(RecvError::Closed) => return false,
                }
            }
        };
        if !tokio::time::timeout(RETELL, news).await.unwrap_or(true) {
            return;
        }
    }
}

/// Puts the jobs back whose workers are lost.
async fn expire(service: Arc<Service>) {
    tokio::time::sleep(GRACE).await;
    loop {
        if let Err(error) = service.flow.expire().await {
            tracing::error!(%error, "ending leases that ran out");
        }
        if let Err(error) = service.flow.let_loose().await {
            tracing::error!(%error, "looking for jobs that wait for machines");
        }
        let (day, store) = (24 * 3600 * 1000, service.flow.store());
        if let Err(error) = store.sweep_rights(now() - 7 * day).await {
            tracing::error!(%error, "removing old sessions");
        }
        if let Err(error) = store.sweep_answers(now() - day).await {
            tracing::error!(%error, "forgetting old requests");
        }
        tokio::time::sleep(EXPIRY).await;
    }
}

/// Removes what nothing needs.
async fn sweep(service: Arc<Service>, boot: Boot) {
    loop {
        tokio::time::sleep(SWEEP).await;
        if let Err(error) = service.publisher.sweep(Sweep::default()).await {
            let report = kiln_model::Report::of(&error);
            tracing::error!(error = report.error, causes = ?report.causes, "sweeping");
        }
        let boot = boot.clone();
        if let Ok(Err(Failure(report))) = tokio::task::spawn_blocking(move || boot.sync()).await {
            tracing::error!(error = report.error, causes = ?report.causes, "syncing");
        }
    }
}

/// True once somebody has asked this process to end.
pub(crate) fn watch_signals() -> Result<watch::Receiver<bool>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let (told, stop) = watch::channel(false);
    let failed = "watching for signals";
    let mut interrupt = signal(SignalKind::interrupt()).map_err(doing(failed))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(doing(failed))?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        told.send_replace(true);
        host::tell("STOPPING=1");
        tracing::info!("stopping: attempts under way are ended; again to stop at once");
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(stop)
}
