//! Nothing of a build has root on the host, or a capability in its user namespace.
//!
//! While a package builds, `/proc` is walked again and again from outside. The one exception are
//! `newuidmap` and `newgidmap`, which the distribution installs setuid: they write the map of a
//! new user namespace, which takes them milliseconds, and end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::place::Place;
use crate::report::{table, write};
use crate::together;

/// Programs that are setuid by the distribution's hand, and may be seen with root for a moment.
const EXCEPTIONS: [&str; 2] = ["newuidmap", "newgidmap"];

/// A process as it was seen from the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Seen {
    /// What the kernel calls it.
    pub name: String,
    /// Its real, effective, saved and file system uid, as the host sees them.
    pub uids: [u32; 4],
    /// Which user namespace it is in; nothing where this user may not know.
    pub namespace: Option<String>,
    /// What it may do there.
    pub capabilities: u64,
}

/// What was seen of all processes.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How often `/proc` was walked.
    pub walks: usize,
    /// How many processes were seen.
    pub processes: usize,
    /// What was seen, and of how many processes.
    pub seen: Vec<(Seen, usize)>,
    /// What should not be.
    pub wrong: Vec<String>,
}

/// Watches a build; prints and writes what was seen.
pub fn run(place: &Place) -> Result<bool> {
    let report = watch(place)?;
    let host = namespace_of("self").unwrap_or_default();
    // Each jail has a namespace of its own; the table tells no more than whose it is.
    let mut counts: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for (seen, count) in &report.seen {
        let namespace = match &seen.namespace {
            None => "unknown",
            Some(one) if *one == host => "the host's",
            Some(_) => "a jail's own",
        };
        let uids = seen.uids.map(|uid| uid.to_string()).join(" ");
        let capabilities = format!("{:x}", seen.capabilities);
        let row = vec![seen.name.clone(), uids, namespace.to_owned(), capabilities];
        *counts.entry(row).or_default() += count;
    }
    let with_count = |(mut row, count): (Vec<String>, usize)| {
        row.push(count.to_string());
        row
    };
    let rows: Vec<Vec<String>> = counts.into_iter().map(with_count).collect();
    table(&["process", "uids on the host", "user namespace", "capabilities", "seen"], &rows);
    println!("{} processes in {} walks through /proc", report.processes, report.walks);
    println!(
        "excepted: {}, which are setuid and write the map of a new namespace",
        EXCEPTIONS.join(" and ")
    );
    report.wrong.iter().for_each(|wrong| println!("WRONG: {wrong}"));
    write("no-root", &report)?;
    Ok(report.wrong.is_empty())
}

