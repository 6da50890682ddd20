//! What a kiln that has ended may leave: blobs, whole layers, logs, results. Nothing else.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Kiln;

/// How long what a killed kiln has started may take to clean up and end.
const GRACE: Duration = Duration::from_secs(20);

impl Kiln {
    /// Nothing of kiln's runs, is mounted or lies about.
    #[track_caller]
    pub fn assert_nothing_left(&self, after: &str) {
        self.assert_nobody_left(after);
        let left = self.left();
        assert!(left.is_empty(), "after {after} there is left: {left:#?}");
    }

    /// No process that kiln has started runs; ended ones may wait to be heard of.
    #[track_caller]
    pub fn assert_nobody_left(&self, after: &str) {
        let began = Instant::now();
        loop {
            let alive = descendants();
            let groups = groups();
            if alive.is_empty() && groups.is_empty() {
                return;
            }
            assert!(
                began.elapsed() < GRACE,
                "after {after} there live {alive:?}, groups {groups:?}"
            );
            // There is no event for the end of someone else's child.
            sleep(Duration::from_millis(20));
        }
    }

    /// What lies about that no later kiln will use.
    pub fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        let folder = &self.folder;
        for slot in names(&folder.join("scratch.v1")) {
            let path = folder.join("scratch.v1").join(&slot);
            left.extend(names(&path).into_iter().map(|name| format!("scratch.v1/{slot}/{name}")));
        }
        left.extend(
            names(&folder.join("blobs.v1/part")).into_iter().map(|name| format!("part/{name}")),
        );
        for name in names(&folder.join("layers.v1")) {
            let path = folder.join("layers.v1").join(&name);
            let is_whole = name == "empty"
                || name.ends_with(".lock")
                || (path.join("boot").exists() || path.join("settled").exists())
                    && path.join("fs").is_dir();
            if !is_whole {
                left.push(format!("layers.v1/{name}"));
            }
        }
        left.extend(names(&self.temp).into_iter().map(|name| format!("tmp/{name}")));
        for name in names(&self.results).into_iter().filter(|name| name.starts_with('.')) {
            left.push(format!("results/{name}"));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read");
        let ours = self.path("").display().to_string();
        left.extend(mounts.lines().filter(|line| line.contains(&ours)).map(str::to_owned));
        left
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Every process that descends from this one and has not ended: its id and name.
fn descendants() -> Vec<(u32, String)> {
    let mut todo = vec![std::process::id()];
    let mut alive = Vec::new();
    while let Some(pid) = todo.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in text.split_whitespace().filter_map(|child| child.parse().ok()) {
                todo.push(child);
                let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
                let Some((name, rest)) = stat.rsplit_once(')') else { continue };
                if !rest.trim_start().starts_with('Z') {
                    alive.push((child, name.to_owned()));
                }
            }
        }
    }
    alive
}

/// Control groups of jails whose launcher is gone. They are named by it: `jail-PID-NUMBER`.
fn groups() -> Vec<String> {
    let Ok(own) = fs::read_to_string("/proc/self/cgroup") else { return Vec::new() };
    let mut found = Vec::new();
    for line in own.lines() {
        let Some(path) = line.splitn(3, ':').nth(2) else { continue };
        let controllers = line.split(':').nth(1).unwrap_or_default();
        let root = match controllers {
            "" => "/sys/fs/cgroup".to_owned(),
            name => format!("/sys/fs/cgroup/{name}"),
        };
        for name in names(Path::new(&format!("{root}{path}"))) {
            let launcher = name.strip_prefix("jail-").and_then(|rest| rest.split('-').next());
            if launcher.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                found.push(name);
            }
        }
    }
    found
}
