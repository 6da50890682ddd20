//! Programs of the host that run in a jail of ours: the emulator, and what makes images.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::plan::Mount;

/// Where programs of a host are looked for.
const FOLDERS: [&str; 6] =
    ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/libexec", "/bin", "/sbin"];

/// A program of the host, with all that its loader loads for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostProgram {
    /// Its path.
    pub(crate) path: PathBuf,
    /// The files that it is loaded from, itself left out.
    libraries: Vec<PathBuf>,
}

impl HostProgram {
    /// The first of `names` that is there.
    pub(crate) fn find(names: &[&str]) -> io::Result<Option<Self>> {
        let Some(path) = place_of(names) else { return Ok(None) };
        // Told so, a program's loader says what it would load, and ends (ld.so(8)).
        let told = Command::new(&path)
            .env_clear()
            .env("LD_TRACE_LOADED_OBJECTS", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()?;
        let libraries = libraries_in(&String::from_utf8_lossy(&told.stdout));
        Ok(Some(Self { path, libraries }))
    }

    /// It and its libraries, read-only, at the paths that they have outside.
    pub(crate) fn mounts(&self) -> Vec<Mount> {
        std::iter::once(&self.path).chain(&self.libraries).map(|file| read_only(file)).collect()
    }
}

/// A file or folder of the host at its own path.
pub(crate) fn read_only(of_host: &Path) -> Mount {
    Mount::ReadOnly { at: of_host.to_string_lossy().into_owned(), from: of_host.to_owned() }
}

/// Where the first of `names` lies.
pub(crate) fn place_of(names: &[&str]) -> Option<PathBuf> {
    let places = names.iter().flat_map(|name| FOLDERS.map(|folder| Path::new(folder).join(name)));
    places.into_iter().find(|path| path.is_file())
}

/// Paths in what a loader tells: `libc.so.6 => /lib/libc.so.6 (0x…)`, `/lib64/ld.so (0x…)`.
fn libraries_in(told: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let rest = line.split_once("=> ").map_or(line.trim(), |(_, rest)| rest);
        let path = rest.split(" (").next()?;
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    told.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaders_words_are_paths_and_the_kernels_own_object_is_none() {
        let told = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f)\n\
                    \tlibgone.so.1 => not found\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = ["/lib/x86_64-linux-gnu/libz.so.1", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(libraries_in(told), expected.map(PathBuf::from));
    }

    #[test]
    fn a_program_of_this_host_is_found_with_its_loader() {
        let shell = HostProgram::find(&["no-such-program", "sh"]).expect("asked").expect("found");
        assert!(shell.path.ends_with("sh"));
        assert!(shell.mounts().len() > 1, "{shell:?}");
        assert_eq!(HostProgram::find(&["no-such-program"]).expect("asked"), None);
    }
}
