//! A plan as it is inside a machine: its layers are disks, and what it reads of the host's folders
//! is handed in.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{MachineError, failed};
use crate::ids::IdMap;
use crate::launch::JailError;
use crate::machine_messages::{Begin, FOLDER, INPUTS, Input, LAYERS, VERSION};
use crate::plan::{Grants, Mount, Plan, PlanError, Run};

/// As many layers as a machine has places for.
const LAYERS_CAP: usize = 20;

/// As many files as are handed in.
const INPUTS_CAP: usize = 20_000;

/// What a machine is given.
#[derive(Debug)]
pub(crate) struct Inside {
    /// What is said first.
    pub(crate) begin: Begin,
    /// The trees of its layers, by their numbers.
    pub(crate) trees: Vec<PathBuf>,
    /// The files that are handed in, in the order of `begin`.
    pub(crate) files: Vec<PathBuf>,
}

impl Inside {
    /// Translates a plan; refuses one that asks for what a machine has not.
    pub(crate) fn of(plan: &Plan) -> Result<Self, JailError> {
        refuse(plan)?;
        let begin = Begin {
            version: VERSION,
            plan: Plan {
                ids: IdMap::of_machine(),
                folder: FOLDER.into(),
                mounts: Vec::new(),
                cpus: Vec::new(),
                // Nobody needs it afterwards, and to remove it takes time.
                keep: plan.mounts.iter().filter_map(upper_of).collect(),
                clock: None,
                ..plan.clone()
            },
            layers: 0,
            inputs: Vec::new(),
        };
        let mut inside = Self { begin, trees: Vec::new(), files: Vec::new() };
        for mount in &plan.mounts {
            let mount = inside.mount(mount)?;
            inside.begin.plan.mounts.push(mount);
        }
        if inside.trees.len() > LAYERS_CAP {
            return Err(PlanError::Unsupported("too many layers for a machine").into());
        }
        inside.begin.layers = inside.trees.len() as u32;
        Ok(inside)
    }

    /// How many files are handed in, and how many bytes.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let sizes = self.begin.inputs.iter().filter_map(|input| input.size);
        (self.begin.inputs.len() as u64, sizes.map(|size| size.next_multiple_of(4096)).sum())
    }

    fn mount(&mut self, mount: &Mount) -> Result<Mount, JailError> {
        Ok(match mount {
            Mount::Overlay { at, lowers, upper } => Mount::Overlay {
                at: at.clone(),
                lowers: lowers.iter().map(|tree| self.layer(tree)).collect(),
                upper: upper.clone(),
            },
            Mount::ReadOnly { at, from } => {
                Mount::ReadOnly { at: at.clone(), from: self.input(from)? }
            }
            other => other.clone(),
        })
    }

    fn layer(&mut self, tree: &Path) -> PathBuf {
        let number = self.trees.iter().position(|known| known == tree).unwrap_or_else(|| {
            self.trees.push(tree.to_owned());
            self.trees.len() - 1
        });
        Path::new(LAYERS).join(number.to_string())
    }

    fn input(&mut self, from: &Path) -> Result<PathBuf, JailError> {
        const DOING: &str = "looking at what a machine is given";
        let name = self.begin.inputs.len().to_string();
        let about = fs::metadata(from).map_err(failed(DOING))?;
        self.hand_in(&name, from, &about)?;
        if about.is_dir() {
            let mut entries: Vec<_> = fs::read_dir(from)
                .and_then(Iterator::collect::<io::Result<_>>)
                .map_err(failed(DOING))?;
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let of_entry = entry.metadata().map_err(failed(DOING))?;
                if !of_entry.is_file() {
                    return Err(PlanError::Unsupported("only plain files are handed in").into());
                }
                let file = entry.file_name().into_string();
                let file = file.map_err(|_| {
                    PlanError::Unsupported("a file that is handed in has a name that is no text")
                })?;
                self.hand_in(&format!("{name}/{file}"), &entry.path(), &of_entry)?;
            }
        }
        Ok(Path::new(INPUTS).join(name))
    }

    fn hand_in(&mut self, at: &str, from: &Path, about: &Metadata) -> Result<(), JailError> {
        if self.begin.inputs.len() == INPUTS_CAP {
            return Err(PlanError::Unsupported("too many files for a machine").into());
        }
        self.begin.inputs.push(Input {
            at: at.to_owned(),
            size: about.is_file().then_some(about.len()),
            mode: about.mode() & 0o777,
            modified: about.mtime(),
        });
        if about.is_file() {
            self.files.push(from.to_owned());
        }
        Ok(())
    }
}

