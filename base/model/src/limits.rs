use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

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
    /// Bytes of log in a second, over ten seconds.
    LogRate,
    /// Files that a build hands over.
    Files,
    /// Time from start to end, in seconds.
    Wall,
    /// Time without a byte of log, in seconds.
    Silence,
}

impl Limit {
    /// Each.
    pub const ALL: [Self; 10] = [
        Self::Memory,
        Self::Cpu,
        Self::Processes,
        Self::Disk,
        Self::Inodes,
        Self::Log,
        Self::LogRate,
        Self::Files,
        Self::Wall,
        Self::Silence,
    ];

    /// Its name, as it is written everywhere.
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Processes => "processes",
            Self::Disk => "disk",
            Self::Inodes => "inodes",
            Self::Log => "log",
            Self::LogRate => "log-rate",
            Self::Files => "files",
            Self::Wall => "wall",
            Self::Silence => "silence",
        }
    }

    /// What an amount of it may be given in.
    fn units(self) -> &'static [(&'static str, u64)] {
        const BYTES: &[(&str, u64)] =
            &[("", 1), ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40)];
        const SECONDS: &[(&str, u64)] = &[("", 1), ("s", 1), ("m", 60), ("h", 3600)];
        match self {
            Self::Memory | Self::Disk | Self::Log | Self::LogRate => BYTES,
            Self::Cpu | Self::Wall | Self::Silence => SECONDS,
            Self::Processes | Self::Inodes | Self::Files => &[("", 1)],
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Limits that somebody sets, and leaves the others as they are.
pub type SomeLimits = BTreeMap<Limit, u64>;

/// One limit as somebody writes it: `memory=8G`, `wall=90m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetLimit(pub Limit, pub u64);

/// Why a text sets no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a limit: {text:?} ({why}); write it as memory=8G or wall=90m")]
pub struct LimitError {
    text: String,
    why: &'static str,
}

impl FromStr for SetLimit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why| LimitError { text: text.chars().take(80).collect(), why };
        let (name, amount) = text.split_once('=').ok_or_else(|| wrong("no '='"))?;
        let limit = Limit::ALL.into_iter().find(|limit| limit.word() == name);
        let limit = limit.ok_or_else(|| wrong("no such thing to limit"))?;
        let split = amount.find(|c: char| !c.is_ascii_digit()).unwrap_or(amount.len());
        let (number, unit) = amount.split_at(split);
        let number: u64 = number.parse().map_err(|_| wrong("no number"))?;
        let unit = limit.units().iter().find(|(name, _)| *name == unit);
        let (_, times) = unit.ok_or_else(|| wrong("its unit"))?;
        let amount = number.checked_mul(*times).filter(|amount| *amount > 0);
        Ok(Self(limit, amount.ok_or_else(|| wrong("its size"))?))
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
    /// Bytes of log in a second, over ten seconds: who writes faster drowns what others read.
    #[serde(skip_serializing_if = "is_usual_rate")]
    pub log_rate: u64,
    /// Files that a build hands over.
    pub files: u64,
    /// Time from start to end, in seconds.
    pub wall: u64,
    /// Time without a byte of log, in seconds.
    pub silence: u64,
}

const USUAL_RATE: u64 = 16 << 20;

/// Whether a rate needs no word: workers of before there was one would not know it.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_usual_rate(rate: &u64) -> bool {
    *rate == USUAL_RATE
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
            log_rate: USUAL_RATE,
            files: 2000,
            wall: 24 * HOUR,
            silence: 4 * HOUR,
        }
    }
}

impl Limits {
    /// How much of one thing.
    pub fn of(&self, limit: Limit) -> u64 {
        match limit {
            Limit::Memory => self.memory,
            Limit::Cpu => self.cpu,
            Limit::Processes => self.processes,
            Limit::Disk => self.disk,
            Limit::Inodes => self.inodes,
            Limit::Log => self.log,
            Limit::LogRate => self.log_rate,
            Limit::Files => self.files,
            Limit::Wall => self.wall,
            Limit::Silence => self.silence,
        }
    }

    /// Sets one.
    pub fn set(&mut self, limit: Limit, amount: u64) {
        let place = match limit {
            Limit::Memory => &mut self.memory,
            Limit::Cpu => &mut self.cpu,
            Limit::Processes => &mut self.processes,
            Limit::Disk => &mut self.disk,
            Limit::Inodes => &mut self.inodes,
            Limit::Log => &mut self.log,
            Limit::LogRate => &mut self.log_rate,
            Limit::Files => &mut self.files,
            Limit::Wall => &mut self.wall,
            Limit::Silence => &mut self.silence,
        };
        *place = amount;
    }

    /// These, but for those that are set.
    pub fn with(mut self, some: &SomeLimits) -> Self {
        some.iter().for_each(|(limit, amount)| self.set(*limit, *amount));
        self
    }

    /// These, and of nothing more than an operator allows.
    pub fn within(mut self, most: &SomeLimits) -> Self {
        for (limit, most) in most {
            self.set(*limit, self.of(*limit).min(*most));
        }
        self
    }

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
    fn limits_have_names_and_units() {
        for (text, limit, amount) in [
            ("memory=8G", Limit::Memory, 8 << 30),
            ("wall=90m", Limit::Wall, 5400),
            ("files=10", Limit::Files, 10),
            ("log-rate=1M", Limit::LogRate, 1 << 20),
        ] {
            assert_eq!(text.parse(), Ok(SetLimit(limit, amount)));
        }
        for wrong in
            ["memory", "memory=", "memory=8X", "colour=1", "wall=0", "disk=99999999999999T"]
        {
            assert!(wrong.parse::<SetLimit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_limit_can_be_set_and_is_held_within_what_an_operator_allows() {
        for limit in Limit::ALL {
            let set = Limits::default().with(&SomeLimits::from([(limit, 7)]));
            assert_eq!(set.of(limit), 7, "{limit}");
            let bounded = Limits::default().within(&SomeLimits::from([(limit, 9)]));
            assert_eq!(bounded.of(limit), 9, "{limit}");
            assert_eq!(set.clone().within(&SomeLimits::from([(limit, 9)])), set, "{limit}");
        }
    }

    #[test]
    fn parsing_never_gets_more_than_the_build() {
        let tight = Limits { memory: 1 << 20, cpu: 1, wall: 1, ..Limits::default() };
        let parsing = tight.for_parsing();
        assert_eq!((parsing.memory, parsing.cpu, parsing.wall), (1 << 20, 1, 1));
        assert!(Limits::default().for_parsing().memory <= 2 << 30);
    }
}
