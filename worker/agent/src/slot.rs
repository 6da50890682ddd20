use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::PathBuf;

use kiln_jail::{Cancel, IdError, IdMap, JailError, Launcher, Plan, SUBGID, SUBUID};
use kiln_model::{Fault, Faulty};

use crate::folders::Folders;

/// The slots of this host: how many attempts may run at once, whoever starts them.
#[derive(Debug, Clone)]
pub struct Slots {
    folders: Folders,
    count: u32,
}

/// One slot, held: ids, scratch space and name of its own until it is dropped.
#[derive(Debug)]
pub struct Slot {
    /// Its number.
    pub number: u32,
    /// Its ids.
    pub ids: IdMap,
    /// Its scratch folder, empty.
    pub scratch: PathBuf,
    /// Held for as long as the slot is.
    _lock: File,
}

/// Why there is no slot.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// This user has no ids for one.
    #[error("finding ids for a slot")]
    Ids(#[from] IdError),
    /// The disk refused.
    #[error("taking slot {number}")]
    Io {
        /// Which slot.
        number: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What an earlier attempt left there cannot be removed.
    #[error("cleaning slot {number}")]
    Clean {
        /// Which slot.
        number: u32,
        /// Why not.
        #[source]
        source: JailError,
    },
}

impl Faulty for SlotError {
    fn fault(&self) -> Fault {
        Fault::Host
    }

    fn hint(&self) -> Option<String> {
        Some("'kiln doctor' says what this host lacks, and the command that mends it".to_owned())
    }
}

impl Slots {
    /// At most `wanted` slots, and no more than this user has ids for.
    pub fn open(folders: Folders, wanted: u32) -> Result<Self, SlotError> {
        let user = kiln_jail::user_name();
        let ids = [SUBUID, SUBGID].map(|file| kiln_jail::range_of(file, &user));
        let [users, groups] = ids;
        let room = kiln_jail::slots_in(users?).min(kiln_jail::slots_in(groups?));
        // At least one, so that taking it gives the error that says what is missing.
        Ok(Self { folders, count: wanted.min(room).max(1) })
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Takes the first free slot and removes what an attempt that was killed left in it; `None`
    /// while all are taken.
    pub fn take(&self, launcher: &Launcher) -> Result<Option<Slot>, SlotError> {
        for number in 0..self.count {
            if let Some(slot) = self.take_numbered(number, launcher)? {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    /// Takes that slot, as [`Slots::take`] does; `None` while it is taken.
    pub fn take_numbered(
        &self,
        number: u32,
        launcher: &Launcher,
    ) -> Result<Option<Slot>, SlotError> {
        let io = |source| SlotError::Io { number, source };
        let path = self.folders.slots().join(format!("{number}.lock"));
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => self.prepare(number, lock, launcher).map(Some),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    fn prepare(&self, number: u32, lock: File, launcher: &Launcher) -> Result<Slot, SlotError> {
        let ids = IdMap::of_slot(number)?;
        let scratch = self.folders.scratch_of(number);
        let slot = Slot { number, ids, scratch, _lock: lock };
        slot.clean(launcher)?;
        fs::create_dir_all(&slot.scratch).map_err(|source| SlotError::Io { number, source })?;
        Ok(slot)
    }
}

impl Slot {
    /// Removes everything in the slot's scratch folder, and the folder.
    pub fn clean(&self, launcher: &Launcher) -> Result<(), SlotError> {
        let number = self.number;
        let io = |source| SlotError::Io { number, source };
        let entries = match fs::read_dir(&self.scratch) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(error)),
        };
        for entry in entries {
            let path = entry.map_err(io)?.path();
            if fs::remove_file(&path).is_ok() || fs::remove_dir_all(&path).is_ok() {
                continue;
            }
            // Files of the jail's own ids are in it: only its own root may remove those.
            let clean = |source| SlotError::Clean { number, source };
            let plan = Plan::that_cleans(path.clone(), self.ids.clone());
            let never = Cancel::new().map_err(io)?;
            launcher.run(&plan, &never, &mut |_| Ok(())).map_err(clean)?;
            fs::remove_dir_all(&path).map_err(io)?;
        }
        fs::remove_dir(&self.scratch).map_err(io)
    }
}
