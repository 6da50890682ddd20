//! What a process takes, as the kernel counts it (proc(5)).

use std::fs;

use anyhow::{Context, Result};

/// A process that is watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// The memory that it has now, in MiB.
    pub(crate) fn rss_mib(self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// The most that it ever had, in MiB.
    pub(crate) fn most_mib(self) -> Result<f64> {
        self.status("VmHWM:")
    }

    fn status(self, field: &str) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)).context("a figure")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib / 1024.0)
    }

    /// The CPU time that it has had, without that of its children, in seconds.
    pub(crate) fn cpu_s(self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // The name, which may hold anything, is in brackets; user and system time are the 14th
        // and 15th field, in ticks of which there are 100 in a second on every Linux.
        let (_, fields) = text.rsplit_once(") ").context("a line of figures")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |at: usize| -> Result<f64> { Ok(fields.get(at).context("a field")?.parse()?) };
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }
}