fn upper_of(mount: &Mount) -> Option<String> {
    match mount {
        Mount::Overlay { upper, .. } => Some(upper.clone()),
        _ => None,
    }
}

fn refuse(plan: &Plan) -> Result<(), PlanError> {
    let unsupported = |why| Err(PlanError::Unsupported(why));
    if plan.door.is_some() {
        return unsupported("a machine has no way out");
    }
    if !plan.keep.is_empty() {
        return unsupported("nothing that a machine wrote outlives it but what it hands over");
    }
    if plan.grants != Grants::Guest {
        return unsupported("there is no machine in a machine");
    }
    if plan.mounts.iter().any(|mount| matches!(mount, Mount::Own { .. } | Mount::Kvm { .. })) {
        return unsupported("a machine has no file of the host's to write to");
    }
    let has_step = |is: fn(&Run) -> bool| plan.steps.iter().any(|step| is(&step.run));
    if has_step(|run| matches!(run, Run::Terminal { .. } | Run::Stream { .. })) {
        return unsupported("a machine has no terminal");
    }
    if has_step(|run| matches!(run, Run::Unpack { .. })) {
        return unsupported("packages are not unpacked in a machine");
    }
    Ok(())
}

impl From<MachineError> for JailError {
    fn from(error: MachineError) -> Self {
        match error {
            MachineError::Jail(error) => *error,
            error => Self::Host(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(mounts: Vec<Mount>) -> Plan {
        let mut plan = Plan::that_cleans("/f".into(), IdMap::for_tests());
        plan.mounts = mounts;
        plan
    }

    fn overlay(lowers: &[&str], upper: &str) -> Mount {
        let lowers = lowers.iter().map(PathBuf::from).collect();
        Mount::Overlay { at: "/".to_owned(), lowers, upper: upper.to_owned() }
    }

    #[test]
    fn layers_become_numbered_disks_each_once() {
        let plan = plan(vec![overlay(&["/b/fs", "/a/fs"], "root"), overlay(&["/a/fs"], "new")]);
        let inside = Inside::of(&plan).expect("translated");
        assert_eq!(inside.trees, ["/b/fs", "/a/fs"].map(PathBuf::from));
        let expected =
            vec![overlay(&["/layers/0", "/layers/1"], "root"), overlay(&["/layers/1"], "new")];
        assert_eq!(inside.begin.plan.mounts, expected);
        assert_eq!(inside.begin.plan.keep, ["root", "new"]);
    }

    #[test]
    fn files_are_handed_in_by_name_and_size_and_links_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("b.rpm"), "bb").expect("written");
        fs::write(folder.path().join("a.rpm"), "a").expect("written");
        let from = folder.path().to_owned();
        let read_only = Mount::ReadOnly { at: "/in".to_owned(), from };
        let asked = plan(vec![overlay(&["/a/fs"], "root"), read_only]);
        let inside = Inside::of(&asked).expect("translated");
        let told: Vec<_> = inside.begin.inputs.iter().map(|it| (it.at.as_str(), it.size)).collect();
        assert_eq!(told, [("0", None), ("0/a.rpm", Some(1)), ("0/b.rpm", Some(2))]);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("c.rpm")).expect("linked");
        assert!(Inside::of(&asked).is_err());
    }

    #[test]
    fn what_a_machine_has_not_is_refused() {
        let sound = plan(vec![overlay(&["/a/fs"], "root")]);
        for spoil in [
            |plan: &mut Plan| plan.door = Some(3128),
            |plan: &mut Plan| plan.keep.push("root".to_owned()),
            |plan: &mut Plan| plan.grants = Grants::Emulator,
            |plan: &mut Plan| plan.mounts.push(Mount::Kvm { at: "/dev/kvm".to_owned() }),
        ] {
            let mut spoilt = sound.clone();
            spoil(&mut spoilt);
            assert!(matches!(Inside::of(&spoilt), Err(JailError::Plan(_))));
        }
    }
}
