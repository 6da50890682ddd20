//! Control groups: the kernel's own count of memory and processes, where this user may use it.
//!
//! Version 2 with a delegated group is best (systemd's `Delegate=yes`), then groups of version 1
//! that an operator has handed over, then none. Sources: the kernel's admin-guide/cgroup-v2.rst
//! and cgroup-v1/. The launcher itself stays outside a jail's group: what a full group kills must
//! not be the process that reports it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use kiln_model::{Breached, Limit, Limits};

/// The name of the groups that an operator hands over.
const HANDED_OVER: &str = "kiln";

/// What this host lets this user do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Controllers {
    /// One tree (version 2), in which this folder is ours.
    Unified(PathBuf),
    /// A tree for each controller (version 1), with a folder of ours in some.
    Separate {
        /// Counts and limits memory.
        memory: Option<PathBuf>,
        /// Counts and limits processes.
        pids: Option<PathBuf>,
        /// Shares out CPU time.
        cpu: Option<PathBuf>,
    },
    /// Nothing: rlimits and the keeper's own count have to do.
    None,
}

impl Controllers {
    /// Looks for what there is.
    pub fn find() -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        unified(&mounts, &own).or_else(|| separate(&mounts, &own)).unwrap_or(Self::None)
    }

    /// Whether the kernel counts memory for us.
    pub fn counts_memory(&self) -> bool {
        match self {
            Self::Unified(_) => true,
            Self::Separate { memory, .. } => memory.is_some(),
            Self::None => false,
        }
    }

    /// One line for `kiln doctor`.
    pub fn describe(&self) -> String {
        match self {
            Self::Unified(at) => format!("version 2, delegated at {}", at.display()),
            Self::Separate { memory, pids, cpu } => {
                let named = [("memory", memory), ("pids", pids), ("cpu", cpu)];
                let there: Vec<_> =
                    named.iter().filter(|(_, at)| at.is_some()).map(|(name, _)| *name).collect();
                format!("version 1, with {}", there.join(", "))
            }
            Self::None => "none that this user may use".to_owned(),
        }
    }

    /// Makes the groups for one jail.
    pub(crate) fn group(&self, limits: &Limits, cpus: u32) -> io::Result<Group> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("jail-{}-{count}", std::process::id());
        let mut group = Group { folders: Vec::new(), memory: None, pids: None };
        match self {
            Self::Unified(at) => group.add_unified(&at.join(&name), limits, cpus)?,
            Self::Separate { memory, pids, cpu } => {
                if let Some(at) = memory {
                    group.add_memory(&at.join(&name), limits)?;
                }
                if let Some(at) = pids {
                    let at = group.add(&at.join(&name))?;
                    write(&at, "pids.max", limits.processes)?;
                    group.pids = Some(at);
                }
                if let Some(at) = cpu {
                    let at = group.add(&at.join(&name))?;
                    write(&at, "cpu.cfs_period_us", 100_000)?;
                    write(&at, "cpu.cfs_quota_us", u64::from(cpus) * 100_000)?;
                }
            }
            Self::None => {}
        }
        Ok(group)
    }
}

/// The groups of one jail; removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Group {
    folders: Vec<PathBuf>,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
}

impl Group {
    fn add(&mut self, at: &Path) -> io::Result<PathBuf> {
        fs::create_dir(at)?;
        self.folders.push(at.to_owned());
        Ok(at.to_owned())
    }

    fn add_unified(&mut self, at: &Path, limits: &Limits, cpus: u32) -> io::Result<()> {
        let at = self.add(at)?;
        write(&at, "memory.max", limits.memory)?;
        write(&at, "memory.swap.max", 0).or_else(if_missing)?;
        write(&at, "memory.oom.group", 1).or_else(if_missing)?;
        write(&at, "pids.max", limits.processes)?;
        let quota = format!("{} 100000", u64::from(cpus) * 100_000);
        fs::write(at.join("cpu.max"), quota).or_else(if_missing)?;
        self.pids = Some(at.clone());
        self.memory = Some(at);
        Ok(())
    }

    fn add_memory(&mut self, at: &Path, limits: &Limits) -> io::Result<()> {
        let at = self.add(at)?;
        write(&at, "memory.limit_in_bytes", limits.memory)?;
        // Only where the kernel counts swap.
        write(&at, "memory.memsw.limit_in_bytes", limits.memory).or_else(if_missing)?;
        self.memory = Some(at);
        Ok(())
    }

    /// Puts a process, and all that it will start, into the groups.
    pub(crate) fn take(&self, pid: i32) -> io::Result<()> {
        self.folders.iter().try_for_each(|at| fs::write(at.join("cgroup.procs"), pid.to_string()))
    }

    /// Whether the kernel ended something here for want of memory, or refused a process.
    pub(crate) fn breached(&self, limits: &Limits) -> Option<Breached> {
        self.out_of_memory(limits).or_else(|| self.out_of_processes(limits))
    }

