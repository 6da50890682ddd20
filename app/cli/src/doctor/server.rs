//! What is looked at of a service: its database, its folder, its signer, its clock, its workers,
//! and how it is reached. Nothing of it is changed, and it may be running meanwhile.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use kiln_model::Report;
use kiln_store::{Look, Store, StoreError, WorkerRecord, WorkerState};
use rustix::process::{Resource, getrlimit};

use super::{Finding, checks};
use crate::client::ago;
use crate::control::now;
use crate::failure::{Failure, doing};
use crate::role;

/// Two clocks may differ by so many milliseconds: less than anything is good for.
const SKEW: i64 = 5_000;

/// A worker that was heard of within so many milliseconds is there.
const THERE: i64 = 2 * 60_000;

/// Fewer open files than these are used up by a hundred clients and as many workers.
const FILES: u64 = 1024;

/// Which service.
pub(super) struct Asked<'a> {
    pub(super) folder: &'a Path,
    pub(super) database: Option<&'a str>,
    pub(super) url: Option<&'a str>,
}

pub(super) fn all(asked: &Asked<'_>) -> Result<Vec<Finding>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(doing("starting the runtime"))?;
    let mut findings = vec![folder(asked.folder), keys(asked.folder), signer(asked.folder)];
    findings.push(checks::disk(asked.folder));
    findings.push(open_files());
    findings.extend(runtime.block_on(database(asked)));
    if let Some(url) = asked.url {
        findings.extend(runtime.block_on(reached(url)));
    }
    Ok(findings)
}

/// The folder belongs to who runs the service, and nobody else may write there.
fn folder(folder: &Path) -> Finding {
    const WHAT: &str = "folder";
    let shown = folder.display();
    let about = match fs::metadata(folder) {
        Ok(about) => about,
        Err(error) => {
            let mend = "name the service's folder: its KILN_DIR";
            return Finding::missing(WHAT, format!("{shown}: {error}"), mend);
        }
    };
    let own = rustix::process::geteuid().as_raw();
    if about.uid() != own {
        let found = format!("{shown} belongs to user {}, and this is {own}", about.uid());
        let mend =
            format!("run it as the service's user: sudo -u '#{}' kiln doctor …", about.uid());
        return Finding::missing(WHAT, found, mend);
    }
    match about.mode() & 0o022 {
        0 => Finding::fine(WHAT, format!("{shown}, {:o}", about.mode() & 0o777)),
        _ => {
            let found = format!("others may write in {shown} ({:o})", about.mode() & 0o777);
            Finding::missing(WHAT, found, format!("chmod 750 {shown}"))
        }
    }
}

/// Keys are nobody else's to read.
fn keys(folder: &Path) -> Finding {
    const WHAT: &str = "keys";
    let keys = folder.join("keys.v1");
    let mut open = Vec::new();
    let mut count = 0;
    let mut todo = vec![keys.clone()];
    while let Some(at) = todo.pop() {
        let about = match fs::symlink_metadata(&at) {
            Ok(about) => about,
            Err(error) if at == keys && error.kind() == io::ErrorKind::NotFound => {
                return Finding::fine(WHAT, "none yet: a project's is made with it");
            }
            Err(error) => {
                let mend = "run it as the service's user";
                return Finding::missing(WHAT, format!("{}: {error}", at.display()), mend);
            }
        };
        if about.mode() & 0o077 != 0 && !about.is_symlink() {
            open.push(at.display().to_string());
        }
        if about.is_dir() {
            let entries = fs::read_dir(&at).into_iter().flatten().flatten();
            todo.extend(entries.map(|entry| entry.path()));
        } else {
            count += 1;
        }
    }
    match &open[..] {
        [] => Finding::fine(WHAT, format!("{count} files, closed to others")),
        [first, ..] => {
            let found = format!("{} of them are open to others, as {first}", open.len());
            Finding::missing(WHAT, found, format!("chmod -R go= {}", keys.display()))
        }
    }
}

/// The signer starts, confines itself and reads its folder. No key is made or used.
fn signer(folder: &Path) -> Finding {
    const WHAT: &str = "signer";
    let keys = folder.join("keys.v1");
    if !keys.exists() {
        return Finding::fine(WHAT, "not tried: it has no keys yet");
    }
    let answer = env::current_exe().and_then(|own| {
        let (mut socket, mut child) = kiln_signer::start(&own, &[role::SIGNER], &keys)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut first = [0];
        let read = io::Read::read_exact(&mut socket, &mut first);
        drop(socket);
        child.wait()?;
        read
    });
    match answer {
        Ok(()) => Finding::fine(WHAT, "answers, confined"),
        Err(error) => {
            let mend = "'kiln doctor' says what the host lacks; the service's log says more";
            Finding::missing(WHAT, format!("does not answer: {error}"), mend)
        }
    }
}

