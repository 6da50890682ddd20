//! A whole distribution from a small mirror, by the steps that an operator types.

use std::fs;
use std::path::Path;

use crate::kit::{Mirror, small_suite, tree};
use kiln_model::{Fault, Faulty};
use rpm::{FileFlags, PackageMetadata};

fn made(mirror: &Mirror) -> tempfile::TempDir {
    let work = tempfile::tempdir().expect("a folder");
    mirror.run("all", work.path()).expect("a distribution");
    work
}

fn package(work: &Path, prefix: &str) -> PackageMetadata {
    let folder = work.join("repo/Packages");
    let found = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path());
    let path = found
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        })
        .min()
        .expect("an RPM of that name");
    PackageMetadata::open(path).expect("an RPM")
}

fn words(dependencies: Vec<rpm::Dependency>) -> Vec<String> {
    dependencies.iter().map(ToString::to_string).collect()
}

#[test]
fn packages_carry_rpms_names_versions_and_paths() {
    let mirror = Mirror::new(small_suite());
    let work = made(&mirror);
    let app = package(work.path(), "app-");
    assert_eq!(app.get_version().expect("a version"), "2.0_rc1");
    assert_eq!(app.get_release().expect("a release"), "3");
    assert_eq!(app.get_epoch().unwrap_or(0), 0, "Debian's epochs stay in Debian");
    let requires = words(app.get_requires().expect("requires"));
    for wanted in ["libz1 >= 1.1", "awk"] {
        assert!(requires.iter().any(|one| one == wanted), "{wanted}: {requires:?}");
    }
    assert!(!requires.iter().any(|one| one.contains("dpkg")), "{requires:?}");
    let files = app.get_file_entries().expect("files");
    let paths: Vec<String> = files.iter().map(|file| file.path().display().to_string()).collect();
    let expected = [
        "/etc/app.conf",
        "/usr/bin/app",
        "/usr/bin/app-twin",
        "/usr/share/app/one",
        "/usr/share/app/two",
        "/usr/share/doc/app/copyright",
    ];
    assert_eq!(paths, expected);
    assert!(files[0].flags().contains(FileFlags::CONFIG | FileFlags::NOREPLACE));
    assert_eq!(files[1].permissions(), 0o4755);
    // A second name has what the first has, whatever the archive says of it.
    assert_eq!(files[2].permissions(), 0o640);
    assert_eq!((files[3].permissions(), files[4].permissions()), (0o600, 0o600));
    assert!(files[5].flags().contains(FileFlags::LICENSE));
    assert_eq!(app.get_license().expect("a licence"), "GPL-2.0-or-later");
}

#[test]
fn libraries_lie_in_lib64_and_alternatives_are_links() {
    let mirror = Mirror::new(small_suite());
    let work = made(&mirror);
    let library = package(work.path(), "libz1-");
    let files = library.get_file_entries().expect("files");
    let paths: Vec<String> = files.iter().map(|file| file.path().display().to_string()).collect();
    assert_eq!(paths, ["/usr/lib64/libz.so", "/usr/lib64/pkgconfig/z.pc"]);
    assert_eq!(files[0].linkto(), Some("libz.so.1"));
    let provides = words(library.get_provides().expect("provides"));
    for wanted in ["pkgconfig(z) = 1.3", "libz = 1.3", "libz1 = 1.3-1"] {
        assert!(provides.iter().any(|one| one == wanted), "{wanted}: {provides:?}");
    }
    let gawk = package(work.path(), "gawk-");
    let files = gawk.get_file_entries().expect("files");
    assert_eq!(files[0].path().display().to_string(), "/usr/bin/awk");
    assert_eq!(files[0].linkto(), Some("gawk"));
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    let mirror = Mirror::new(small_suite());
    let (one, two) = (made(&mirror), made(&mirror));
    assert_eq!(tree(&one.path().join("repo")), tree(&two.path().join("repo")));
    let plan = |work: &Path| fs::read(work.join("plan.json")).expect("a plan");
    assert_eq!(plan(one.path()), plan(two.path()));
}

