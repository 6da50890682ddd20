//! What an attack may not leave: processes, mounts, control groups, keys, files, and other bytes in
//! what the next build will see.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kiln_jail::{SUBUID, range_of, user_name};
use kiln_model::Hasher;

use crate::folders::Folders;

/// How long what is being let go of may still be seen.
const PATIENCE: Duration = Duration::from_secs(3);

/// How this host stood before a round.
pub(super) struct Before {
    mounts: usize,
    layers: BTreeMap<PathBuf, Shape>,
    blobs: BTreeMap<PathBuf, Shape>,
}

/// What of a file changes when somebody writes to it; the time of its inode too, where nobody links
/// to it.
#[derive(PartialEq, Eq)]
struct Shape {
    inode: u64,
    mode: u32,
    size: u64,
    modified: (i64, i64),
    changed: Option<(i64, i64)>,
}

impl Before {
    pub(super) fn look(folders: &Folders) -> Self {
        let mut layers = BTreeMap::new();
        walk(&folders.data().join("layers.v1"), true, &mut layers);
        let mut blobs = BTreeMap::new();
        walk(&folders.blobs(), false, &mut blobs);
        Self { mounts: mounts(), layers, blobs }
    }

    /// What is there now and was not, or is not as it was.
    pub(super) fn left(&self, folders: &Folders) -> Vec<String> {
        let mut left = Vec::new();
        let ids = ids();
        // Jails of this user's other kilns have the same ids: theirs cannot be told from ours.
        if !within_patience(|| processes(&ids).is_empty() || others_build()) {
            left.push(format!("processes are left: {}", processes(&ids).join(" ")));
        }
        if !within_patience(|| mounts() == self.mounts) {
            left.push(format!("{} mounts, and {} before", mounts(), self.mounts));
        }
        if !within_patience(|| groups().is_empty()) {
            left.push(format!("control groups are left: {}", groups().join(" ")));
        }
        let scratch = folders.data().join("scratch.v1");
        if fs::read_dir(&scratch).is_ok_and(|mut entries| entries.next().is_some()) {
            left.push(format!("files are left in {}", scratch.display()));
        }
        let mut layers = BTreeMap::new();
        walk(&folders.data().join("layers.v1"), true, &mut layers);
        let other = self.layers.iter().find(|(path, shape)| layers.get(*path) != Some(shape));
        let tell =
            |path: &Path, what: &str| format!("a {what} is not what it was: {}", path.display());
        left.extend(other.map(|(path, _)| tell(path, "layer")));
        // Who asks for a blob makes it young: one that was touched is hashed.
        let mut blobs = BTreeMap::new();
        walk(&folders.blobs(), false, &mut blobs);
        let is_other = |path: &Path, shape: &Shape| blobs.get(path) != Some(shape);
        let touched = self.blobs.iter().filter(|(path, shape)| is_other(path, shape));
        let other = touched.map(|(path, _)| path).find(|path| !is_named_by_its_bytes(path));
        left.extend(other.map(|path| tell(path, "blob")));
        left
    }
}

/// How many processes, mounts and control groups of jails there are.
pub(super) fn counts() -> (usize, usize, usize) {
    (processes(&ids()).len(), mounts(), groups().len())
}

fn within_patience(is_so: impl Fn() -> bool) -> bool {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Whether a blob is what its name says: `sha256/AB/CDEF…`.
fn is_named_by_its_bytes(path: &Path) -> bool {
    let Ok(mut file) = fs::File::open(path) else { return false };
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(_) => return false,
        }
    }
    let names: Vec<_> = path.iter().rev().take(2).collect();
    let [rest, first] = names[..] else { return false };
    let name = format!("{}{}", first.to_string_lossy(), rest.to_string_lossy());
    hasher.finish().hex() == name
}

/// The ids that belong to this user's jails.
fn ids() -> std::ops::Range<u32> {
    let range = range_of(SUBUID, &user_name());
    range.map_or(0..0, |range| range.first..range.first + range.count)
}

/// Whether this user has another kiln running.
pub(super) fn others_build() -> bool {
    let own = std::process::id().to_string();
    let is_other = |entry: &fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(about) = entry.metadata() else { return false };
        let command = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        name != own
            && about.uid() == rustix::process::getuid().as_raw()
            && command.trim_end().starts_with("kiln")
    };
    fs::read_dir("/proc").is_ok_and(|entries| entries.flatten().any(|entry| is_other(&entry)))
}

/// Processes of the jails' ids.
fn processes(ids: &std::ops::Range<u32>) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let of_jail = |status: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        let mut numbers = line.split_whitespace().filter_map(|id| id.parse::<u32>().ok());
        let name = status.lines().find_map(|line| line.strip_prefix("Name:"))?;
        numbers.any(|id| ids.contains(&id)).then(|| name.trim().to_owned())
    };
    entries
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok())
        .filter_map(|status| of_jail(&status))
        .collect()
}

fn mounts() -> usize {
    fs::read_to_string("/proc/self/mountinfo").map_or(0, |text| text.lines().count())
}

/// Control groups that this process made for jails.
fn groups() -> Vec<String> {
    let name = format!("jail-{}-", std::process::id());
    let mut found = Vec::new();
    let mut todo = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((folder, depth)) = todo.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().starts_with(&name) {
                found.push(entry.path().display().to_string());
            } else if depth < 6 {
                todo.push((entry.path(), depth + 1));
            }
        }
    }
    found
}

/// Every file below a folder that this user may look at. Whose inode's time counts, nobody may
/// link to.
fn walk(folder: &Path, with_change: bool, into: &mut BTreeMap<PathBuf, Shape>) {
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                todo.push(entry.path());
                continue;
            }
            // Locks and marks of kiln's own, beside the trees.
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".lock") || name == "boot" || name == "settled" {
                continue;
            }
            let shape = Shape {
                inode: about.ino(),
                mode: about.mode(),
                size: about.size(),
                modified: (about.mtime(), about.mtime_nsec()),
                changed: with_change.then(|| (about.ctime(), about.ctime_nsec())),
            };
            into.insert(entry.path(), shape);
        }
    }
}
