//! What kiln itself runs among a package's own programs, as bytes.
//!
//! Zone: `guest`, HOSTILE: whatever runs here runs beside what a package brings, so nothing that it
//! says is more than a claim. `worker` puts the bytes into jails; nothing of them ever runs on the
//! host. `build.rs` compiles them: the program statically, so that it needs nothing of the tree that
//! it runs in, and the clock without even a C library, so that it fits into any process. What does
//! not belong here: anything that decides.

/// A static program; its first argument is its role. See `guest/program`.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/program"));

/// See [`clock`].
const CLOCK: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/clock.so"));

/// A library to be preloaded by every process of a build, which shifts the time that C's functions
/// tell by so many seconds. See `guest/clock/clock.rs`.
pub fn clock(seconds: i64) -> Vec<u8> {
    const WORD: &[u8] = b"kiln-clock-shift";
    let at = CLOCK.windows(WORD.len()).position(|part| part == WORD);
    let at = at.expect("the library holds the word: a test looks") + WORD.len();
    let mut library = CLOCK.to_vec();
    library[at..at + 8].copy_from_slice(&seconds.to_ne_bytes());
    library
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A program header of type `PT_INTERP` names what a dynamic program is loaded by.
    fn is_dynamic(elf: &[u8]) -> bool {
        let number = |at: usize, bytes: usize| {
            elf[at..at + bytes]
                .iter()
                .rev()
                .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
        };
        let (first, size, count) = (number(32, 8), number(54, 2), number(56, 2));
        (0..count).any(|next| number(first + next * size, 4) == 3)
    }

    #[test]
    fn the_program_needs_nothing_of_the_tree_it_runs_in() {
        assert_eq!(&PROGRAM[..4], b"\x7fELF");
        assert!(!is_dynamic(PROGRAM));
    }

    #[test]
    fn a_preloaded_clock_is_another_time_for_every_program() {
        let folder = tempfile::tempdir().expect("a folder");
        let library = folder.path().join("clock.so");
        let year = |shift: i64| -> i64 {
            std::fs::write(&library, clock(shift)).expect("written");
            let asked = Command::new("/bin/sh")
                .args(["-c", "date -u +%s"])
                .env("LD_PRELOAD", &library)
                .output()
                .expect("a shell");
            assert!(asked.stderr.is_empty(), "{}", String::from_utf8_lossy(&asked.stderr));
            String::from_utf8_lossy(&asked.stdout).trim().parse().expect("seconds")
        };
        const DAY: i64 = 24 * 60 * 60;
        let (now, later) = (year(0), year(400 * DAY));
        assert!((400 * DAY..400 * DAY + 60).contains(&(later - now)), "{now} {later}");
    }
}
