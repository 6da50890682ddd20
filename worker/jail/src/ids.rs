//! Which ids of the host stand behind the ids inside a jail.
//!
//! ```text
//! inside          on the host                      who
//! 0..=59999       the first 60,000 of the range    root and the system's users; owners of layers
//! 60578..=60641   64 of the slot's own             the build user (60578) and room beside it
//! 65534           the 60,001st of the range        nobody
//! ```
//!
//! Layers are shared by every slot, so the ids that own their files must be the same in all; the
//! id that a package's own code runs as differs from slot to slot, and owns nothing that another
//! slot can see. 60578 is an id that systemd's table of uids (UIDS-GIDS.md) leaves unused and that
//! useradd never gives. The usual 65,536 subordinate ids are enough for 86 slots.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// The build user's id inside, and that of its group.
pub const BUILD_ID: u32 = 60578;

const SYSTEM_IDS: u32 = 60_000;
const NOBODY: u32 = 65_534;
/// How many ids a slot has of its own, from [`BUILD_ID`] on.
pub(crate) const SLOT_IDS: u32 = 64;

/// One line of `/proc/PID/uid_map`: `count` ids from `inside` on are those from `outside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The first id inside.
    pub inside: u32,
    /// The first id on the host.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The maps of users and of groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// For users.
    pub users: Vec<Extent>,
    /// For groups.
    pub groups: Vec<Extent>,
}

/// The subordinate ids that belong to a user (subuid(5), subgid(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first id.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// Why there are no ids for a jail.
#[derive(Debug, thiserror::Error)]
pub enum IdError {
    /// The file cannot be read.
    #[error("reading {file}")]
    Read {
        /// Which file.
        file: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The user has no range, or too small a one.
    #[error("{user} has {found} subordinate ids in {file}; a jail needs {needed}")]
    Few {
        /// Whose.
        user: String,
        /// Where.
        file: &'static str,
        /// The largest range found.
        found: u32,
        /// What this slot needs.
        needed: u32,
    },
}

/// The file with the ranges of users.
pub const SUBUID: &str = "/etc/subuid";
/// The file with the ranges of groups.
pub const SUBGID: &str = "/etc/subgid";

impl IdMap {
    /// The map of a slot for the user of this process.
    pub fn of_slot(slot: u32) -> Result<Self, IdError> {
        let user = user_name();
        let users = extents(SUBUID, &user, range_of(SUBUID, &user)?, slot)?;
        let groups = extents(SUBGID, &user, range_of(SUBGID, &user)?, slot)?;
        Ok(Self { users, groups })
    }

    /// The map inside a machine, where every id is free: each is itself, so that layers' files
    /// have the owners that they have outside.
    pub fn of_machine() -> Self {
        let same = |first: u32, count: u32| Extent { inside: first, outside: first, count };
        let extents = vec![same(0, SYSTEM_IDS), same(BUILD_ID, SLOT_IDS), same(NOBODY, 1)];
        Self { users: extents.clone(), groups: extents }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let range = Range { first: 100_000, count: 65_536 };
        let extents = extents(SUBUID, "tester", range, 0).expect("a full range");
        Self { users: extents.clone(), groups: extents }
    }
}

/// How many slots a range has ids for.
pub fn slots_in(range: Range) -> u32 {
    range.count.saturating_sub(SYSTEM_IDS + 1) / SLOT_IDS
}

/// The largest range that `file` gives to `user`, by name or by number.
pub fn range_of(file: &'static str, user: &str) -> Result<Range, IdError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(IdError::Read { file, source }),
    };
    let number = rustix::process::getuid().as_raw().to_string();
    Ok(largest(&text, &[user, &number]).unwrap_or(Range { first: 0, count: 0 }))
}

/// The name of the user of this process; its number where it has no name.
pub fn user_name() -> String {
    let number = rustix::process::getuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&passwd, number).unwrap_or_else(|| number.to_string())
}

fn name_in(passwd: &str, number: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id: u32 = fields.nth(1)?.parse().ok()?;
        (id == number).then(|| name.to_owned())
    })
}

fn largest(text: &str, owners: &[&str]) -> Option<Range> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let first = fields.next()?.parse().ok()?;
            let count = fields.next()?.parse().ok()?;
            owners.contains(&owner).then_some(Range { first, count })
        })
        .max_by_key(|range| range.count)
}

fn extents(
    file: &'static str,
    user: &str,
    range: Range,
    slot: u32,
) -> Result<Vec<Extent>, IdError> {
    let needed = SYSTEM_IDS + 1 + SLOT_IDS * (slot + 1);
    if range.count < needed {
        let user = user.to_owned();
        return Err(IdError::Few { user, file, found: range.count, needed });
    }
    let own = range.first + SYSTEM_IDS + 1 + SLOT_IDS * slot;
    Ok(vec![
        Extent { inside: 0, outside: range.first, count: SYSTEM_IDS },
        Extent { inside: BUILD_ID, outside: own, count: SLOT_IDS },
        Extent { inside: NOBODY, outside: range.first + SYSTEM_IDS, count: 1 },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_share_system_ids_and_nothing_else() {
        let range = Range { first: 100_000, count: 65_536 };
        assert_eq!(slots_in(range), 86);
        let first = extents(SUBUID, "u", range, 0).expect("room");
        let last = extents(SUBUID, "u", range, 85).expect("room");
        assert_eq!(first[0], last[0]);
        assert_eq!(first[2], last[2]);
        assert!(first[1].outside + first[1].count <= last[1].outside);
        assert!(last[1].outside + last[1].count <= range.first + range.count);
        assert!(extents(SUBUID, "u", range, 86).is_err());
    }

    #[test]
    fn no_two_inside_ids_meet_outside() {
        let extents = extents(SUBUID, "u", Range { first: 1000, count: 65_536 }, 3).expect("room");
        for (index, one) in extents.iter().enumerate() {
            for other in &extents[index + 1..] {
                let apart = one.outside + one.count <= other.outside
                    || other.outside + other.count <= one.outside;
                assert!(apart, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn the_largest_range_of_the_user_counts() {
        let text = "alice:100000:65536\nbob:1:9\nalice:900000:131072\n# alice:1:2\nbad\n";
        assert_eq!(largest(text, &["alice"]), Some(Range { first: 900_000, count: 131_072 }));
        assert_eq!(largest(text, &["carol"]), None);
        assert_eq!(largest("1000:5:6", &["dan", "1000"]), Some(Range { first: 5, count: 6 }));
    }

    #[test]
    fn a_user_is_found_by_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nkiln:x:990:990::/:/bin/false\n";
        assert_eq!(name_in(passwd, 990), Some("kiln".to_owned()));
        assert_eq!(name_in(passwd, 7), None);
    }
}
