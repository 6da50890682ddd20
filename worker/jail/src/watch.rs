//! Watches what a jail takes where no kernel controller counts it: memory, CPU time, processes,
//! disk and inodes, by looking from time to time.
//!
//! Runs in the keeper. The processes of a jail are the descendants of its pid 1, since orphans
//! become its children; `/proc` tells what each has taken (proc_pid_stat(5), proc_pid_statm(5)).

use std::fs;
use std::os::fd::OwnedFd;
use std::time::Duration;

use kiln_model::{Breached, Limit, Limits};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::process::Pid;

/// How often the keeper looks.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);

/// What was seen of the disk when it was last counted.
#[derive(Debug, Default, Clone, Copy)]
struct Disk {
    used: u64,
    inodes: u64,
    free: u64,
    free_inodes: u64,
}

/// The watch over one jail.
pub(crate) struct Watch<'a> {
    pid1: Pid,
    folder: &'a OwnedFd,
    uppers: Vec<&'a str>,
    limits: &'a Limits,
    counts_memory: bool,
    disk: Option<Disk>,
}

/// What the processes of a jail have taken together.
#[derive(Debug, Default)]
struct Taken {
    processes: u64,
    memory: u64,
    cpu: u64,
    pids: Vec<i32>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(
        pid1: Pid,
        folder: &'a OwnedFd,
        uppers: Vec<&'a str>,
        limits: &'a Limits,
        counts_memory: bool,
    ) -> Self {
        Self { pid1, folder, uppers, limits, counts_memory, disk: None }
    }

    /// Looks once; tells the first limit that is passed.
    pub(crate) fn look(&mut self) -> Option<Breached> {
        let taken = self.processes();
        let over =
            |limit, allowed, seen| (seen > allowed).then_some(Breached { limit, allowed, seen });
        over(Limit::Cpu, self.limits.cpu, taken.cpu)
            .or_else(|| over(Limit::Processes, self.limits.processes, taken.processes))
            .or_else(|| self.memory(&taken))
            .or_else(|| self.look_at_disk())
    }

    fn memory(&self, taken: &Taken) -> Option<Breached> {
        let allowed = self.limits.memory;
        if !self.counts_memory || taken.memory <= allowed {
            return None;
        }
        // Pages that a fork shares were counted more than once: now count with care, which costs
        // more than one should spend twice a second.
        let seen: u64 = taken.pids.iter().filter_map(|pid| proportional(*pid)).sum();
        (seen > allowed).then_some(Breached { limit: Limit::Memory, allowed, seen })
    }

    fn processes(&self) -> Taken {
        let mut taken = Taken::default();
        let mut todo = vec![self.pid1.as_raw_pid()];
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let page = rustix::param::page_size() as u64;
        let mut cpu_ticks = 0;
        while let Some(pid) = todo.pop() {
            // A guest that forks faster than we read must not hold the keeper here.
            if taken.processes > self.limits.processes.saturating_mul(2) {
                break;
            }
            let Some((threads, ticks)) = stat(pid) else { continue };
            taken.processes += threads;
            taken.pids.push(pid);
            cpu_ticks += ticks;
            taken.memory += anonymous_pages(pid).unwrap_or(0) * page;
            todo.extend(children(pid));
        }
        taken.cpu = cpu_ticks / ticks;
        taken
    }

    /// Counts the writable layers, if they could have passed a limit since they were counted.
    fn look_at_disk(&mut self) -> Option<Breached> {
        let free = rustix::fs::fstatvfs(self.folder).ok()?;
        let (free, free_inodes) = (free.f_bavail * free.f_frsize, free.f_favail);
        if let Some(before) = self.disk {
            let taken = before.free.saturating_sub(free);
            let taken_inodes = before.free_inodes.saturating_sub(free_inodes);
            let room = self.limits.disk.saturating_sub(before.used);
            let room_inodes = self.limits.inodes.saturating_sub(before.inodes);
            if taken <= room && taken_inodes <= room_inodes {
                return None;
            }
        }
        let (seen, over) = count_all(self.folder, &self.uppers, self.limits);
        self.disk = Some(Disk { free, free_inodes, ..seen });
        over
    }
}

/// The limit on the disk that the writable layers are over, if they are.
pub(crate) fn disk_limit(folder: &OwnedFd, uppers: &[&str], limits: &Limits) -> Option<Breached> {
    count_all(folder, uppers, limits).1
}

fn count_all(folder: &OwnedFd, uppers: &[&str], limits: &Limits) -> (Disk, Option<Breached>) {
    let mut seen = Disk::default();
    for upper in uppers {
        count(folder, upper, &mut seen, limits.inodes);
    }
    let over = |limit, allowed, seen| (seen > allowed).then_some(Breached { limit, allowed, seen });
    let over = over(Limit::Disk, limits.disk, seen.used)
        .or_else(|| over(Limit::Inodes, limits.inodes, seen.inodes));
    (seen, over)
}

/// Threads and CPU ticks of a process, those of the children that it has waited for included.
fn stat(pid: i32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses and spaces too.
    let rest = text.rsplit_once(')')?.1;
    let fields: Vec<u64> =
        rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    // Of proc_pid_stat(5): fields 14 to 17 are utime, stime, cutime, cstime, 20 is num_threads;
    // `rest` begins with field 3.
    let cpu = fields.get(11..15)?.iter().sum();
    Some((*fields.get(17)?, cpu))
}

fn anonymous_pages(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut fields = text.split(' ').skip(1).map(|field| field.parse::<u64>().unwrap_or(0));
    let (resident, shared) = (fields.next()?, fields.next()?);
    Some(resident.saturating_sub(shared))
}

fn proportional(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss_Anon:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

/// Adds what lies in a writable layer: blocks and inodes. Stops where it has seen too many.
fn count(folder: &OwnedFd, upper: &str, seen: &mut Disk, cap: u64) {
    let path = format!("{upper}/fs");
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(top) = rustix::fs::openat(folder, path, flags, Mode::empty()) else { return };
    let mut todo = vec![top];
    while let Some(folder) = todo.pop() {
        let Ok(entries) = Dir::read_from(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            seen.inodes += 1;
            seen.used += stat.st_blocks.unsigned_abs() * 512;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                && let Ok(below) = rustix::fs::openat(&folder, name, flags, Mode::empty())
            {
                todo.push(below);
            }
            // Open folders are descriptors: a wide and deep tree is passed over in part, and its
            // inodes are counted by then.
            if seen.inodes > cap || todo.len() > 512 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let pid = rustix::process::getpid().as_raw_pid();
        let (threads, _) = stat(pid).expect("a stat of our own");
        assert!(threads >= 1);
        assert!(anonymous_pages(pid).expect("a statm of our own") > 0);
    }

    #[test]
    fn a_layer_is_counted_with_its_folders() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("root/fs/a/b")).expect("made");
        fs::write(folder.path().join("root/fs/a/b/file"), vec![1; 100_000]).expect("written");
        let opened = rustix::fs::open(folder.path(), OFlags::DIRECTORY, Mode::empty());
        let mut seen = Disk::default();
        count(&opened.expect("opened"), "root", &mut seen, 1000);
        assert_eq!(seen.inodes, 3);
        assert!(seen.used >= 100_000);
    }
}
