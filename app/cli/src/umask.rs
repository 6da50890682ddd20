//! The umask. What kiln makes for a jail has to be readable in there by whoever builds, whatever
//! the caller's umask is: it lies in folders that nobody else may enter. What is handed to the
//! caller is open to nobody to whom theirs would have closed it.

use std::sync::OnceLock;

use rustix::fs::Mode;

/// The umask that kiln was called with.
static CALLERS: OnceLock<Mode> = OnceLock::new();

/// Before anything is made.
pub(crate) fn prepare() {
    let callers = rustix::process::umask(Mode::WGRP | Mode::WOTH);
    CALLERS.get_or_init(|| callers);
}

/// The mode of a folder that the caller gets; they themselves can always look into it.
pub(crate) fn callers_folder() -> u32 {
    let callers = CALLERS.get().copied().unwrap_or(Mode::WGRP | Mode::WOTH);
    0o700 | (0o755 & !callers.as_raw_mode())
}
