//! What people hand in: a source package, or a folder with a spec and what it names.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use kiln_cas::Cas;
use kiln_model::Foreign;
use kiln_parse::rpmfile::{Facts, RpmError};
use kiln_wire::worker::{Source, SourceFile};

use crate::Failure;

/// Something to be built, hashed and kept.
#[derive(Debug)]
pub(crate) struct Given {
    /// What it is called: the source package's or the spec's name.
    pub(crate) title: String,
    /// Its files, in the store.
    pub(crate) source: Source,
}

/// Takes in a `.src.rpm`, a folder with one spec, or a spec in its folder.
pub(crate) fn take(path: &Path, cas: &Cas) -> Result<Given, Failure> {
    if crate::elsewhere::find(path).is_some() {
        let hint = "only a service fetches sources: leave --local out, or fetch it first";
        let error = format!("{} is not on this machine", path.display());
        return Err(Failure::caller(error, Some(hint.to_owned())));
    }
    let about = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if about.is_dir() {
        return take_folder(path, &the_spec_in(path)?, cas);
    }
    if !about.is_file() {
        return Err(not_a_file(path));
    }
    match path.extension().is_some_and(|extension| extension == "spec") {
        true => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            take_folder(parent.unwrap_or(Path::new(".")), &name_of(path)?, cas)
        }
        false => take_package(path, cas),
    }
}

fn take_package(path: &Path, cas: &Cas) -> Result<Given, Failure> {
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let facts = Facts::read_source(&mut file).map_err(|error| not_a_package(path, &error))?;
    let file = store(path, "source.src.rpm", cas)?;
    Ok(Given { title: facts.nevra.nvr(), source: Source::Srpm(file) })
}

fn not_a_package(path: &Path, error: &RpmError) -> Failure {
    let hint = match error {
        RpmError::Class { found: "binary", .. } => {
            "kiln builds source packages: hand in the .src.rpm that it was made from"
        }
        _ => "kiln takes a .src.rpm, a folder with a spec and its sources, or the spec in it",
    };
    let mut failure = Failure::caller(
        format!("{} is not a source package", path.display()),
        Some(hint.to_owned()),
    );
    failure.0.causes.push(error.to_string());
    failure
}

/// The name of the only spec in a folder.
fn the_spec_in(folder: &Path) -> Result<String, Failure> {
    let mut specs: Vec<String> =
        names_in(folder)?.into_iter().filter(|name| name.ends_with(".spec")).collect();
    let (Some(spec), None) = (specs.pop(), specs.pop()) else {
        let error = format!("{} must hold exactly one .spec file", folder.display());
        let hint = "to build one of several, name the spec itself".to_owned();
        return Err(Failure::caller(error, Some(hint)));
    };
    Ok(spec)
}

/// Takes in every plain file of a folder. A link could lead anywhere, so none is followed: what
/// it points to would end up in the source package.
fn take_folder(folder: &Path, spec: &str, cas: &Cas) -> Result<Given, Failure> {
    let mut files = Vec::new();
    for name in names_in(folder)? {
        let path = folder.join(&name);
        let about = fs::symlink_metadata(&path).map_err(|error| unreadable(&path, &error))?;
        if about.is_symlink() {
            let error = format!("{} is a link, and kiln follows none", path.display());
            let hint =
                "put the file itself there: 'cp --remove-destination \"$(readlink -f …)\" …'";
            return Err(Failure::caller(error, Some(hint.to_owned())));
        }
        if about.is_file() {
            files.push(store(&path, &name, cas)?);
        } else if !about.is_dir() {
            return Err(not_a_file(&path));
        }
    }
    let title = spec.trim_end_matches(".spec").to_owned();
    Ok(Given { title, source: Source::Folder { spec: spec.to_owned(), files } })
}

/// Of a pipe, a socket or a device nobody knows what comes out, or when.
fn not_a_file(path: &Path) -> Failure {
    let error = format!("{} is neither a file nor a folder", path.display());
    Failure::caller(error, Some("take it out of the folder of sources".to_owned()))
}

/// The names in a folder that can be sources: sorted, no hidden ones, since those are a version
/// control system's or an editor's.
fn names_in(folder: &Path) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let name = name_of(&PathBuf::from(entry.file_name()))?;
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn name_of(path: &Path) -> Result<String, Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    let plain = name.filter(|name| {
        !name.starts_with('-') && !name.chars().any(char::is_control) && name.len() <= 240
    });
    plain.map(str::to_owned).ok_or_else(|| {
        let shown = Foreign::new(&path.to_string_lossy());
        Failure::caller(format!("{shown} is not a name that a source can have"), None)
    })
}

fn store(path: &Path, name: &str, cas: &Cas) -> Result<SourceFile, Failure> {
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let (digest, size) = cas.insert_from(&mut file)?;
    Ok(SourceFile { name: name.to_owned(), digest, size })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let mut failure = Failure::caller(format!("{} cannot be read", path.display()), None);
    failure.0.causes.push(error.to_string());
    failure
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use kiln_model::Fault;

    use super::*;

    fn ground() -> (tempfile::TempDir, Cas) {
        let folder = tempfile::tempdir().expect("a folder");
        let cas = Cas::open(&folder.path().join("blobs.v1")).expect("a store");
        fs::create_dir(folder.path().join("hello")).expect("made");
        (folder, cas)
    }

    #[test]
    fn a_folder_is_taken_with_its_plain_files() {
        let (folder, cas) = ground();
        let at = folder.path().join("hello");
        for name in ["hello.spec", "hello-1.tar.gz", ".gitignore"] {
            fs::write(at.join(name), name).expect("written");
        }
        fs::create_dir(at.join("tests")).expect("made");
        let given = take(&at, &cas).expect("taken");
        let Source::Folder { spec, files } = given.source else { panic!("a folder") };
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!((spec.as_str(), names), ("hello.spec", vec!["hello-1.tar.gz", "hello.spec"]));
        assert!(take(&at.join("hello.spec"), &cas).is_ok());
    }

    #[test]
    fn a_link_among_the_sources_is_refused() {
        let (folder, cas) = ground();
        let at = folder.path().join("hello");
        fs::write(at.join("hello.spec"), "").expect("written");
        symlink("/etc/hostname", at.join("hostname")).expect("linked");
        let failure = take(&at, &cas).expect_err("refused");
        assert_eq!(failure.0.fault, Fault::Caller);
        assert!(failure.0.error.contains("is a link"), "{failure:?}");
    }

    #[test]
    fn wrong_inputs_are_the_callers_fault() {
        let (folder, cas) = ground();
        let at = folder.path().join("hello");
        let text = folder.path().join("x.src.rpm");
        fs::write(&text, "not an rpm at all").expect("written");
        for path in [at.as_path(), &text, Path::new("/nonexistent/x.src.rpm")] {
            let failure = take(path, &cas).expect_err("refused");
            assert_eq!(failure.0.fault, Fault::Caller, "{failure:?}");
        }
    }
}
