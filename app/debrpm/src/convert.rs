//! Debian packages become RPMs: look into each, decide all, write what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use kiln_cas::Cas;
use kiln_model::{Digest, Foreign};
use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::error::{DebrpmError, io_error};
use crate::own::{self, Values};
use crate::parallel;
use crate::plan::{Package, Plan};
use crate::policy::{Policy, Rules};
use crate::progress::Progress;
use crate::recipe::names::Names;
use crate::recipe::{Recipe, What, check, decide};
use crate::repo::Listed;
use crate::scan::{self, Scan};
use crate::work::{self, Work};
use crate::write;

/// What a conversion did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Converted {
    /// RPMs in the distribution.
    pub(crate) rpms: usize,
    /// Those of them that were written now.
    pub(crate) written: usize,
    pub(crate) bytes: u64,
    pub(crate) files: usize,
    pub(crate) left_out: usize,
    pub(crate) shared_files: usize,
}

/// From which recipe an RPM was made, and what came out.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Written {
    recipe: Digest,
    rpm: Digest,
    size: u64,
}

/// What the conversion decided that someone may want to know.
#[derive(Debug, Serialize)]
struct Notes {
    python: String,
    /// Debian's name to the RPMs'.
    names: BTreeMap<String, Vec<String>>,
    /// Requirements that nothing in the distribution provides.
    left_out: Vec<String>,
    /// Files that several packages have.
    shared_files: BTreeMap<String, Vec<String>>,
}

/// Converts the plan of `work` into `work/repo/Packages`.
pub(crate) fn convert(work: &Work, jobs: usize) -> Result<Converted, DebrpmError> {
    let plan = work.plan()?;
    let arch = Arch::find(&plan.arch).ok_or_else(|| DebrpmError::Arch(Foreign::new(&plan.arch)))?;
    let policy = Policy::built_in()?;
    let debs = work.debs()?;
    let scans = scan_all(work, &plan, &debs, jobs)?;
    let python = decide::python_version(&scans);
    let (recipes, notes) = decide_all(&plan, arch, &scans, &python, &policy)?;
    work::save(&work.root().join("convert.json"), &notes)?;
    let rules = policy.rules(arch, &python)?;
    let written = write_all(work, &recipes, &rules, arch, &debs, jobs)?;
    remove_others(&work.folder("repo/Packages")?, &recipes)?;
    remove_spool(work)?;
    let listed = list(work, &recipes)?;
    Ok(Converted {
        rpms: recipes.len(),
        written,
        bytes: listed.iter().map(|rpm| rpm.size).sum(),
        files: recipes.iter().map(|recipe| recipe.entries.len()).sum(),
        left_out: notes.left_out.len(),
        shared_files: notes.shared_files.len(),
    })
}

/// Largest first, so that the last ones to end are small.
fn by_size(plan: &Plan) -> Vec<&Package> {
    let mut packages: Vec<&Package> = plan.packages.iter().collect();
    packages.sort_by_key(|package| (std::cmp::Reverse(package.size), &package.name));
    packages
}

/// What is in each package: from an earlier run, or by a look into it now.
fn scan_all(
    work: &Work,
    plan: &Plan,
    debs: &Cas,
    jobs: usize,
) -> Result<BTreeMap<String, Scan>, DebrpmError> {
    let packages = by_size(plan);
    let progress = Progress::of_things("looking", packages.len() as u64);
    let scans = parallel::map(&packages, jobs, |package| {
        let kept = work.scan(&package.digest)?;
        let scan = match work::load(&kept)? {
            Some(scan) => scan,
            None => {
                let (scan, data) = scan::scan(&package.name, &deb(debs, package)?)?;
                let spool = work.spool(&package.digest)?;
                fs::write(&spool, data).map_err(io_error("writing", &spool))?;
                work::write(&kept, &serde_json::to_vec(&scan).expect("a scan is plain data"))?;
                scan
            }
        };
        progress.advance(1);
        Ok::<_, DebrpmError>((package.name.clone(), scan))
    })?;
    progress.end();
    Ok(scans.into_iter().collect())
}

/// A Debian package's bytes, checked against the digest that the plan pins.
fn deb(debs: &Cas, package: &Package) -> Result<Vec<u8>, DebrpmError> {
    if !debs.has(&package.digest) {
        return Err(DebrpmError::Early { path: debs.path(&package.digest), step: "fetch" });
    }
    Ok(debs.read_to_vec(&package.digest, package.size)?)
}

fn decide_all(
    plan: &Plan,
    arch: Arch,
    scans: &BTreeMap<String, Scan>,
    python: &str,
    policy: &Policy,
) -> Result<(Vec<Recipe>, Notes), DebrpmError> {
    let names = Names::built_in()?;
    let folders = own::folders()?;
    let mut recipes = decide::decide(plan, arch, scans, python, policy, &names, &folders)?;
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for recipe in &recipes {
        let debian = recipe.deb.as_ref().map(|deb| deb.name.clone()).unwrap_or_default();
        named.entry(debian).or_default().push(recipe.name.clone());
    }
    recipes.extend(own::recipes(&Values { arch, python, plan }, &named)?);
    let left_out = decide::prune(&mut recipes);
    check::closed(&recipes)?;
    let notes = Notes {
        python: python.to_owned(),
        names: named,
        left_out,
        shared_files: shared_files(&recipes),
    };
    Ok((recipes, notes))
}

