//! The host's apt with state folders of our own, so that what apt trusts is trusted and nothing
//! of the host's changes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use kiln_cas::Cas;
use kiln_model::Foreign;

use super::{Index, command, host, release};
use crate::arch::Arch;
use crate::debian::stanzas;
use crate::error::{DebrpmError, io_error};
use crate::parallel;
use crate::plan::Package;
use crate::progress::Progress;

/// How many packages one call of apt downloads: enough to make its start worth while, few enough
/// that progress shows and that an interruption costs little.
const BATCH: usize = 12;
/// How many calls of apt at once: a mirror's patience is bounded.
const CALLS: usize = 4;

/// apt, set up for one suite.
///
/// ```text
/// apt/
///   sources.d/debian.sources   the host's own sources, turned to the suite
///   lists/                     what 'apt-get update' fetched and checked
///   cache/
///   status                     empty: nothing is installed
///   download/N/                packages that have come but are not stored yet
/// ```
#[derive(Debug)]
pub(crate) struct Apt {
    suite: String,
    arch: Arch,
    root: PathBuf,
}

impl Apt {
    /// Sets up the folders and the sources.
    pub(crate) fn new(suite: &str, arch: Arch, root: &Path) -> Result<Self, DebrpmError> {
        let root = std::path::absolute(root).map_err(io_error("finding", root))?;
        for folder in ["sources.d", "lists/partial", "cache/archives/partial", "download"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(io_error("creating", &folder))?;
        }
        let status = root.join("status");
        fs::write(&status, "").map_err(io_error("writing", &status))?;
        let sources = host::sources(suite)?;
        if sources.is_empty() {
            return Err(DebrpmError::NoSources { suite: Foreign::new(suite) });
        }
        let text: Vec<String> = sources.iter().map(host::Source::stanza).collect();
        let file = root.join("sources.d/debian.sources");
        fs::write(&file, text.join("\n")).map_err(io_error("writing", &file))?;
        Ok(Self { suite: suite.to_owned(), arch, root })
    }

    /// A program of apt's that sees our folders only. Its keys, proxies and credentials stay
    /// the host's.
    fn program(&self, name: &str) -> Command {
        let root = self.root.display();
        let mut command = Command::new(name);
        for option in [
            "Dir::Etc::sourcelist=/dev/null".to_owned(),
            format!("Dir::Etc::sourceparts={root}/sources.d"),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State={root}"),
            format!("Dir::State::lists={root}/lists"),
            format!("Dir::State::status={root}/status"),
            format!("Dir::Cache={root}/cache"),
            // Images of containers have apt keep none: each call would then read the whole index,
            // which takes most of a second.
            "Dir::Cache::pkgcache=pkgcache.bin".to_owned(),
            format!("APT::Architecture={}", self.arch.debian),
            format!("APT::Architectures={}", self.arch.debian),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::GzipIndexes=false".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }

    /// Updates the lists and reads them.
    pub(crate) fn index(&self) -> Result<Index, DebrpmError> {
        let mut update = self.program("apt-get");
        update.args(["-q", "update", "--error-on=any"]);
        command::run(&mut update, "updating the lists of packages")?;
        let mut packages = Vec::new();
        for file in self.index_files()? {
            let text = fs::read_to_string(&file).map_err(io_error("reading", &file))?;
            packages.extend(stanzas(&text).filter_map(|stanza| Package::read(&stanza)));
        }
        Ok(Index { releases: self.releases()?, packages })
    }

    fn index_files(&self) -> Result<Vec<PathBuf>, DebrpmError> {
        let mut ask = self.program("apt-get");
        ask.args(["indextargets", "--format", "$(FILENAME)", "Created-By: Packages"]);
        let answer = command::run(&mut ask, "asking for the lists of packages")?;
        let mut files: Vec<PathBuf> =
            String::from_utf8_lossy(&answer).lines().map(PathBuf::from).collect();
        files.sort();
        Ok(files)
    }

    /// The releases in apt's lists, the suite's own first.
    fn releases(&self) -> Result<Vec<crate::plan::Release>, DebrpmError> {
        let lists = self.root.join("lists");
        let mut releases = Vec::new();
        for entry in fs::read_dir(&lists).map_err(io_error("listing", &lists))? {
            let path = entry.map_err(io_error("listing", &lists))?.path();
            if path.to_string_lossy().ends_with("_InRelease") {
                let bytes = fs::read(&path).map_err(io_error("reading", &path))?;
                releases.extend(release::read(&bytes));
            }
        }
        releases.sort_by_key(|release| (release.codename != self.suite, release.clone()));
        Ok(releases)
    }

    /// Downloads in batches; each package is stored as soon as its batch has come. What an
    /// earlier call that was interrupted left behind is taken first.
    pub(crate) fn fetch(
        &self,
        packages: &[&Package],
        debs: &Cas,
        jobs: usize,
        progress: &Progress,
    ) -> Result<(), DebrpmError> {
        if !self.root.join("lists/lock").exists() {
            self.index()?;
        }
        let batches: Vec<(usize, &[&Package])> = packages.chunks(BATCH).enumerate().collect();
        // The first call builds apt's cache, which the others then share.
        let warm = batches.len().min(1);
        for (first, calls) in [(0..warm, 1), (warm..batches.len(), jobs.clamp(1, CALLS))] {
            parallel::map(&batches[first], calls, |(number, batch)| {
                self.fetch_batch(*number, batch, debs, progress)
            })?;
        }
        Ok(())
    }

    fn fetch_batch(
        &self,
        number: usize,
        batch: &[&Package],
        debs: &Cas,
        progress: &Progress,
    ) -> Result<(), DebrpmError> {
        let folder = self.root.join(format!("download/{number}"));
        fs::create_dir_all(&folder).map_err(io_error("creating", &folder))?;
        let mut download = self.program("apt-get");
        download.args(["-q", "download"]).current_dir(&folder);
        for package in batch {
            download.arg(format!("{}={}", package.name, package.version));
        }
        command::run(&mut download, "downloading packages")?;
        for package in batch {
            let file = folder.join(file_name(package));
            store(&file, package, debs)?;
            fs::remove_file(&file).map_err(io_error("removing", &file))?;
            progress.advance(package.size);
        }
        fs::remove_dir_all(&folder).map_err(io_error("removing", &folder))
    }
}

/// What `apt-get download` calls a package's file.
fn file_name(package: &Package) -> String {
    format!("{}_{}_{}.deb", package.name, package.version.replace(':', "%3a"), package.arch)
}

/// Copies a file to the blobs; fails if its bytes are not those that the plan pins.
fn store(file: &Path, package: &Package, debs: &Cas) -> Result<(), DebrpmError> {
    let Some(mut blob) = debs.download(&package.digest, package.size)? else { return Ok(()) };
    blob.restart()?;
    let mut from = File::open(file).map_err(io_error("reading", file))?;
    io::copy(&mut from, &mut blob).map_err(io_error("storing", file))?;
    Ok(blob.finish()?)
}