fn open_files() -> Finding {
    const WHAT: &str = "open files";
    match getrlimit(Resource::Nofile).maximum {
        Some(most) if most <= FILES => {
            let mend = "LimitNOFILE=65536 in the unit, or 'ulimit -Hn 65536' before it is started";
            Finding::weaker(WHAT, format!("at most {most} in a process started as this was"), mend)
        }
        Some(most) => Finding::fine(WHAT, format!("up to {most}")),
        None => Finding::fine(WHAT, "as many as it likes"),
    }
}

async fn database(asked: &Asked<'_>) -> Vec<Finding> {
    const WHAT: &str = "database";
    let opened = match asked.database {
        Some(url) => Store::connect_as_it_is(url).await,
        None => Store::open_as_it_is(&asked.folder.join("kiln.db")).await,
    };
    let failed = |error: StoreError| {
        let mend = "start it, or name it with --database or KILN_DATABASE";
        vec![Finding::missing(WHAT, told(&error), mend)]
    };
    let store = match opened {
        Ok(store) => store,
        Err(error) => return failed(error),
    };
    let look = match store.look().await {
        Ok(look) => look,
        Err(error) => return failed(error),
    };
    let kind = if asked.database.is_some() { "PostgreSQL" } else { "SQLite" };
    let mut findings = vec![schema(&look, kind), clock(&look)];
    if look.is_current() {
        findings.push(match store.workers().await {
            Ok(all) => workers(&all),
            Err(error) => Finding::missing("workers", told(&error), "see the database"),
        });
        findings.push(match super::log::check(&store).await {
            Ok(finding) => finding,
            Err(error) => Finding::missing("log", told(&error), "see the database"),
        });
    }
    store.close().await;
    findings
}

fn schema(look: &Look, kind: &str) -> Finding {
    const WHAT: &str = "database";
    let known = look.known;
    match look.schema {
        Some(schema) if schema == known => {
            Finding::fine(WHAT, format!("{kind}, schema {schema}, as this program has it"))
        }
        Some(schema) if schema > known => {
            let found =
                format!("{kind}, schema {schema}: newer than this program, which has {known}");
            Finding::missing(WHAT, found, "run the kiln that the service runs")
        }
        Some(schema) => {
            let found =
                format!("{kind}, schema {schema}: older than this program, which has {known}");
            Finding::weaker(WHAT, found, "back it up; then 'kiln up' brings it up to date")
        }
        None => Finding::weaker(WHAT, format!("{kind}, empty"), "'kiln up' fills it"),
    }
}

/// An error with what it came from, in one line.
fn told(error: &StoreError) -> String {
    let Report { error, causes, .. } = Report::of(error);
    std::iter::once(error).chain(causes).collect::<Vec<_>>().join(": ")
}

/// Leases, tokens and snapshots are about time: a clock that is wrong ends them early or late.
fn clock(look: &Look) -> Finding {
    const WHAT: &str = "clock";
    let mend = "timedatectl set-ntp true";
    let now = now();
    if let Some(newest) = look.newest.filter(|newest| *newest > now + SKEW) {
        let ahead = (newest - now) / 1000;
        let found = format!("{ahead} s before what the service has noted already");
        return Finding::missing(WHAT, found, mend);
    }
    match look.clock.map(|clock| clock - now) {
        Some(skew) if skew.abs() > SKEW => {
            let found = format!("the database's differs from this host's by {} s", skew / 1000);
            Finding::weaker(WHAT, found, mend)
        }
        Some(_) => Finding::fine(WHAT, "as the database's"),
        None => Finding::fine(WHAT, "later than all that the service has noted"),
    }
}

