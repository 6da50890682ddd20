//! kiln itself, in a folder of its own, over the trial distribution.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use kiln_model::Lock;

use crate::meter::{self, Took};

/// A package that needs nothing beside the profile: its buildroot is the clean one.
const EMPTY: &str = "\
Name: empty
Version: 1
Release: 1
Summary: Nothing
License: MIT
BuildArch: noarch
%description
Nothing.
%files
";

/// kiln, and where it works.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) kiln: PathBuf,
    pub(crate) trial: PathBuf,
    pub(crate) scratch: PathBuf,
    pub(crate) jobs: usize,
    name: String,
}

impl Stage {
    /// Makes the folders.
    pub(crate) fn new(
        kiln: PathBuf,
        trial: PathBuf,
        scratch: PathBuf,
        jobs: usize,
    ) -> Result<Self> {
        let stage = Self { kiln, trial, scratch, jobs, name: "kiln".to_owned() };
        let empty = stage.empty();
        fs::create_dir_all(&empty)?;
        fs::write(empty.join("empty.spec"), EMPTY)?;
        Ok(stage)
    }

    /// The folder of the package that needs nothing.
    pub(crate) fn empty(&self) -> PathBuf {
        self.scratch.join("empty")
    }

    /// kiln's own folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.scratch.join(&self.name)
    }

    /// The same with a folder of its own, in which everything is at hand that was fetched and
    /// nothing that was made of it. Layers are not removed in between: for a minute after, ext4
    /// looks at every inode that was freed before it gives out a new one.
    pub(crate) fn afresh(&self, number: usize) -> Result<Self> {
        let name = format!("kiln-{number}");
        let fresh = Self {
            kiln: self.kiln.clone(),
            trial: self.trial.clone(),
            scratch: self.scratch.clone(),
            jobs: self.jobs,
            name,
        };
        for part in ["blobs.v1", "snapshots.v1", "solved.v1"] {
            link_all(&self.folder().join(part), &fresh.folder().join(part))?;
        }
        Ok(fresh)
    }

    /// The lock of a package; its buildroot is there afterwards.
    pub(crate) fn lock(&self, source: &Path) -> Result<(Took, Lock)> {
        let file = self.scratch.join("kiln.lock");
        let took = meter::time(self.verb("lock").arg("--output").arg(&file).arg(source))?;
        let lock = kiln_parse::lock::read(&fs::read(&file)?).context("reading a lock")?;
        Ok((took, lock))
    }

    /// Builds a package; gives its source package too.
    pub(crate) fn build(&self, source: &Path) -> Result<(Took, PathBuf)> {
        let results = self.scratch.join("results");
        let _ = fs::remove_dir_all(&results);
        let took = meter::time(self.verb("build").arg("--results").arg(&results).arg(source))?;
        Ok((took, source_in(&results)?))
    }

    /// Removes every layer: they belong to the jails' ids, so only kiln can.
    pub(crate) fn forget_layers(&self) -> Result<()> {
        if !self.folder().exists() {
            return Ok(());
        }
        meter::time(self.command().args(["cache", "gc", "--unused", "0"]))?;
        let left = self.layers()?;
        ensure!(left.is_empty(), "layers are left: {left:?}");
        Ok(())
    }

    /// The trees of all layers that there are.
    pub(crate) fn layers(&self) -> Result<BTreeSet<PathBuf>> {
        let folder = self.folder().join("layers.v1");
        let mut layers = BTreeSet::new();
        for entry in fs::read_dir(&folder)? {
            let tree = entry?.path().join("fs");
            if tree.is_dir() {
                layers.insert(tree);
            }
        }
        Ok(layers)
    }

    /// The layers of a package's buildroot, topmost first. The lowest is the only one that can
    /// build packages by itself; what making the package's lock adds lies upon it.
    pub(crate) fn layers_of(&self, source: &Path) -> Result<Vec<PathBuf>> {
        self.lock(&self.empty())?;
        let before = self.layers()?;
        self.lock(source)?;
        let mut layers: Vec<PathBuf> = self.layers()?.difference(&before).cloned().collect();
        ensure!(layers.len() <= 1, "more than one layer was made for {}", source.display());
        let base = before.into_iter().find(|tree| tree.join("usr/bin/rpmbuild").exists());
        layers.push(base.context("no layer has rpmbuild in it")?);
        Ok(layers)
    }

    fn verb(&self, verb: &str) -> Command {
        let mut command = self.command();
        command.args([verb, "--local", "--jobs", &self.jobs.to_string(), "--target"]);
        command.arg(self.trial.join("trial-13-x86_64.toml"));
        command
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.kiln);
        command.env_clear().env("KILN_DIR", self.folder()).env("HOME", &self.scratch);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir(&self.scratch);
        command
    }
}

fn link_all(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type()?.is_dir() {
            true => link_all(&from, &to)?,
            false => fs::hard_link(&from, &to)?,
        }
    }
    Ok(())
}

fn source_in(results: &Path) -> Result<PathBuf> {
    for package in fs::read_dir(results)? {
        for file in fs::read_dir(package?.path())? {
            let path = file?.path();
            if path.to_string_lossy().ends_with(".src.rpm") {
                return Ok(path);
            }
        }
    }
    bail!("{} has no source package", results.display())
}
