//! What a command takes: wall time, and the CPU time of it and of everything that it started.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::WaitOptions;
use serde::Serialize;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// What several runs took: medians, and how far apart the runs lie.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Figures {
    pub(crate) runs: usize,
    pub(crate) wall_ms: f64,
    pub(crate) wall_least_ms: f64,
    pub(crate) wall_most_ms: f64,
    pub(crate) cpu_ms: f64,
    pub(crate) cpu_least_ms: f64,
    pub(crate) cpu_most_ms: f64,
}

impl Figures {
    /// Of runs of the same thing; at least one.
    pub(crate) fn of(runs: &[Took]) -> Self {
        let wall = sorted(runs, |took| took.wall);
        let cpu = sorted(runs, |took| took.cpu);
        Self {
            runs: runs.len(),
            wall_ms: median(&wall),
            wall_least_ms: wall[0],
            wall_most_ms: wall[wall.len() - 1],
            cpu_ms: median(&cpu),
            cpu_least_ms: cpu[0],
            cpu_most_ms: cpu[cpu.len() - 1],
        }
    }
}

/// How much more CPU time something took than what ran just before and just after it: a machine
/// whose speed drifts within minutes is the same for all three.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Difference {
    /// The mean over all rounds.
    pub(crate) cpu_ms: f64,
    /// How far the mean may be off: its standard error.
    pub(crate) error_ms: f64,
}

impl Difference {
    /// Of runs that took turns; at least one.
    pub(crate) fn of(runs: &[Took], before: &[Took], after: &[Took]) -> Self {
        let ms = |took: &Took| took.cpu.as_secs_f64() * 1e3;
        let around = before.iter().zip(after).map(|(one, other)| (ms(one) + ms(other)) / 2.0);
        let more: Vec<f64> =
            runs.iter().zip(around).map(|(run, beside)| ms(run) - beside).collect();
        let count = more.len() as f64;
        let mean = more.iter().sum::<f64>() / count;
        let spread = more.iter().map(|one| (one - mean).powi(2)).sum::<f64>();
        Self { cpu_ms: mean, error_ms: (spread / (count - 1.0).max(1.0) / count).sqrt() }
    }

    /// In words, beside what it is a part of.
    pub(crate) fn of_cpu(self, whole_ms: f64) -> String {
        let percent = |ms: f64| ms / whole_ms * 100.0;
        let Self { cpu_ms, error_ms } = self;
        format!(
            "{cpu_ms:+.0} ms CPU ({:+.1} %), give or take {error_ms:.0} ms ({:.1} %)",
            percent(cpu_ms),
            percent(error_ms)
        )
    }
}

fn sorted(runs: &[Took], of: impl Fn(&Took) -> Duration) -> Vec<f64> {
    let mut all: Vec<f64> = runs.iter().map(|took| of(took).as_secs_f64() * 1e3).collect();
    all.sort_by(f64::total_cmp);
    all
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// Makes this process the one to which orphans of what it starts fall, so that none is missed.
pub(crate) fn prepare() -> Result<()> {
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).context("becoming the parent of orphans")
}

/// Runs a command to its end, and everything that it leaves behind. One that fails is an error,
/// with the end of what it said.
pub(crate) fn time(command: &mut Command) -> Result<Took> {
    let said = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said.try_clone()?);
    let (took, code) =
        time_with(|| command.spawn(), |_| Ok(())).with_context(|| format!("timing {command:?}"))?;
    if code != Some(0) {
        bail!("{command:?} ended with {code:?}:\n{}", end_of(said)?);
    }
    Ok(took)
}

/// As [`time`], where something is done with the child while it runs; gives its exit code too.
pub(crate) fn time_with(
    start: impl FnOnce() -> std::io::Result<Child>,
    meanwhile: impl FnOnce(&mut Child) -> Result<()>,
) -> Result<(Took, Option<i32>)> {
    let cpu = cpu_of_ended()?;
    let began = Instant::now();
    let mut child = start()?;
    meanwhile(&mut child)?;
    let status = child.wait()?;
    let wall = began.elapsed();
    // Orphans are ours now: their time counts too.
    while rustix::process::wait(WaitOptions::empty()).is_ok() {}
    Ok((Took { wall, cpu: cpu_of_ended()?.saturating_sub(cpu) }, status.code()))
}

/// The CPU time of this process and of all its children that have ended.
pub(crate) fn cpu_of_all() -> Result<Duration> {
    ticks_of("self", 11..15)
}

/// The CPU time of processes that run as children of this one.
pub(crate) fn cpu_of_living() -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task")? {
        let children = fs::read_to_string(task?.path().join("children"))?;
        for child in children.split_whitespace() {
            sum += ticks_of(child, 11..13)?;
        }
    }
    Ok(sum)
}

fn cpu_of_ended() -> Result<Duration> {
    ticks_of("self", 13..15)
}

/// Sums fields of proc_pid_stat(5), counted from the one after the name: 11 and 12 are the
/// process's own time, 13 and 14 that of its children.
fn ticks_of(process: &str, fields: std::ops::Range<usize>) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let rest = text.rsplit_once(')').context("a strange /proc/PID/stat")?.1;
    let all: Vec<&str> = rest.split_whitespace().collect();
    let sum = all[fields].iter().map(|field| field.parse::<u64>()).sum::<Result<u64, _>>()?;
    Ok(Duration::from_secs(sum) / rustix::param::clock_ticks_per_second() as u32)
}

pub(crate) fn end_of(mut said: fs::File) -> Result<String> {
    use std::io::{Read, Seek};
    let mut bytes = Vec::new();
    said.rewind()?;
    said.read_to_end(&mut bytes)?;
    let from = bytes.len().saturating_sub(4000);
    Ok(String::from_utf8_lossy(&bytes[from..]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_of_what_ran_around_it() {
        let took = |ms| Took { wall: Duration::ZERO, cpu: Duration::from_millis(ms) };
        let (runs, before, after) =
            ([took(110), took(230)], [took(90), took(210)], [took(110), took(230)]);
        let Difference { cpu_ms, error_ms } = Difference::of(&runs, &before, &after);
        assert_eq!((cpu_ms.round(), error_ms.round()), (10.0, 0.0));
    }

    #[test]
    fn medians_are_of_the_middle() {
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
    }
}