fn workers(all: &[WorkerRecord]) -> Finding {
    const WHAT: &str = "workers";
    let aside: Vec<&WorkerRecord> =
        all.iter().filter(|one| one.state == WorkerState::Aside).collect();
    if let [first, ..] = aside[..] {
        let found = format!("{} set aside, as {}: {}", aside.len(), first.name, first.why);
        let mend = format!("look at 'kiln audit', then 'kiln worker resume {}' or not", first.name);
        return Finding::weaker(WHAT, found, mend);
    }
    let active = all.iter().filter(|one| one.state == WorkerState::Active);
    let is_there = |one: &&WorkerRecord| one.seen_at.is_some_and(|at| at + THERE > now());
    let (there, gone): (Vec<_>, Vec<_>) = active.partition(is_there);
    let slots: i64 = there.iter().map(|one| one.slots).sum();
    let found = format!("{} there, for {slots} attempts at once", there.len());
    let start = "'kiln up --workers N' on this host, or 'kiln worker enroll NAME' for another";
    match (&there[..], &gone[..]) {
        ([], []) => Finding::weaker(WHAT, "none was ever enrolled", start),
        ([], [last, ..]) => {
            let seen = last.seen_at.map_or_else(|| "never".to_owned(), ago);
            let found = format!("none is there; {} was heard of {seen}", last.name);
            Finding::weaker(WHAT, found, "start the service, or 'kiln worker' on their hosts")
        }
        (_, []) => Finding::fine(WHAT, found),
        (_, [lost, ..]) => {
            let seen = lost.seen_at.map_or_else(|| "never".to_owned(), ago);
            let found = format!("{found}; {} was heard of {seen}", lost.name);
            let mend = format!("start it again, or 'kiln worker drain {}'", lost.name);
            Finding::weaker(WHAT, found, mend)
        }
    }
}

/// The service as its users reach it, through whatever stands before it.
async fn reached(url: &str) -> Vec<Finding> {
    let url = url.trim_end_matches('/');
    let answers = match ask(&format!("{url}/ready")).await {
        Ok(answer) => answer,
        Err(error) => {
            let mend = "start it ('kiln up'), and see that its proxy passes requests on to it";
            return vec![Finding::missing("service", format!("{url}: {error}"), mend)];
        }
    };
    let mut findings = vec![match answers.text.as_str() {
        "ready\n" => Finding::fine("service", format!("{url} is ready")),
        _ => {
            let found = format!("{url}/ready answers {}", answers.status);
            let mend = "the log of the service, or of the proxy before it, says why";
            Finding::missing("service", found, mend)
        }
    }];
    findings.push(encrypted(url));
    findings.push(host(url).await);
    findings
}

fn encrypted(url: &str) -> Finding {
    const WHAT: &str = "encryption";
    let is_near = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
    match url.starts_with("https://") {
        true => Finding::fine(WHAT, "TLS"),
        false if is_near.iter().any(|near| url.starts_with(near)) => {
            Finding::fine(WHAT, "none, and it is reached from this host alone")
        }
        false => {
            let mend =
                "put a proxy with a certificate before it, and say so: kiln up --url https://…";
            Finding::missing(WHAT, "passwords and tokens go over the network as they are", mend)
        }
    }
}

/// The addresses that the service gives out are those by which it is reached: a proxy that says
/// another name, or a service that was told none, sends readers and browsers elsewhere.
async fn host(url: &str) -> Finding {
    const WHAT: &str = "its own address";
    let said = match ask(&format!("{url}/api/v1/service")).await {
        Ok(answer) => answer.text,
        Err(error) => return Finding::missing(WHAT, error, "see what is said above"),
    };
    let about: Option<kiln_api::Service> = serde_json::from_str(&said).ok();
    match about {
        Some(about) if about.url == url => Finding::fine(WHAT, about.url),
        Some(about) => {
            let found = format!("it takes itself for {}, and is reached as {url}", about.url);
            Finding::missing(WHAT, found, format!("kiln up --url {url}"))
        }
        None => {
            let mend = "is that the address of a kiln, and of this version?";
            Finding::missing(WHAT, format!("{url} does not say"), mend)
        }
    }
}

struct Answered {
    status: u16,
    text: String,
}

async fn ask(url: &str) -> Result<Answered, String> {
    /// More than any of the answers has.
    const CAP: usize = 64 << 10;
    // The first provider of a process stays; a second attempt is no error worth telling.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let short = Duration::from_secs(10);
    let client = reqwest::Client::builder().timeout(short).no_proxy().build();
    let client = client.map_err(|error| error.to_string())?;
    let mut response = client.get(url).send().await.map_err(|error| cause(&error))?;
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| cause(&error))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > CAP {
            return Err("an answer that is no kiln's".to_owned());
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Answered { status: response.status().as_u16(), text })
}

/// What lies at the bottom of an error.
fn cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(inner) => cause(inner),
        None => error.to_string(),
    }
}
