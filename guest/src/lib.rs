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

/// A library to be preloaded, by which folders list their files in the opposite order. See
/// `guest/folders/folders.rs`.
pub const FOLDERS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/folders.so"));

/// The longest release of a kernel that [`clock`] can tell, in bytes.
const RELEASE: usize = 47;

/// A library to be preloaded by every process of a build, which shifts the time that C's functions
/// tell by so many seconds, and tells another release of the kernel where one is given; at most 47
/// bytes of it. See `guest/clock/clock.rs`.
pub fn clock(seconds: i64, release: Option<&str>) -> Vec<u8> {
    let mut library = CLOCK.to_vec();
    let at = behind(b"kiln-clock-shift");
    library[at..at + 8].copy_from_slice(&seconds.to_ne_bytes());
    if let Some(release) = release {
        let at = behind(b"kiln-uts-release");
        let release = &release.as_bytes()[..release.len().min(RELEASE)];
        library[at..at + release.len()].copy_from_slice(release);
    }
    library
}

/// Where in the library what may be set begins.
fn behind(word: &[u8; 16]) -> usize {
    let at = CLOCK.windows(word.len()).position(|part| part == word);
    at.expect("the library holds the word: a test looks") + word.len()
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
            std::fs::write(&library, clock(shift, None)).expect("written");
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

    /// What a shell says of itself under a preloaded library.
    fn said(library: &[u8], script: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("library.so");
        std::fs::write(&path, library).expect("written");
        let mut shell = Command::new("/bin/sh");
        let output = shell.args(["-c", script]).env("LD_PRELOAD", &path).output().expect("a shell");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn a_preloaded_clock_tells_another_release_where_one_is_given() {
        assert_eq!(said(&clock(0, Some("7.77.7-challenge")), "uname -r"), "7.77.7-challenge\n");
        assert_eq!(said(&clock(0, None), "uname -r"), said(FOLDERS, "uname -r"));
    }

    #[test]
    fn preloaded_folders_list_their_files_the_other_way_round() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..3000 {
            std::fs::write(folder.path().join(format!("a-file-of-number-{number}")), "")
                .expect("made");
        }
        let script = format!("ls -U '{}'", folder.path().display());
        let usual = said(&clock(0, None), &script);
        let mut reversed: Vec<String> = said(FOLDERS, &script).lines().map(str::to_owned).collect();
        reversed.reverse();
        assert_eq!(reversed, usual.lines().collect::<Vec<_>>());
        assert_eq!(reversed.len(), 3000);
        let gone = format!("{script}; rm -r '{}'/*; ls '{0}'", folder.path().display());
        assert_eq!(said(FOLDERS, &gone).lines().count(), 3000, "removing works as ever");
    }
}
