//! Many builds in a row, every third of them hostile, and what has grown when they are over.

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use kiln_model::{JobState, SomeLimits};
use serde::Serialize;

use crate::Failure;
use crate::failure::doing;
use crate::local::Local;
use crate::sources;

use super::attacks::{Attack, Verdict};
use super::left;
use super::{HONEST, Scene, quiet};

/// How many are built before it is first looked: what is made once is made by then.
const WARM: u32 = 12;

/// What may grow, at one moment.
#[derive(Debug, Clone, Serialize)]
struct Sizes {
    builds: u32,
    /// Memory of this process, in KiB.
    resident_kib: u64,
    open_files: usize,
    threads: usize,
    jail_processes: usize,
    mounts: usize,
    control_groups: usize,
    scratch_files: usize,
}

/// What came of it. Fields are only ever added.
#[derive(Debug, Serialize)]
struct Endured {
    version: u32,
    builds: u32,
    hostile: u32,
    /// Attacks that got through, or left something.
    trouble: Vec<String>,
    /// Honest builds that were not built.
    failed: Vec<String>,
    seconds: u64,
    warm: Sizes,
    end: Sizes,
}

pub(super) fn run(
    scene: &Scene<'_>,
    attacks: &[Attack],
    builds: u32,
    json: bool,
) -> Result<ExitCode, Failure> {
    let target = Some(&scene.plan.target);
    let local = Local::open(scene.folders, target, scene.isolation, quiet())?;
    let (mut trouble, mut failed) = (Vec::new(), Vec::new());
    let mut hostile = attacks.iter().cycle();
    let (began, mut warm, mut count) = (Instant::now(), None, 0);
    for number in 0..builds {
        if number == WARM {
            warm = Some(sizes(scene, number));
        }
        match (number % 3, hostile.next()) {
            (2, Some(attack)) => {
                count += 1;
                let ruling = scene.round(attack).play(&[])?;
                if ruling.verdict == Verdict::Reached || !ruling.harm.is_empty() {
                    trouble.push(format!("{}: {}", attack.name, ruling.harm.join("; ")));
                }
            }
            _ => failed.extend(honest(scene, &local)?),
        }
        if !json && number % 50 == 49 {
            println!("{} of {builds}: {:?}", number + 1, sizes(scene, number + 1));
        }
    }
    let end = sizes(scene, builds);
    let warm = warm.unwrap_or_else(|| end.clone());
    let seconds = began.elapsed().as_secs();
    let endured =
        Endured { version: 1, builds, hostile: count, trouble, failed, seconds, warm, end };
    tell(&endured, json);
    let is_fine = endured.trouble.is_empty() && endured.failed.is_empty();
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn honest(scene: &Scene<'_>, local: &Local) -> Result<Option<String>, Failure> {
    let folder = tempfile::tempdir().map_err(doing("making a folder for a package"))?;
    fs::write(folder.path().join("honest.spec"), HONEST).map_err(doing("writing a package"))?;
    let given = sources::take(folder.path(), &local.cas)?;
    let plan = scene.plan.of_attack(BTreeMap::new(), &SomeLimits::new(), scene.isolation);
    let (job, _) = local.build(plan.submission(given, &local.cas)?, false)?;
    let told = job.report.map_or_else(|| job.state.word().to_owned(), |report| report.error);
    Ok((job.state != JobState::Built).then_some(told))
}

fn sizes(scene: &Scene<'_>, builds: u32) -> Sizes {
    let count = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|text| text.split_whitespace().next()?.parse().ok());
    let (jail_processes, mounts, control_groups) = left::counts();
    let scratch = scene.folders.data().join("scratch.v1");
    Sizes {
        builds,
        resident_kib: resident.unwrap_or(0),
        open_files: count("/proc/self/fd"),
        threads: count("/proc/self/task"),
        jail_processes,
        mounts,
        control_groups,
        scratch_files: fs::read_dir(scratch).map_or(0, Iterator::count),
    }
}

fn tell(endured: &Endured, json: bool) {
    if json {
        let text = serde_json::to_string_pretty(endured);
        println!("{}", text.expect("types of our own always serialise"));
        return;
    }
    println!(
        "{} builds, {} of them hostile, in {} s; {} got through or left something; {} honest ones \
         failed",
        endured.builds,
        endured.hostile,
        endured.seconds,
        endured.trouble.len(),
        endured.failed.len()
    );
    for line in endured.trouble.iter().chain(&endured.failed) {
        println!("  {line}");
    }
    println!("  {:?}", endured.warm);
    println!("  {:?}", endured.end);
}