    fn out_of_processes(&self, limits: &Limits) -> Option<Breached> {
        let events = fs::read_to_string(self.pids.as_ref()?.join("pids.events")).ok()?;
        let refused = events.lines().find_map(|line| line.strip_prefix("max "));
        let allowed = limits.processes;
        refused.is_some_and(|count| count.trim() != "0").then_some(Breached {
            limit: Limit::Processes,
            allowed,
            seen: allowed,
        })
    }

    fn out_of_memory(&self, limits: &Limits) -> Option<Breached> {
        let at = self.memory.as_ref()?;
        let killed = ["memory.events", "memory.oom_control"]
            .iter()
            .filter_map(|file| fs::read_to_string(at.join(file)).ok())
            .any(|text| {
                text.lines().any(|line| {
                    line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0")
                })
            });
        let allowed = limits.memory;
        killed.then_some(Breached { limit: Limit::Memory, allowed, seen: allowed })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for at in &self.folders {
            // Every process in it is dead by now, but the kernel may still be letting go.
            for _ in 0..100 {
                match fs::remove_dir(at) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(std::time::Duration::from_millis(10));
                    }
                    _ => break,
                }
            }
        }
    }
}

fn write(at: &Path, file: &str, value: u64) -> io::Result<()> {
    fs::write(at.join(file), value.to_string())
}

/// A file that this kernel does not have is no failure.
fn if_missing(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Ok(()),
        _ => Err(error),
    }
}

/// Our group of the one tree, with its controllers handed to children: this process moves to a
/// leaf first, since a group with processes of its own cannot hand anything down.
fn unified(mounts: &str, own: &str) -> Option<Controllers> {
    let top = mount_of(mounts, "cgroup2", None)?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut at = top.join(path);
    if at.file_name().is_some_and(|name| name == "kiln-main") {
        at.pop();
    }
    let offered = fs::read_to_string(at.join("cgroup.controllers")).ok()?;
    let has = |name: &str| offered.split_whitespace().any(|offered| offered == name);
    if !(has("memory") && has("pids") && is_ours(&at)) {
        return None;
    }
    let leaf = at.join("kiln-main");
    fs::create_dir_all(&leaf).ok()?;
    fs::write(leaf.join("cgroup.procs"), std::process::id().to_string()).ok()?;
    let wanted = if has("cpu") { "+memory +pids +cpu" } else { "+memory +pids" };
    fs::write(at.join("cgroup.subtree_control"), wanted).ok()?;
    Some(Controllers::Unified(at))
}

fn separate(mounts: &str, own: &str) -> Option<Controllers> {
    let find = |controller: &str| {
        let top = mount_of(mounts, "cgroup", Some(controller))?;
        let path = own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let controllers = fields.next()?;
            let path = fields.next()?;
            controllers.split(',').any(|one| one == controller).then_some(path)
        });
        let below_own = path.map(|path| top.join(path.trim_start_matches('/')).join(HANDED_OVER));
        [below_own, Some(top.join(HANDED_OVER))].into_iter().flatten().find(|at| is_ours(at))
    };
    let (memory, pids, cpu) = (find("memory"), find("pids"), find("cpu"));
    let any = memory.is_some() || pids.is_some() || cpu.is_some();
    any.then_some(Controllers::Separate { memory, pids, cpu })
}

/// Where a tree of control groups is mounted (proc_pid_mounts(5)).
fn mount_of(mounts: &str, kind: &str, controller: Option<&str>) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, at, found, options, ..] = fields[..] else { return None };
        let fits = found == kind
            && controller.is_none_or(|wanted| options.split(',').any(|option| option == wanted));
        fits.then(|| PathBuf::from(at))
    })
}

/// Whether this user may make groups there and move processes.
fn is_ours(at: &Path) -> bool {
    use rustix::fs::{Access, access};
    access(at, Access::WRITE_OK | Access::EXEC_OK).is_ok()
        && access(at.join("cgroup.procs"), Access::WRITE_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n\
        cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";

    #[test]
    fn mounts_are_found_by_kind_and_controller() {
        let memory = mount_of(MOUNTS, "cgroup", Some("memory"));
        assert_eq!(memory, Some(PathBuf::from("/sys/fs/cgroup/memory")));
        assert_eq!(mount_of(MOUNTS, "cgroup", Some("pids")), None);
        let unified = mount_of(MOUNTS, "cgroup2", None);
        assert_eq!(unified, Some(PathBuf::from("/sys/fs/cgroup/unified")));
    }

    #[test]
    fn no_group_is_needed_where_there_is_none() {
        let group = Controllers::None.group(&Limits::default(), 1).expect("nothing to make");
        assert!(group.take(1).is_ok());
        assert_eq!(group.breached(&Limits::default()), None);
    }
}
