//! What is to be verified: a build's number, a package that was built, a folder of results.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use kiln_model::{BuildId, Digest, Foreign, Hasher, JobId, JobState, LeaseKey};
use kiln_parse::rpmfile::{Facts, HeadCap};
use kiln_parse::rpmhead::Head;
use kiln_wire::record::Record;

use crate::Failure;
use crate::local::Local;

/// What is built again, and whose log there is.
pub(crate) struct Subject {
    /// What it takes.
    pub(crate) record: Record,
    /// The attempt that built it first, where it is known here.
    pub(crate) attempt: Option<LeaseKey>,
}

/// Finds what somebody named.
pub(crate) fn find(local: &Local, named: &Path) -> Result<Subject, Failure> {
    let job = match named.to_str().and_then(|text| text.parse().ok()) {
        Some(number) if !named.exists() => of_build(local, BuildId(number))?,
        _ => of_path(local, named)?,
    };
    let store = local.flow.store();
    let record = local.wait(local.flow.recall(job))?;
    let epoch = local.wait(store.job(job))?.epoch;
    Ok(Subject { record, attempt: Some(LeaseKey { job, epoch }) })
}

fn of_build(local: &Local, build: BuildId) -> Result<JobId, Failure> {
    let jobs = local.wait(local.flow.store().jobs_of(build))?;
    match &jobs[..] {
        [only] => Ok(only.id),
        [] => {
            let hint = "name a folder of results, or an RPM in it, instead";
            Err(Failure::caller(format!("there is no build {build}"), Some(hint.to_owned())))
        }
        several => {
            let built = several.iter().find(|job| job.state == JobState::Built);
            Ok(built.unwrap_or(&several[0]).id)
        }
    }
}

fn of_path(local: &Local, path: &Path) -> Result<JobId, Failure> {
    let about = fs::metadata(path).map_err(|error| unreadable(path, &error.to_string()))?;
    if about.is_dir() {
        return of_results(local, path);
    }
    of_package(local, path)?.first().copied().ok_or_else(|| unknown(path))
}

/// The job that made every package of a folder of results: another one may have made some of them with
/// the same bytes, the source package above all.
fn of_results(local: &Local, folder: &Path) -> Result<JobId, Failure> {
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error.to_string()))?;
    let mut packages: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rpm"))
        .collect();
    packages.sort();
    let mut jobs: Option<Vec<JobId>> = None;
    for package in &packages {
        let of_this = of_package(local, package)?;
        jobs = Some(match jobs {
            None => of_this,
            Some(jobs) => jobs.into_iter().filter(|job| of_this.contains(job)).collect(),
        });
    }
    match jobs.as_deref() {
        None => Err(unreadable(folder, "there is no .rpm in it")),
        Some([]) => Err(unknown(folder)),
        Some([newest, ..]) => Ok(*newest),
    }
}

/// The jobs that made a package of these bytes, the newest first; or, where it was signed since, of the
/// same header and payload: the signature header is no part of what was built.
fn of_package(local: &Local, path: &Path) -> Result<Vec<JobId>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| unreadable(path, &error.to_string());
    let mut file = File::open(path).map_err(|error| wrong(&error))?;
    let facts = Facts::read(&mut file, HeadCap::BINARY).map_err(|error| wrong(&error))?;
    let name = facts.nevra.file_name();
    let mut candidates = Vec::new();
    // No rebuild: that one is not what was published or handed on.
    for (job, made) in local.wait(local.flow.store().jobs_that_made(&name))? {
        let settings = local.wait(local.flow.store().job(job))?.settings;
        if settings.variations.is_none() && settings.base.is_none() {
            candidates.push((job, made));
        }
    }
    let digest = digest_from(&mut file, 0).map_err(|error| wrong(&error))?;
    let same: Vec<JobId> =
        candidates.iter().filter(|(_, made)| *made == digest).map(|(job, _)| *job).collect();
    if !same.is_empty() {
        return Ok(same);
    }
    let unsigned = without_signature(&mut file).map_err(|error| wrong(&error))?;
    let is_signed = |made: &Digest| {
        let made = File::open(local.cas.path(made)).map(|mut made| without_signature(&mut made));
        made.is_ok_and(|made| made.is_ok_and(|made| made == unsigned))
    };
    Ok(candidates.iter().filter(|(_, made)| is_signed(made)).map(|(job, _)| *job).collect())
}

/// The digest of the main header and all behind it.
fn without_signature(file: &mut File) -> Result<Digest, Box<dyn std::error::Error>> {
    file.seek(SeekFrom::Start(0))?;
    let head = Head::read(file, HeadCap::BINARY)?;
    Ok(digest_from(file, head.main_range().start)?)
}

fn digest_from(file: &mut File, at: u64) -> std::io::Result<Digest> {
    file.seek(SeekFrom::Start(at))?;
    let mut hasher = Hasher::new();
    std::io::copy(&mut file.by_ref(), &mut hasher)?;
    Ok(hasher.finish())
}

fn unknown(path: &Path) -> Failure {
    let shown = Foreign::new(&path.display().to_string());
    let hint = "what can be verified here was built here, with 'kiln build --local', by this user";
    Failure::caller(format!("{shown} was not built here"), Some(hint.to_owned()))
}

fn unreadable(path: &Path, why: &str) -> Failure {
    let shown = Foreign::new(&path.display().to_string());
    let mut failure = Failure::caller(
        format!("{shown} is nothing that can be verified"),
        Some("name a build's number, an RPM, or a folder of results".to_owned()),
    );
    failure.0.causes.push(why.to_owned());
    failure
}
