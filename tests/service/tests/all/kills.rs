//! Processes are killed, at moments that a seed chooses, while packages are built: no build is
//! lost, none is published twice, and whoever reads the repository finds it whole.
//!
//! `KILN_KILLS` and `KILN_KILL_BUILDS` say how many, `KILN_SEED` repeats a run.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test tells is printed")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use kiln_attest::{Proof, PublicKey, Verified};
use kiln_kit::{Ground, Postgres, Trial};
use kiln_model::Digest;
use kiln_service::{Dice, Dnf, Http, Look, Reader, Service, TARGET, spec_text};
use serde_json::{Value, json};

const PROJECT: &str = "tools";

/// How long everything may take to settle once nothing is killed any more.
const SETTLED: Duration = Duration::from_secs(180);

/// The longest that is waited between what is up again and the next kill, in milliseconds.
const BREATH: u64 = 1500;

/// How much later than control its database begins to come up.
const LATE: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy)]
struct Plan {
    kills: u64,
    builds: u64,
    seed: u64,
}

impl Plan {
    fn new(kills: u64, builds: u64) -> Result<Self> {
        let number = |name: &str, usual: u64| match std::env::var(name) {
            Ok(text) => text.parse().with_context(|| format!("{name} is no number")),
            Err(_) => Ok(usual),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
        Ok(Self {
            kills: number("KILN_KILLS", kills)?,
            builds: number("KILN_KILL_BUILDS", builds)?,
            seed: number("KILN_SEED", now)?,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Control,
    Database,
    Signer,
    Solver,
    Worker,
    /// Both at once: control comes up before its database does.
    ControlAndDatabase,
}

/// What the threads tell each other.
#[derive(Default)]
struct Shared {
    killed: AtomicU64,
    is_over: AtomicBool,
    wrong: Mutex<Option<String>>,
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// The first thing that is not as it should be ends it all.
    fn report(&self, wrong: String) {
        self.wrong.lock().expect("no panic").get_or_insert(wrong);
        self.is_over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_is_killed_on_sqlite_loses_no_build() -> Result<()> {
    storm(None, Plan::new(8, 4)?)
}

#[test]
fn what_is_killed_on_postgresql_loses_no_build() -> Result<()> {
    let Some(postgres) = Postgres::or_skip() else { return Ok(()) };
    storm(Some(postgres), Plan::new(8, 4)?)
}

#[test]
#[ignore = "a quarter of an hour: 'make test-all' runs it"]
fn two_hundred_kills_on_sqlite_lose_no_build() -> Result<()> {
    storm(None, Plan::new(200, 50)?)
}

#[test]
#[ignore = "a quarter of an hour: 'make test-all' runs it"]
fn two_hundred_kills_on_postgresql_lose_no_build() -> Result<()> {
    let Some(postgres) = Postgres::or_skip() else { return Ok(()) };
    storm(Some(postgres), Plan::new(200, 50)?)
}

fn storm(postgres: Option<Postgres>, plan: Plan) -> Result<()> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else { return Ok(()) };
    println!("{plan:?}: KILN_SEED={} repeats it", plan.seed);
    let program = env!("CARGO_BIN_EXE_kiln-service-program").as_ref();
    let mut with = vec!["--workers", "2"];
    if let Some(postgres) = &postgres {
        with.extend(["--database", &postgres.url]);
    }
    let mut service = Service::prepare(program, ground, &trial, &with)?;
    service.be_quiet();
    service.begin()?;
    service.told(&["project", "create", PROJECT, "--public", "--target", TARGET])?;
    // Warm: the buildroot is there, and the key.
    let first = service.build(PROJECT, &service.spec("kt-warm", 1, ":")?)?;
    ensure!(first["snapshot"] == 1, "{first}");
    let result = weather(&mut service, postgres.as_ref(), &trial, plan);
    if result.is_err() {
        println!("{}", service.last_words());
    }
    result?;
    ensure!(service.stop()?, "it ends in good order");
    Ok(())
}

/// Kills, builds and reads at one time; then looks at what became of it.
fn weather(
    service: &mut Service,
    postgres: Option<&Postgres>,
    trial: &Trial,
    plan: Plan,
) -> Result<()> {
    let http = service.http()?;
    let reader = Reader::new(&http, PROJECT, TARGET)?;
    let dnf = Dnf::new(service, "storm", PROJECT, trial)?;
    let given = (0..plan.builds).map(|at| upload(&http, at)).collect::<Result<Vec<_>>>()?;
    let shared = Shared::default();
    let began = Instant::now();
    let (submitted, looks, queries, kills) = std::thread::scope(|scope| {
        let submitting = scope.spawn(|| submit_all(&http, &given, &shared, plan));
        let reading = scope.spawn(|| read_on(&reader, &shared));
        let querying = scope.spawn(|| dnf.as_ref().map(|dnf| query_on(dnf, &shared)));
        let killed = kill_on(service, postgres, &shared, plan);
        let submitted = submitting.join().expect("no panic");
        let settled = killed.and_then(|kills| settle(&http, &shared).map(|()| kills));
        shared.is_over.store(true, Ordering::Relaxed);
        let looks = reading.join().expect("no panic");
        let queries = querying.join().expect("no panic");
        (submitted, looks, queries, settled)
    });
    if let Some(wrong) = shared.wrong.into_inner().expect("no panic") {
        bail!("{wrong}");
    }
    let kills = kills?;
    println!("{} kills in {:?}: {kills:?}", kills.values().sum::<u64>(), began.elapsed());
    println!("looks at the repository (whole, away): {looks:?}; by dnf: {queries:?}");
    ensure!(looks.0 > 0, "nobody ever saw the repository");
    check(&http, &reader, &submitted?)?;
    if let Some(dnf) = &dnf {
        let names = dnf.names(PROJECT)?.map_err(anyhow::Error::msg)?;
        let all = (0..plan.builds).map(name_of).chain(["kt-warm".to_owned()]);
        ensure!(names == all.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(), "{names:?}");
        ensure!(dnf.install(&name_of(0))? == format!("{} 1\n", name_of(0)));
    }
    Ok(())
}

fn name_of(at: u64) -> String {
    format!("kt-{at:03}")
}

/// What is to be built, uploaded before anything is killed.
fn upload(http: &Http, at: u64) -> Result<Value> {
    let name = name_of(at);
    let text = spec_text(&name, 1, "sleep 0.2");
    let (bytes, digest) = (text.as_bytes(), Digest::of(text.as_bytes()));
    let path = format!("/api/v1/uploads/{digest}?offset=0&size={}", bytes.len());
    let answer = http.ask("PUT", &path, &[], bytes)?;
    ensure!(answer.status == 200, "{}", answer.json());
    let spec = format!("{name}.spec");
    let files = BTreeMap::from([(spec.clone(), digest.to_string())]);
    Ok(json!({"title": name, "spec": spec, "files": files}))
}

/// Submits one after the other as the kills go on; each again until it is answered, by one key.
fn submit_all(http: &Http, given: &[Value], shared: &Shared, plan: Plan) -> Result<Vec<i64>> {
    let path = format!("/api/v1/projects/{PROJECT}/builds");
    let mut builds = Vec::new();
    for (at, one) in (0_u64..).zip(given) {
        // A few are under way at each moment.
        let due = |killed: u64| at < 3 + killed * plan.builds / plan.kills.max(1);
        while !due(shared.killed.load(Ordering::Relaxed)) && !shared.is_over() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let body = json!({"given": [one]}).to_string();
        let key = format!("storm-{at}");
        let id = loop {
            let asked = http.ask("POST", &path, &[("Idempotency-Key", &key)], body.as_bytes());
            match asked {
                Ok(answer) if answer.status == 201 => {
                    break answer.json()["builds"][0]["id"].clone();
                }
                Ok(answer) if answer.status != 503 => {
                    let wrong = format!("submitting {at}: {} {}", answer.status, answer.json());
                    shared.report(wrong.clone());
                    bail!(wrong);
                }
                _ if shared.is_over() => bail!("it ended before {at} was submitted"),
                Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        builds.push(id.as_i64().context("a number")?);
    }
    Ok(builds)
}

/// Looks at all of the repository again and again: how often it was whole, and how often nobody
/// answered.
fn read_on(reader: &Reader, shared: &Shared) -> (u64, u64) {
    let (mut whole, mut away, mut last) = (0, 0, 0);
    while !shared.is_over() {
        match reader.look() {
            Ok(Look::Whole { snapshot, .. }) if snapshot < last => {
                shared.report(format!("snapshot {snapshot} came after {last}"));
            }
            Ok(Look::Whole { snapshot, .. }) => (whole, last) = (whole + 1, snapshot),
            Ok(Look::Away) => away += 1,
            Ok(Look::Empty) => shared.report("there was a snapshot before".to_owned()),
            Err(error) => shared.report(format!("{error:#}")),
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    (whole, away)
}

/// As [`read_on`], with the real dnf.
fn query_on(dnf: &Dnf, shared: &Shared) -> (u64, u64) {
    let (mut whole, mut away) = (0, 0);
    while !shared.is_over() {
        match dnf.names(PROJECT) {
            Ok(Ok(_)) => whole += 1,
            // Nobody answered (of curl's errors), or the database was away.
            Ok(Err(told)) if told.contains("Curl error") || told.contains("503") => away += 1,
            Ok(Err(told)) => shared.report(format!("dnf: {told}")),
            Err(error) => shared.report(format!("{error:#}")),
        }
        std::thread::sleep(Duration::from_secs(2));
    }
    (whole, away)
}

fn kill_on(
    service: &mut Service,
    postgres: Option<&Postgres>,
    shared: &Shared,
    plan: Plan,
) -> Result<BTreeMap<Victim, u64>> {
    let mut dice = Dice::new(plan.seed);
    let mut kills = BTreeMap::new();
    let mut victims = vec![Victim::Control, Victim::Signer, Victim::Solver, Victim::Worker];
    if postgres.is_some() {
        victims.extend([Victim::Database, Victim::Database, Victim::ControlAndDatabase]);
    }
    while kills.values().sum::<u64>() < plan.kills && !shared.is_over() {
        std::thread::sleep(Duration::from_millis(dice.below(BREATH)));
        let victim = victims[dice.below(victims.len() as u64) as usize];
        let count = kill(service, postgres, victim)?;
        *kills.entry(victim).or_default() += count;
        shared.killed.fetch_add(count, Ordering::Relaxed);
    }
    Ok(kills)
}

/// Kills it, and does what whoever looks after a host does: starts again what doesn't start
/// itself. Tells how many were killed: not everyone is there at each moment.
fn kill(service: &mut Service, postgres: Option<&Postgres>, victim: Victim) -> Result<u64> {
    let role = match victim {
        Victim::Worker => "worker",
        Victim::Signer => "internal-signer",
        Victim::Solver => "internal-solver",
        Victim::Control => {
            service.kill()?;
            start(service)?;
            return Ok(1);
        }
        Victim::Database => {
            let postgres = postgres.context("a database")?;
            postgres.kill()?;
            postgres.up()?;
            return Ok(1);
        }
        Victim::ControlAndDatabase => {
            let postgres = postgres.context("a database")?;
            service.kill()?;
            postgres.kill()?;
            std::thread::scope(|scope| {
                let database = scope.spawn(|| {
                    std::thread::sleep(LATE);
                    postgres.up()
                });
                let started = start(service);
                database.join().expect("no panic")?;
                started
            })?;
            return Ok(2);
        }
    };
    Ok(service.kill_children(role)? as u64)
}

/// As systemd would: again until it is up.
fn start(service: &mut Service) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match service.up() {
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(100)),
            result => return result.map(drop),
        }
    }
}

/// Every build that the service knows.
fn builds(http: &Http) -> Result<Vec<Value>> {
    let answer = http.get(&format!("/api/v1/builds?project={PROJECT}&count=500"))?;
    ensure!(answer.status == 200, "{}", answer.json());
    answer.json()["items"].as_array().cloned().context("a list")
}

fn settle(http: &Http, shared: &Shared) -> Result<()> {
    let until = Instant::now() + SETTLED;
    while !shared.is_over() {
        let all = builds(http)?;
        let open = all.iter().filter(|one| one["jobs"][0]["is_over"] != true);
        let open: Vec<&Value> = open.collect();
        if open.is_empty() {
            break;
        }
        ensure!(Instant::now() < until, "these never ended: {open:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Each build that was taken is there, was built and is published once; nothing else is.
fn check(http: &Http, reader: &Reader, submitted: &[i64]) -> Result<()> {
    let all = builds(http)?;
    let ids: BTreeSet<i64> = all.iter().filter_map(|one| one["id"].as_i64()).collect();
    ensure!(submitted.iter().all(|id| ids.contains(id)), "lost: {submitted:?} of {ids:?}");
    ensure!(all.len() == submitted.len() + 1, "{} of {}", all.len(), submitted.len());
    let mut attempts: BTreeMap<i64, u64> = BTreeMap::new();
    for build in &all {
        let job = &build["jobs"][0];
        let is_published = job["state"] == "built" && job["snapshot"].is_i64();
        ensure!(is_published, "not published: {build:#}");
        *attempts.entry(job["attempt"].as_i64().unwrap_or(0)).or_default() += 1;
    }
    println!("attempts that it took, and how many builds took so many: {attempts:?}");
    published_once(http, &all)?;
    attested_once(http, &all)?;
    let Look::Whole { packages, .. } = reader.look()? else { bail!("the repository is away") };
    let names: BTreeSet<&String> = packages.iter().collect();
    ensure!(names.len() == packages.len() && packages.len() == all.len(), "{packages:?}");
    Ok(())
}

/// How each job was built is said once, of the very bytes that are published; the log has all of
/// it and nothing else, and a head that covers it.
fn attested_once(http: &Http, all: &[Value]) -> Result<()> {
    let text = |path: &str| -> Result<Vec<u8>> {
        let answer = http.get(path)?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        Ok(answer.body)
    };
    let key = PublicKey::read(&String::from_utf8(text("/api/v1/log/key")?)?)?;
    for build in all {
        let job = build["jobs"][0]["id"].as_i64().context("a number")?;
        let said: Value =
            serde_json::from_slice(&text(&format!("/api/v1/jobs/{job}/attestations"))?)?;
        ensure!(said.as_array().is_some_and(|said| said.len() == 1), "job {job}: {said}");
        let path = format!(
            "/api/v1/jobs/{job}/attestations/{}",
            said[0]["digest"].as_str().context("a digest")?
        );
        let verified = Verified::read(&text(&path)?, &key)?;
        Proof::read(&text(&format!("{path}/proof"))?)?.check(&verified.envelope, &key)?;
        for subject in &verified.statement.subject {
            if subject.name.ends_with(".src.rpm") {
                continue;
            }
            let published = text(&format!(
                "/repos/{PROJECT}/{TARGET}/current/Packages/{}/{}",
                &subject.name[..1],
                subject.name
            ))?;
            verified.check_file(&subject.name, &Digest::of(&published))?;
        }
    }
    let log: Value = serde_json::from_slice(&text("/api/v1/log/entries")?)?;
    ensure!(log["size"].as_u64() == Some(all.len() as u64), "{log}");
    Ok(())
}

/// The history of the repository names each job once.
fn published_once(http: &Http, all: &[Value]) -> Result<()> {
    let answer = http.get(&format!("/api/v1/projects/{PROJECT}/targets/{TARGET}/snapshots"))?;
    let snapshots = answer.json();
    let snapshots = snapshots.as_array().context("a list")?;
    let causes = snapshots.iter().filter_map(|one| one["cause"].as_str());
    let mut named: Vec<&str> = causes.flat_map(|cause| cause.split(", ")).collect();
    let count = named.len();
    named.sort_unstable();
    named.dedup();
    ensure!(named.len() == count, "published twice: {snapshots:#?}");
    ensure!(count == all.len(), "{count} were published of {}: {named:?}", all.len());
    Ok(())
}
