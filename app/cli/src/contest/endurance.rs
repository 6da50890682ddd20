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
use super::round::Jail;
use super::{HONEST, Scene, quiet};

/// How many are built before it is first looked: what is made once is made by then.
const WARM: u32 = 12;

/// How much more memory this process may have than when it was first looked, in KiB: what is freed is
/// not given back at once.
const MEMORY: u64 = 96 << 10;

/// How many more open files and threads: those of pools come and go.
const POOLED: u64 = 16;

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
    /// Whether this user has another kiln running: processes of its jails are counted, too.
    is_beside_others: bool,
}

impl Sizes {
    /// What there is of each.
    fn counts(&self) -> [(&'static str, u64); 7] {
        [
            ("KiB of memory", self.resident_kib),
            ("open files", self.open_files as u64),
            ("threads", self.threads as u64),
            ("processes of jails", self.jail_processes as u64),
            ("mounts", self.mounts as u64),
            ("control groups", self.control_groups as u64),
            ("files of scratch space", self.scratch_files as u64),
        ]
    }

    /// What is more than it was and should not be.
    fn grown(&self, since: &Self) -> Vec<String> {
        let mut grown = Vec::new();
        for ((what, now), (_, before)) in self.counts().into_iter().zip(since.counts()) {
            let allowed = match what {
                "KiB of memory" => MEMORY,
                "open files" | "threads" => POOLED,
                "processes of jails" if self.is_beside_others => u64::MAX,
                _ => 0,
            };
            if now.saturating_sub(before) > allowed {
                grown.push(format!("{now} {what}, and {before} after {} builds", since.builds));
            }
        }
        grown
    }
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
    /// What has grown between the two looks.
    grown: Vec<String>,
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
                let ruling = scene.round(attack).play(Jail::Whole)?;
                if ruling.verdict == Verdict::Reached || !ruling.harm.is_empty() {
                    trouble.push(format!("{}: {}", attack.name, ruling.harm.join("; ")));
                }
            }
            _ => failed.extend(honest(scene, &local)?),
        }
        if !json && number % 50 == 49 {
            println!("{} of {builds}: {}", number + 1, line(&sizes(scene, number + 1)));
        }
    }
    let end = sizes(scene, builds);
    let warm = warm.unwrap_or_else(|| end.clone());
    let seconds = began.elapsed().as_secs();
    let (hostile, grown) = (count, end.grown(&warm));
    let endured =
        Endured { version: 1, builds, hostile, trouble, failed, grown, seconds, warm, end };
    tell(&endured, json);
    let Endured { trouble, failed, grown, .. } = &endured;
    let is_fine = trouble.is_empty() && failed.is_empty() && grown.is_empty();
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
        is_beside_others: left::others_build(),
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
    for sizes in [&endured.warm, &endured.end] {
        println!("  after {}: {}", sizes.builds, line(sizes));
    }
    match &endured.grown[..] {
        [] => println!("nothing has grown"),
        grown => println!("grown: {}", grown.join("; ")),
    }
}

fn line(sizes: &Sizes) -> String {
    let count = |(what, count): (&str, u64)| format!("{count} {what}");
    sizes.counts().map(count).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_told_and_what_others_do_is_not() {
        let warm = Sizes {
            builds: 12,
            resident_kib: 100_000,
            open_files: 28,
            threads: 11,
            jail_processes: 0,
            mounts: 20,
            control_groups: 0,
            scratch_files: 0,
            is_beside_others: false,
        };
        assert!(warm.grown(&warm).is_empty());
        let less = Sizes { open_files: 20, resident_kib: 150_000, ..warm.clone() };
        assert!(less.grown(&warm).is_empty(), "{:?}", less.grown(&warm));
        let beside = Sizes { jail_processes: 4, is_beside_others: true, ..warm.clone() };
        assert!(beside.grown(&warm).is_empty());
        let more = Sizes { mounts: 21, jail_processes: 1, resident_kib: 300_000, ..warm.clone() };
        let told = more.grown(&warm);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[1].contains("1 processes of jails, and 0 after 12 builds"), "{told:?}");
    }
}
