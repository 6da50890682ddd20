use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that a build may not have without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Memory of all processes together, in bytes.
    Memory,
    /// CPU time of all processes together, in seconds.
    Cpu,
    /// Processes and threads at one time.
    Processes,
    /// Bytes written to the throw-away root.
    Disk,
    /// Files and folders made in the throw-away root.
    Inodes,
    /// Bytes of log.
    Log,
    /// Files that a build hands over.
    Files,
    /// Time from start to end, in seconds.
    Wall,
    /// Time without a byte of log, in seconds.
    Silence,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Processes => "processes",
            Self::Disk => "disk",
            Self::Inodes => "inodes",
            Self::Log => "log",
            Self::Files => "files",
            Self::Wall => "wall",
            Self::Silence => "silence",
        })
    }
}

/// How much of each thing one build may have. Bytes, seconds and counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory of all processes together, in bytes.
    pub memory: u64,
    /// CPU time of all processes together, in seconds.
    pub cpu: u64,
    /// Processes and threads at one time.
    pub processes: u64,
    /// Bytes written to the throw-away root.
    pub disk: u64,
    /// Files and folders made in the throw-away root.
    pub inodes: u64,
    /// Bytes of log.
    pub log: u64,
    /// Files that a build hands over.
    pub files: u64,
    /// Time from start to end, in seconds.
    pub wall: u64,
    /// Time without a byte of log, in seconds.
    pub silence: u64,
}

impl Default for Limits {
    /// Room for the largest packages of a distribution on an ordinary build host.
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        const HOUR: u64 = 3600;
        Self {
            memory: 16 * GIB,
            cpu: 96 * HOUR,
            processes: 8192,
            disk: 64 * GIB,
            inodes: 4_000_000,
            log: GIB / 4,
            files: 2000,
            wall: 24 * HOUR,
            silence: 4 * HOUR,
        }
    }
}

impl Limits {
    /// What stages may have that only read a spec, list requirements and pack sources: none of
    /// it needs more, and a spec under 1 KB can ask for any amount of memory and time.
    pub fn for_parsing(&self) -> Self {
        const GIB: u64 = 1 << 30;
        Self {
            memory: self.memory.min(2 * GIB),
            cpu: self.cpu.min(120),
            processes: self.processes.min(512),
            log: self.log.min(16 << 20),
            wall: self.wall.min(300),
            silence: self.silence.min(120),
            ..self.clone()
        }
    }
}

/// A limit that was reached: which, what was allowed and what was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breached {
    /// Which limit.
    pub limit: Limit,
    /// What was allowed.
    pub allowed: u64,
    /// What was seen when the build was ended; as much as allowed where the kernel stopped it.
    pub seen: u64,
}

impl fmt::Display for Breached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, allowed, seen } = self;
        write!(f, "limit: {limit} (allowed {allowed}, seen {seen})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsing_never_gets_more_than_the_build() {
        let tight = Limits { memory: 1 << 20, cpu: 1, wall: 1, ..Limits::default() };
        let parsing = tight.for_parsing();
        assert_eq!((parsing.memory, parsing.cpu, parsing.wall), (1 << 20, 1, 1));
        assert!(Limits::default().for_parsing().memory <= 2 << 30);
    }
}