#[test]
fn what_has_not_changed_is_not_written_again_and_what_is_gone_is_removed() {
    let mirror = Mirror::new(small_suite());
    let work = made(&mirror);
    let packages = work.path().join("repo/Packages");
    let stamp = |name: &str| {
        let path = packages.join(name);
        fs::metadata(path).and_then(|file| file.modified()).expect("a time")
    };
    let before = stamp("libz1-1.3-1.x86_64.rpm");
    fs::remove_file(packages.join("app-2.0_rc1-3.x86_64.rpm")).expect("removed");
    mirror.run("convert", work.path()).expect("converted");
    assert_eq!(stamp("libz1-1.3-1.x86_64.rpm"), before);
    assert!(packages.join("app-2.0_rc1-3.x86_64.rpm").exists());
    mirror.write("seeds.txt", b"libz1\n");
    mirror.run("all", work.path()).expect("a smaller distribution");
    assert!(!packages.join("app-2.0_rc1-3.x86_64.rpm").exists());
}

#[test]
fn the_target_reads_and_names_the_repository() {
    let mirror = Mirror::new(small_suite());
    let folder = tempfile::tempdir().expect("a folder");
    let work = folder.path().join("100% mine #1");
    mirror.run("all", &work).expect("a distribution");
    let text = fs::read_to_string(work.join("trial-13-x86_64.toml")).expect("a target");
    let target: kiln_model::Target = toml::from_str(&text).expect("a target that kiln reads");
    assert!(target.profile.contains_key("strict") && target.profile.contains_key("distribution"));
    let strict = &target.profile["strict"].packages;
    assert!(!strict.iter().any(|package| package.as_str() == "gcc"));
    assert!(strict.iter().any(|package| package.as_str() == "rpm-build"));
    let base = target.repos[0].baseurl[0].as_str();
    kiln_parse::place::check(base).expect("a place");
    assert_eq!(kiln_parse::place::file_path(base), Some(work.join("repo")));
}

#[test]
fn a_release_that_the_keys_do_not_vouch_for_is_refused() {
    let work = tempfile::tempdir().expect("a folder");
    for spoil in ["changed", "unsigned", "stranger"] {
        let mirror = Mirror::new(small_suite());
        match spoil {
            "changed" => mirror.write("dists/trixie/Release", b"Codename: trixie\n"),
            "unsigned" => mirror.write("dists/trixie/Release.gpg", b""),
            _ => {
                let other = Mirror::new(Vec::new());
                mirror.write("key.asc", &fs::read(other.path("key.asc")).expect("a key"));
            }
        }
        let error = mirror.run("plan", work.path()).expect_err(spoil);
        assert_eq!(error.fault(), Fault::Breach, "{spoil}: {error}");
    }
}

#[test]
fn an_index_or_a_package_with_other_bytes_is_refused() {
    let work = tempfile::tempdir().expect("a folder");
    let mirror = Mirror::new(small_suite());
    mirror.write("dists/trixie/main/binary-amd64/Packages.gz", b"something else");
    assert!(mirror.run("plan", work.path()).is_err());
    let mirror = Mirror::new(small_suite());
    mirror.run("plan", work.path()).expect("a plan");
    let deb = mirror.path("pool/0.deb");
    let mut bytes = fs::read(&deb).expect("read");
    bytes[100] ^= 1;
    fs::write(&deb, bytes).expect("written");
    assert!(mirror.run("fetch", work.path()).is_err());
    let error = mirror.run("convert", work.path()).expect_err("nothing to convert");
    assert_eq!(error.fault(), Fault::Caller);
    assert!(error.hint().is_some_and(|hint| hint.contains("fetch")));
}

#[test]
fn a_mirror_without_the_suite_is_named() {
    let mirror = Mirror::new(small_suite());
    fs::remove_file(mirror.path("dists/trixie/Release")).expect("removed");
    let work = tempfile::tempdir().expect("a folder");
    let error = mirror.run("plan", work.path()).expect_err("no suite");
    assert!(error.to_string().contains("trixie"), "{error}");
}
