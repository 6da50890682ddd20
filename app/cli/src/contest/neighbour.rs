//! How much longer a build takes while another one takes all that a host has.

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use kiln_model::{JobState, SomeLimits};
use serde::Serialize;

use crate::Failure;
use crate::failure::doing;
use crate::local::Local;
use crate::sources;

use super::attacks::{Attack, Shown};
use super::round::Jail;
use super::{HONEST, Scene, quiet};

/// How often an honest build is timed, alone and beside each.
const TIMES: usize = 5;

/// How much it has to do.
const BUSY: &str = "400000";

/// What came of it. Fields are only ever added.
#[derive(Debug, Serialize)]
struct Neighbours {
    version: u32,
    /// The middle one of the times of an honest build with nothing beside it, in milliseconds.
    alone_ms: u64,
    beside: Vec<Beside>,
}

/// An honest build beside an attack.
#[derive(Debug, Serialize)]
struct Beside {
    attack: String,
    /// How often the attack was played meanwhile.
    played: u32,
    /// The middle one of its times, in milliseconds.
    median_ms: u64,
    /// By how much more than alone, in percent.
    more_percent: i64,
}

pub(super) fn run(scene: &Scene<'_>, attacks: &[Attack], json: bool) -> Result<ExitCode, Failure> {
    let local = Local::open(scene.folders, Some(&scene.plan.target), scene.isolation, quiet())?;
    time(scene, &local)?;
    let alone = median(scene, &local)?;
    if !json {
        println!("alone: {alone} ms, the middle of {TIMES}");
    }
    let mut rows = Vec::new();
    for attack in attacks.iter().filter(|attack| attack.about.shown == Shown::Limit) {
        let (is_over, played) = (AtomicBool::new(false), AtomicU32::new(0));
        let median_ms = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    // What comes of it is for the table to tell.
                    let _ = scene.round(attack).play(Jail::Whole);
                    played.fetch_add(1, Ordering::SeqCst);
                }
            });
            let median = median(scene, &local);
            is_over.store(true, Ordering::SeqCst);
            median
        })?;
        let more = (median_ms as i64 - alone as i64) * 100 / (alone as i64).max(1);
        let played = played.load(Ordering::SeqCst);
        if !json {
            println!("beside {:<18} {median_ms} ms, {more:+} % ({played} played)", attack.name);
        }
        let attack = attack.name.clone();
        rows.push(Beside { attack, played, median_ms, more_percent: more });
    }
    if json {
        let told = Neighbours { version: 1, alone_ms: alone, beside: rows };
        let text = serde_json::to_string_pretty(&told);
        println!("{}", text.expect("types of our own always serialise"));
    }
    Ok(ExitCode::SUCCESS)
}

fn median(scene: &Scene<'_>, local: &Local) -> Result<u64, Failure> {
    let mut times = (0..TIMES).map(|_| time(scene, local)).collect::<Result<Vec<u64>, _>>()?;
    times.sort_unstable();
    Ok(times[TIMES / 2])
}

/// How long an honest build takes, in milliseconds.
fn time(scene: &Scene<'_>, local: &Local) -> Result<u64, Failure> {
    let folder = tempfile::tempdir().map_err(doing("making a folder for a package"))?;
    fs::write(folder.path().join("honest.spec"), HONEST).map_err(doing("writing a package"))?;
    let given = sources::take(folder.path(), &local.cas)?;
    let macros = BTreeMap::from([("contest_busy".to_owned(), BUSY.to_owned())]);
    let plan = scene.plan.of_attack(macros, &SomeLimits::new(), scene.isolation);
    let began = Instant::now();
    let (job, _) = local.build(plan.submission(given, &local.cas)?, false)?;
    let took = began.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    match job.state {
        JobState::Built => Ok(took),
        _ => Err(Failure::caller("an honest build failed", job.report.map(|report| report.error))),
    }
}