fn shared_files(recipes: &[Recipe]) -> BTreeMap<String, Vec<String>> {
    let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for recipe in recipes {
        for entry in recipe.entries.iter().filter(|entry| entry.what != What::Folder) {
            owners.entry(&entry.path).or_default().push(&recipe.name);
        }
    }
    owners
        .into_iter()
        .filter(|(_, names)| names.len() > 1)
        .map(|(path, names)| (path.to_owned(), names.into_iter().map(str::to_owned).collect()))
        .collect()
}

/// Writes the RPMs whose recipes changed; gives how many.
fn write_all(
    work: &Work,
    recipes: &[Recipe],
    rules: &Rules<'_>,
    arch: Arch,
    debs: &Cas,
    jobs: usize,
) -> Result<usize, DebrpmError> {
    let folder = work.folder("repo/Packages")?;
    let records = work.folder("written.v1")?;
    let mut groups: BTreeMap<Option<Digest>, Vec<&Recipe>> = BTreeMap::new();
    for recipe in recipes {
        let record = records.join(format!("{}.json", recipe.file_name()));
        let known: Option<Written> = work::load(&record)?;
        let there = fs::metadata(folder.join(recipe.file_name())).map(|file| file.len());
        let fresh = known.is_some_and(|known| {
            known.recipe == recipe.digest() && there.is_ok_and(|size| size == known.size)
        });
        if !fresh {
            groups.entry(recipe.deb.as_ref().map(|deb| deb.digest)).or_default().push(recipe);
        }
    }
    let mut groups: Vec<Vec<&Recipe>> = groups.into_values().collect();
    let size = |group: &[&Recipe]| group[0].deb.as_ref().map_or(0, |deb| deb.size);
    groups.sort_by_key(|group| std::cmp::Reverse(size(group)));
    let count = groups.iter().map(Vec::len).sum();
    let progress = Progress::of_things("writing", count as u64);
    parallel::map(&groups, jobs, |group| {
        let data = data(work, debs, group[0])?;
        for recipe in group {
            let files = recipe.deb.as_ref().map(|deb| rules.of(&deb.name));
            let (rpm, size) = write::write(recipe, &data, files.as_ref(), arch, &folder)?;
            let record = records.join(format!("{}.json", recipe.file_name()));
            work::save(&record, &Written { recipe: recipe.digest(), rpm, size })?;
            progress.advance(1);
        }
        Ok::<_, DebrpmError>(())
    })?;
    progress.end();
    Ok(count)
}

/// The unpacked data archive that a recipe takes its files from.
fn data(work: &Work, debs: &Cas, recipe: &Recipe) -> Result<Vec<u8>, DebrpmError> {
    let Some(source) = &recipe.deb else { return Ok(Vec::new()) };
    let spool = work.spool(&source.digest)?;
    match fs::read(&spool) {
        Ok(data) => {
            let _ = fs::remove_file(&spool);
            Ok(data)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes = debs.read_to_vec(&source.digest, source.size)?;
            crate::deb::Deb::open(&source.name, &bytes)?.data()
        }
        Err(error) => Err(io_error("reading", &spool)(error)),
    }
}

/// Removes RPMs of earlier plans.
fn remove_others(folder: &Path, recipes: &[Recipe]) -> Result<(), DebrpmError> {
    let keep: BTreeSet<String> = recipes.iter().map(Recipe::file_name).collect();
    for entry in fs::read_dir(folder).map_err(io_error("listing", folder))? {
        let path = entry.map_err(io_error("listing", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !keep.contains(name.as_ref()) {
            fs::remove_file(&path).map_err(io_error("removing", &path))?;
        }
    }
    Ok(())
}

fn remove_spool(work: &Work) -> Result<(), DebrpmError> {
    let spool = work.folder("spool")?;
    fs::remove_dir_all(&spool).map_err(io_error("removing", &spool))
}

fn list(work: &Work, recipes: &[Recipe]) -> Result<Vec<Listed>, DebrpmError> {
    recipes.iter().map(|recipe| listed(work, &recipe.file_name())).collect()
}

fn listed(work: &Work, file: &str) -> Result<Listed, DebrpmError> {
    let record = work.folder("written.v1")?.join(format!("{file}.json"));
    let known: Option<Written> = work::load(&record)?;
    let Some(Written { rpm, size, .. }) = known else {
        return Err(DebrpmError::Early { path: record, step: "convert" });
    };
    Ok(Listed { file: file.to_owned(), digest: rpm, size })
}

/// The RPMs that lie in the repository, by name.
pub(crate) fn written(work: &Work) -> Result<Vec<Listed>, DebrpmError> {
    let folder = work.folder("repo/Packages")?;
    let mut rpms = Vec::new();
    for entry in fs::read_dir(&folder).map_err(io_error("listing", &folder))? {
        let name = entry.map_err(io_error("listing", &folder))?.file_name();
        rpms.push(listed(work, &name.to_string_lossy())?);
    }
    if rpms.is_empty() {
        return Err(DebrpmError::Early { path: folder, step: "convert" });
    }
    rpms.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(rpms)
}
