//! Builds at the same time see nothing of each other, though they want the same things: the same
//! files, locks, port, abstract socket, System V and POSIX objects, and build folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::kiln::{How, Outcome};
use crate::place::{Place, own_folder};
use crate::report::{seconds, table, write};
use crate::rpms::Rpm;

/// What came of some builds at once.
#[derive(Debug, Serialize)]
pub struct Row {
    /// How many.
    pub count: usize,
    /// Whether they had to make their layers, all at once.
    pub is_cold: bool,
    /// From the first one's beginning to the last one's end, in milliseconds.
    pub wall_ms: u64,
    /// How many held the same things at the same moment.
    pub overlapped: usize,
    /// What is wrong; nothing, hopefully.
    pub wrong: Vec<String>,
}

/// Builds so many at once for each count, warm and cold; prints and writes what came of it.
pub fn run(place: &Place, counts: &[usize]) -> Result<bool> {
    let mut rows = Vec::new();
    for count in counts {
        for is_cold in [true, false] {
            rows.push(at_once(place, *count, is_cold)?);
        }
    }
    let shown: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.count.to_string(),
                if row.is_cold { "cold" } else { "warm" }.to_owned(),
                seconds(row.wall_ms),
                row.overlapped.to_string(),
                if row.wrong.is_empty() { "yes".to_owned() } else { row.wrong.join("; ") },
            ]
        })
        .collect();
    table(&["builds", "cache", "s", "held at once", "none saw another"], &shown);
    write("together", &rows)?;
    Ok(rows.iter().all(|row| row.wrong.is_empty()))
}

/// So many builds at once, of one package and in one folder of kiln's.
pub fn at_once(place: &Place, count: usize, is_cold: bool) -> Result<Row> {
    let source = staged(place)?;
    let kiln = match is_cold {
        true => place.cold_kiln(&format!("together-{count}"))?,
        false => place.kiln(),
    };
    if !is_cold {
        // Its layers are made before.
        kiln.build(&source, "contend-before", &how("before", 0))?;
    }
    // Long enough for the last of them to come as far as the first.
    let hold = 2 + count as u64;
    let began = std::time::Instant::now();
    let running: Vec<_> = (0..count)
        .map(|number| {
            let who = format!("build-{number}");
            let running = kiln.start(&source, &format!("contend-{number}"), &how(&who, hold))?;
            Ok((who, running))
        })
        .collect::<Result<_>>()?;
    let mut wrong = Vec::new();
    let mut held = Vec::new();
    for (who, running) in running {
        match running.wait().and_then(|outcome| judge(&who, &outcome)) {
            Ok(span) => held.push(span),
            Err(error) => wrong.push(format!("{who}: {error:#}")),
        }
    }
    let wall_ms = began.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    let overlapped = most_at_once(&held);
    if overlapped < 2 && wrong.is_empty() {
        wrong.push("they did not overlap, so nothing is shown".to_owned());
    }
    if is_cold {
        place.forget(&kiln)?;
    }
    Ok(Row { count, is_cold, wall_ms, overlapped, wrong })
}

/// The folder with the package that contends.
pub fn staged(place: &Place) -> Result<PathBuf> {
    let folder = own_folder().join("contend");
    let read = |name: &str| -> Result<(String, Vec<u8>)> {
        Ok((name.to_owned(), std::fs::read(folder.join(name))?))
    };
    place.stage("contend", &[read("contend.spec")?, read("contend.c")?])
}

/// How one that contends is built.
pub fn how(who: &str, hold: u64) -> How {
    let define = [("who", who.to_owned()), ("hold", hold.to_string())];
    let define = define.map(|(name, body)| (name.to_owned(), body)).to_vec();
    How { define, ..How::default() }
}

/// A build that was alone with everything: it was built, holds its own bytes, and tells when it
/// held what others wanted too.
fn judge(who: &str, outcome: &Outcome) -> Result<(f64, f64)> {
    ensure!(outcome.is_built(), "{}{}", outcome.trouble(), said(&outcome.folder));
    let is_it = |path: &PathBuf| {
        path.to_string_lossy().ends_with("contend-1-1.x86_64.rpm")
            || path.file_name().is_some_and(|name| is_main(&name.to_string_lossy()))
    };
    let path = outcome.files().into_iter().find(is_it).context("no RPM")?;
    let expected: String =
        Sha256::digest(format!("{who}\n")).iter().map(|byte| format!("{byte:02x}")).collect();
    let files = Rpm::open(&path)?.files()?;
    let found = files.get("/usr/share/contend/who").context("no file 'who' in it")?;
    ensure!(found.contains(&expected), "its file holds what another wrote: {found}");
    let log = std::fs::read_to_string(outcome.folder.join("build.log"))?;
    span(&log, who).context("it does not say how long it held anything")
}

fn is_main(name: &str) -> bool {
    name.starts_with("contend-1-1.") && !name.contains(".src.")
}

/// What the package that contends wrote before it failed.
fn said(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("build.log")).unwrap_or_default();
    let line = log.lines().find(|line| line.starts_with("contend: "));
    line.map(|line| format!(" ({line})")).unwrap_or_default()
}

fn span(log: &str, who: &str) -> Option<(f64, f64)> {
    let start = format!("contend: {who} held from ");
    let rest = log.lines().find_map(|line| line.strip_prefix(&start))?;
    let (from, to) = rest.split_once(" to ")?;
    Some((from.parse().ok()?, to.trim().parse().ok()?))
}

/// How many spans hold one moment, at most.
fn most_at_once(spans: &[(f64, f64)]) -> usize {
    let at =
        |moment: f64| spans.iter().filter(|(from, to)| *from <= moment && moment < *to).count();
    spans.iter().map(|(from, _)| at(*from)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_from_logs_and_counted_where_they_overlap() {
        let log = "x\ncontend: build-1 held from 10.500 to 12.000\n";
        assert_eq!(span(log, "build-1"), Some((10.5, 12.0)));
        assert_eq!(span(log, "build-2"), None);
        assert_eq!(most_at_once(&[(1.0, 3.0), (2.0, 4.0), (3.5, 5.0)]), 2);
        assert_eq!(most_at_once(&[(1.0, 2.0), (2.0, 3.0)]), 1);
    }
}