/// Builds a package with a cold cache, so that installing is watched too, and walks meanwhile.
pub fn watch(place: &Place) -> Result<Report> {
    // What loses its parent becomes this process's child, and stays in sight.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let host = namespace_of("self").unwrap_or_default();
    let kiln = place.cold_kiln("no-root")?;
    let source = together::staged(place)?;
    let mut running = kiln.start(&source, "no-root", &together::how("watched", 1))?;
    let mut known: BTreeSet<Process> = BTreeSet::new();
    let mut all: BTreeMap<(Process, Seen), ()> = BTreeMap::new();
    let mut walks = 0;
    while !running.has_ended()? {
        walk(running.process(), &mut known, &mut all);
        walks += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
    let outcome = running.wait()?;
    ensure!(outcome.is_built(), "{}", outcome.trouble());
    place.forget(&kiln)?;
    let mut counts: BTreeMap<Seen, usize> = BTreeMap::new();
    for (_, seen) in all.into_keys() {
        *counts.entry(seen).or_default() += 1;
    }
    let mut wrong: Vec<String> = counts.keys().filter_map(|seen| judge(seen, &host)).collect();
    let in_jail = |seen: &Seen| seen.namespace.as_ref().is_some_and(|one| *one != host);
    let is_root = place.ground.user().is_some();
    if is_root && !counts.keys().any(|seen| in_jail(seen) && seen.name == "rpmbuild") {
        wrong.push("no rpmbuild was seen in a namespace of its own: nothing is shown".to_owned());
    }
    Ok(Report { walks, processes: known.len(), seen: counts.into_iter().collect(), wrong })
}

/// What is wrong with a process, if anything is.
fn judge(seen: &Seen, host: &str) -> Option<String> {
    if EXCEPTIONS.contains(&seen.name.as_str()) {
        return None;
    }
    if seen.uids.contains(&0) {
        return Some(format!("{} had root on the host: uids {:?}", seen.name, seen.uids));
    }
    let on_host = seen.namespace.as_deref() == Some(host);
    (on_host && seen.capabilities != 0).then(|| {
        format!("{} had capabilities {:x} in the host's namespace", seen.name, seen.capabilities)
    })
}

/// A process, by its number and when it began: numbers are used again.
type Process = (u32, u64);

/// Looks at the process `root` and all below it.
fn walk(root: u32, known: &mut BTreeSet<Process>, all: &mut BTreeMap<(Process, Seen), ()>) {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: BTreeMap<u32, (u32, u64)> =
        numbers.filter_map(|number| Some((number, stat(number)?))).collect();
    let own = std::process::id();
    for (number, (_, began)) in &parents {
        let process = (*number, *began);
        let is_below = known.contains(&process) || descends(*number, root, own, &parents);
        if !is_below {
            continue;
        }
        if let Some(seen) = look(*number) {
            known.insert(process);
            all.insert((process, seen), ());
        }
    }
}

/// Whether a process is `root`, or below it, or below this one by another way: what lost its
/// parent. This process has no other children.
fn descends(number: u32, root: u32, own: u32, parents: &BTreeMap<u32, (u32, u64)>) -> bool {
    let mut at = number;
    // No chain is longer than there are processes.
    for _ in 0..parents.len() {
        if at == root {
            return true;
        }
        match parents.get(&at) {
            Some((parent, _)) if *parent == own => return at != own,
            Some((parent, _)) => at = *parent,
            None => return false,
        }
    }
    false
}

/// The parent of a process, and when it began: proc_pid_stat(5).
fn stat(number: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name may hold anything, parentheses too: what counts comes after the last.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    // Field 22; the parent was field 4.
    let began = fields.nth(17)?.parse().ok()?;
    Some((parent, began))
}

fn look(number: u32) -> Option<Seen> {
    let status = fs::read_to_string(format!("/proc/{number}/status")).ok()?;
    let namespace = namespace_of(&number.to_string());
    let mut seen = parse_status(&status)?;
    // It may have begun another program in between: then it is looked at in the next walk.
    let again = fs::read_to_string(format!("/proc/{number}/status")).ok()?;
    if parse_status(&again).as_ref() != Some(&seen) {
        return None;
    }
    seen.namespace = namespace;
    Some(seen)
}

fn namespace_of(process: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{process}/ns/user")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// proc_pid_status(5).
fn parse_status(text: &str) -> Option<Seen> {
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let uids: Vec<u32> =
        field("Uid")?.split_whitespace().map(|uid| uid.parse().ok()).collect::<Option<_>>()?;
    Some(Seen {
        name: field("Name")?.to_owned(),
        uids: uids.try_into().ok()?,
        namespace: None,
        capabilities: u64::from_str_radix(field("CapEff")?, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str, uid: u32, namespace: &str, capabilities: u64) -> Seen {
        let namespace = Some(namespace.to_owned());
        Seen { name: name.to_owned(), uids: [1000, uid, uid, uid], namespace, capabilities }
    }

    #[test]
    fn root_and_capabilities_on_the_host_are_wrong_and_in_a_jail_they_are_not() {
        for (process, is_wrong) in [
            (seen("kiln", 1000, "host", 0), false),
            (seen("rpmbuild", 160_578, "jail", 0), false),
            (seen("rpm", 100_000, "jail", 0x1ff), false),
            (seen("rpm", 0, "jail", 0), true),
            (seen("kiln", 1000, "host", 1), true),
            (seen("newuidmap", 0, "host", 0x1ff), false),
        ] {
            assert_eq!(judge(&process, "host").is_some(), is_wrong, "{process:?}");
        }
    }

    #[test]
    fn a_process_is_read_as_the_manual_says() {
        let text = "Name:\tsh\nUid:\t1\t2\t3\t4\nCapEff:\t00000000000000ff\n";
        let read = parse_status(text).expect("a process");
        assert_eq!((read.name.as_str(), read.uids, read.capabilities), ("sh", [1, 2, 3, 4], 255));
        assert!(stat(std::process::id()).is_some_and(|(parent, began)| parent > 0 && began > 0));
    }

    #[test]
    fn who_lost_its_parent_is_found_below_this_process() {
        // This process is 5, kiln is 10; 12 lost its parent; 20 is somebody else's.
        let parents = BTreeMap::from([
            (5, (1, 0)),
            (10, (5, 0)),
            (11, (10, 0)),
            (12, (5, 0)),
            (13, (12, 0)),
            (20, (1, 0)),
        ]);
        let below: Vec<u32> =
            parents.keys().copied().filter(|one| descends(*one, 10, 5, &parents)).collect();
        assert_eq!(below, [10, 11, 12, 13]);
    }
}
