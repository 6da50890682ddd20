//! A recipe becomes an RPM file.

use std::fs;
use std::path::Path;

use kiln_model::Digest;
use regex::bytes::{NoExpand, Regex};
use rpm::{
    BuildConfig, CompressionWithLevel, Dependency, DependencyFlags, FileMode, FileOptions,
    PackageBuilder, Scriptlet, Timestamp,
};

use crate::arch::Arch;
use crate::error::{DebrpmError, io_error};
use crate::policy::FilePolicy;
use crate::recipe::paths::LIB;
use crate::recipe::{Change, Dep, Entry, Mark, Recipe, Script, What};

/// Fast, and a third larger than Debian's own packing.
const LEVEL: i32 = 3;
/// What stands for the machine that made the packages: none in particular.
const BUILD_HOST: &str = "reproducible";

/// Writes the RPM of `recipe` into `folder`. `data` is the Debian package's data archive,
/// unpacked. Gives the file's digest and size.
pub(crate) fn write(
    recipe: &Recipe,
    data: &[u8],
    policy: Option<&FilePolicy<'_>>,
    arch: Arch,
    folder: &Path,
) -> Result<(Digest, u64), DebrpmError> {
    let failed = |source: rpm::Error| DebrpmError::Rpm {
        package: recipe.name.clone(),
        source: Box::new(source),
    };
    let mut builder = PackageBuilder::new(
        &recipe.name,
        &recipe.evr.version,
        &recipe.license,
        &recipe.arch,
        &recipe.summary,
    );
    describe(&mut builder, recipe);
    let relocation = Relocation::new(arch);
    for entry in &recipe.entries {
        let content = content(entry, data, policy, &relocation)?;
        add(&mut builder, entry, content).map_err(failed)?;
    }
    let package = builder.build().map_err(failed)?;
    let mut bytes = Vec::new();
    package.write(&mut bytes).map_err(failed)?;
    let path = folder.join(recipe.file_name());
    let partial = folder.join(format!(".{}", recipe.file_name()));
    fs::write(&partial, &bytes).map_err(io_error("writing", &partial))?;
    fs::rename(&partial, &path).map_err(io_error("naming", &path))?;
    Ok((Digest::of(&bytes), bytes.len() as u64))
}

/// Everything but the files.
fn describe(builder: &mut PackageBuilder, recipe: &Recipe) {
    let config = BuildConfig::v4()
        .compression(CompressionWithLevel::Zstd(LEVEL))
        .reserved_space(None)
        .source_date(Timestamp(recipe.date));
    builder
        .using_config(config)
        .release(&recipe.evr.release)
        .description(&recipe.description)
        .group(&recipe.group)
        .vendor("kiln debrpm")
        .build_host(BUILD_HOST);
    if recipe.evr.epoch != 0 {
        builder.epoch(recipe.evr.epoch);
    }
    if !recipe.url.is_empty() {
        builder.url(&recipe.url);
    }
    for dep in &recipe.provides {
        builder.provides(dependency(dep));
    }
    for dep in &recipe.requires {
        builder.requires(dependency(dep));
    }
    for dep in &recipe.conflicts {
        builder.conflicts(dependency(dep));
    }
    for script in &recipe.scripts {
        let Script::TransFileTrigger(trigger) = script;
        let scriptlet = || Scriptlet::new(trigger.script.clone());
        builder.trans_file_trigger_in(&trigger.paths, None, scriptlet());
        builder.trans_file_trigger_postun(&trigger.paths, None, scriptlet());
    }
}

fn dependency(dep: &Dep) -> Dependency {
    let mut dependency = match &dep.bound {
        None => Dependency::any(&dep.name),
        Some(("<", version)) => Dependency::less(&dep.name, version),
        Some(("<=", version)) => Dependency::less_eq(&dep.name, version),
        Some((">=", version)) => Dependency::greater_eq(&dep.name, version),
        Some((">", version)) => Dependency::greater(&dep.name, version),
        Some((_, version)) => Dependency::eq(&dep.name, version),
    };
    if dep.first {
        dependency.flags |= DependencyFlags::SCRIPT_PRE;
    }
    dependency
}

fn add(builder: &mut PackageBuilder, entry: &Entry, content: Vec<u8>) -> Result<(), rpm::Error> {
    let options = match &entry.what {
        What::Folder => FileOptions::dir(&entry.path).mode(FileMode::dir(entry.mode)),
        What::Link(target) => FileOptions::symlink(&entry.path, target),
        What::Slice { .. } | What::Joined(_) | What::Text(_) => {
            FileOptions::new(&entry.path).mode(FileMode::regular(entry.mode))
        }
    };
    let mut options =
        options.user(&entry.user).group(&entry.group).modified_at(Timestamp(entry.mtime));
    options = match entry.mark {
        Mark::Plain => options,
        Mark::Config => options.config().noreplace(),
        Mark::License => options.license(),
    };
    match &entry.what {
        What::Folder => builder.with_dir_entry(options)?,
        What::Link(_) => builder.with_symlink(options)?,
        What::Slice { hard: Some(identity), .. } => {
            builder.with_file_contents(content, options.hardlink(identity))?
        }
        What::Slice { .. } | What::Joined(_) | What::Text(_) => {
            builder.with_file_contents(content, options)?
        }
    };
    Ok(())
}

/// The bytes of a regular file; none for anything else.
fn content(
    entry: &Entry,
    data: &[u8],
    policy: Option<&FilePolicy<'_>>,
    relocation: &Relocation,
) -> Result<Vec<u8>, DebrpmError> {
    let slice = |at: u64, size: u64| {
        data.get(at as usize..(at + size) as usize).ok_or_else(|| DebrpmError::Deb {
            package: entry.path.clone(),
            why: "its archive ends before the file does".to_owned(),
        })
    };
    let (slice, change) = match &entry.what {
        What::Folder | What::Link(_) => return Ok(Vec::new()),
        What::Text(text) => return Ok(text.clone().into_bytes()),
        What::Joined(parts) => {
            let parts: Result<Vec<&[u8]>, _> =
                parts.iter().map(|(at, size)| slice(*at, *size)).collect();
            return Ok(parts?.concat());
        }
        What::Slice { at, size, change, .. } => (slice(*at, *size)?, change),
    };
    match (change, policy) {
        (Change::Relocate, _) => Ok(relocation.apply(slice)),
        (Change::Edit(path), Some(policy)) => policy.edit(path, relocation.apply(slice)),
        _ => Ok(slice.to_vec()),
    }
}

/// Writes Debian's folder of libraries as rpm's.
struct Relocation(Regex);

impl Relocation {
    fn new(arch: Arch) -> Self {
        let expression = format!(r"\blib/{}\b", regex::escape(arch.triplet));
        Self(Regex::new(&expression).expect("a literal is an expression"))
    }

    fn apply(&self, text: &[u8]) -> Vec<u8> {
        self.0.replace_all(text, NoExpand(LIB.as_bytes())).into_owned()
    }
}
