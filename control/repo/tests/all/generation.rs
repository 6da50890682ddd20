//! Generations in the store: the same bytes however they came to be, few of them made anew, read
//! by kiln's own side without fetching and by the real dnf and createrepo_c.

#![allow(clippy::print_stderr, reason = "a test that cannot run says so")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use kiln_cas::Cas;
use kiln_fetch::Fetcher;
use kiln_model::Digest;
use kiln_parse::compression::unpack;
use kiln_parse::place;
use kiln_repo::{
    Chunks, Entry, Generation, Listed, PublishError, Record, Records, Repos, WriteOptions,
    write_generation, write_repo,
};
use rpm::{BuildConfig, CompressionType, FileOptions, PackageBuilder};

/// Small packages, quickly made: the same bytes each time, nothing packed.
fn package(name: &str, version: &str) -> Vec<u8> {
    let mut builder = PackageBuilder::new(name, version, "MIT", "noarch", "A package");
    let quick = BuildConfig::v4().source_date(1_700_000_000_u32).compression(CompressionType::None);
    let file = FileOptions::new(format!("/usr/share/{name}")).user("root").group("root");
    builder.using_config(quick).release("1").with_file_contents("x", file).expect("a file");
    let mut bytes = Vec::new();
    builder.build().expect("built").write(&mut bytes).expect("written");
    bytes
}

const REVISION: u64 = 1_760_000_000;
const ZSTD: WriteOptions = WriteOptions { revision: REVISION, gzip: false };
const GZIP: WriteOptions = WriteOptions { revision: REVISION, gzip: true };

struct Place {
    folder: tempfile::TempDir,
    cas: Cas,
    records: Records,
    chunks: Chunks,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let cas = Cas::open(&at("blobs.v1")).expect("a store");
        let (records, chunks) = (Records::open(&at("records.v1")), Chunks::open(&at("chunks.v1")));
        Self { cas, records, chunks, folder }
    }

    fn add(&self, name: &str, version: &str) -> Listed {
        let digest = self.cas.insert_bytes(&package(name, version)).expect("stored");
        let nevra = format!("{name}-{version}-1.noarch").parse().expect("a NEVRA");
        let location = format!("Packages/{}/{name}-{version}-1.noarch.rpm", &name[..1]);
        Listed { digest, nevra, location, mtime: REVISION }
    }

    fn write(&self, listed: &[Listed], options: &WriteOptions) -> Generation {
        write_generation(listed, options, &self.records, &self.chunks, &self.cas).expect("written")
    }

    fn pieces(&self) -> BTreeSet<PathBuf> {
        let mut all = BTreeSet::new();
        for shelf in fs::read_dir(self.folder.path().join("chunks.v1")).expect("listed") {
            let shelf = fs::read_dir(shelf.expect("listed").path()).expect("listed");
            all.extend(shelf.map(|entry| entry.expect("listed").path()));
        }
        all
    }

    /// The generation as a folder, with its packages.
    fn lay_out(&self, generation: &Generation, listed: &[Listed]) -> PathBuf {
        let folder = self.folder.path().join(format!("repo-{}", generation.repomd.short()));
        let files = generation.files.iter().map(|(name, file)| (name, file.digest));
        for (name, digest) in files.chain(listed.iter().map(|one| (&one.location, one.digest))) {
            let to = folder.join(name);
            fs::create_dir_all(to.parent().expect("a folder")).expect("made");
            if !to.exists() {
                fs::copy(self.cas.path(&digest), to).expect("copied");
            }
        }
        folder
    }
}

/// Enough for several chunks.
fn many(place: &Place) -> Vec<Listed> {
    (0..900).map(|number| place.add(&format!("clay{number}"), "1.0")).collect()
}

fn open(cas: &Cas, digest: &Digest) -> String {
    let mut text = String::new();
    let (_, mut from) = unpack(cas.read(digest).expect("there"), 1 << 30).expect("unpacked");
    from.read_to_string(&mut text).expect("text");
    text
}

fn digest_of(generation: &Generation, kind: &str) -> Digest {
    let found = generation.files.iter().find(|(name, _)| name.contains(kind));
    found.expect("a document").1.digest
}

#[test]
fn the_same_packages_are_the_same_generation_however_it_came_to_be() {
    for options in [ZSTD, GZIP] {
        let (one, other) = (Place::new(), Place::new());
        let mut listed = many(&one);
        let at_once = one.write(&listed, &options);
        assert!(many(&other) == listed, "the same packages");
        listed.reverse();
        for count in [1, 2, 500, 899] {
            other.write(&listed[..count], &options);
        }
        assert_eq!(other.write(&listed, &options), at_once);
        // Nor does it differ from what a folder is given.
        let records: Vec<Record> = listed
            .iter()
            .map(|one_| one.records.of(&one.cas, &one_.digest).expect("there"))
            .collect();
        let entries: Vec<Entry<'_>> = records
            .iter()
            .zip(&listed)
            .map(|(record, one)| Entry { record, location: one.location.clone(), mtime: one.mtime })
            .collect();
        let folder = tempfile::tempdir().expect("a folder");
        let written = write_repo(&entries, folder.path(), &options).expect("written");
        assert_eq!(written.repomd, at_once.repomd);
        assert_eq!(fs::read_dir(folder.path().join("repodata")).expect("listed").count(), 4);
    }
}

#[test]
fn one_package_more_or_less_packs_few_chunks_anew() {
    let place = Place::new();
    let mut listed = many(&place);
    place.write(&listed, &ZSTD);
    let before = place.pieces();
    assert!(before.len() >= 3 * 3, "{} pieces", before.len());
    let mut worst = 0;
    for number in 0..20 {
        listed.push(place.add(&format!("clay{}", number * 41), "2.0"));
        let known = place.pieces();
        place.write(&listed, &ZSTD);
        worst = worst.max(place.pieces().difference(&known).count());
    }
    // Three documents, and two chunks where the new package ends one.
    assert!(worst <= 6, "{worst} pieces were made for one package");
    listed.truncate(900);
    let known = place.pieces();
    place.write(&listed, &ZSTD);
    assert_eq!(place.pieces(), known, "what was there before is there again");
}

#[test]
fn a_kept_chunk_that_the_disk_changed_is_made_anew() {
    for options in [ZSTD, GZIP] {
        let place = Place::new();
        let listed = many(&place);
        let good = place.write(&listed, &options);
        let pieces: Vec<PathBuf> = place.pieces().into_iter().collect();
        fs::write(&pieces[0], b"").expect("emptied");
        let mut bytes = fs::read(&pieces[1]).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&pieces[1], bytes).expect("changed");
        let cut = fs::read(&pieces[2]).expect("read");
        fs::write(&pieces[2], &cut[..cut.len() - 3]).expect("cut");
        fs::remove_file(&pieces[3]).expect("removed");
        assert_eq!(place.write(&listed, &options), good);
    }
}

#[test]
fn a_package_whose_file_is_gone_is_named() {
    let place = Place::new();
    let mut listed = vec![place.add("clay", "1.0"), place.add("glaze", "1.0")];
    listed[1].digest = Digest::of(b"gone");
    let error = write_generation(&listed, &ZSTD, &place.records, &place.chunks, &place.cas);
    let error = error.expect_err("it is not there");
    assert!(matches!(&error, PublishError::Record { package, .. } if package.starts_with("glaze")));
    listed[1] = listed[0].clone();
    let error = write_generation(&listed, &ZSTD, &place.records, &place.chunks, &place.cas);
    assert!(matches!(error, Err(PublishError::Twice(_))));
}

#[tokio::test]
async fn a_generation_is_used_without_fetching_anything() {
    let place = Place::new();
    let listed = many(&place);
    let generation = place.write(&listed, &ZSTD);
    let json = serde_json::to_string(&generation).expect("written");
    assert_eq!(serde_json::from_str::<Generation>(&json).expect("read"), generation);
    // Nobody listens there.
    let places = ["http://127.0.0.1:9/repo/".to_owned()];
    let snapshot = generation.snapshot("ours", &places, 50);
    assert_eq!((snapshot.packages, snapshot.priority), (900, 50));
    let primary = open(&place.cas, &snapshot.primary.digest);
    assert_eq!(primary.len() as u64, snapshot.primary.open_size);
    assert_eq!(primary.matches("<package ").count(), 900);
    let fetcher = Fetcher::new(place.cas.clone(), kiln_fetch::Options::default());
    let folder = place.folder.path().join("snapshots.v1");
    let repos = Repos::open(fetcher.expect("a fetcher"), &folder, kiln_repo::Options::default());
    let quiet: kiln_fetch::Progress = Arc::new(|_| {});
    let lists = repos.expect("opened").filelists(&snapshot, &quiet).await.expect("at hand");
    let lists = open(&place.cas, &lists.expect("there are some").digest);
    assert!(lists.contains("/usr/share/clay899"));
    let signed = generation.with_signature(b"signature", &place.cas).expect("stored");
    assert_eq!(signed.files["repodata/repomd.xml.asc"].digest, Digest::of(b"signature"));
}

fn run(program: &str, home: &Path, arguments: &[&str]) -> Option<String> {
    #[allow(clippy::disallowed_methods, reason = "the program that kiln is held against")]
    let ran = Command::new(program)
        .args(arguments)
        .env("HOME", home)
        .env("LC_ALL", "C")
        .current_dir(home)
        .output();
    let Ok(output) = ran else {
        eprintln!("{program}: skipped, because it is not here");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn dnf_reads_every_chunk() {
    let place = Place::new();
    let listed = many(&place);
    for options in [ZSTD, GZIP] {
        let folder = place.lay_out(&place.write(&listed, &options), &[]);
        let cache = format!("--setopt=cachedir={}", place.folder.path().join("cache").display());
        let from = format!("--repofrompath=ours{},{}", options.gzip, place::of_file(&folder));
        let repo = format!("--repo=ours{}", options.gzip);
        let none = "--setopt=reposdir=/nonexistent";
        let common = [cache.as_str(), &from, &repo, none, "--releasever=1", "--quiet", "repoquery"];
        let ask = |what: &[&str]| run("dnf", place.folder.path(), &[&common[..], what].concat());
        let Some(names) = ask(&["--qf", "%{name}"]) else { return };
        assert_eq!(names.lines().filter(|line| line.starts_with("clay")).count(), 900);
        let owner = ask(&["--file", "/usr/share/clay777"]).expect("as before");
        assert_eq!(owner.trim(), "clay777-0:1.0-1.noarch");
        ask(&["--changelogs", "clay1"]).expect("other metadata are read too");
    }
}

#[test]
fn createrepo_c_takes_over_what_kiln_wrote() {
    let place = Place::new();
    let listed = many(&place);
    // The createrepo_c of Debian 12 reads no zstd at all.
    let folder = place.lay_out(&place.write(&listed, &GZIP), &listed);
    let path = folder.to_str().expect("a path");
    let arguments = ["--update", "--skip-stat", "--no-database", "--verbose", path];
    #[allow(clippy::disallowed_methods, reason = "the program that kiln is held against")]
    let ran = Command::new("createrepo_c").args(arguments).output();
    let Ok(output) = ran else {
        eprintln!("createrepo_c: skipped, because it is not here");
        return;
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("Critical"), "{said}");
    let taken = said.matches("CACHE HIT").count();
    assert_eq!(taken, 900, "packages that were not read again");
}

#[test]
fn documents_end_as_they_began_with_no_package_at_all() {
    let place = Place::new();
    let generation = place.write(&[], &ZSTD);
    assert_eq!(generation.packages, 0);
    for (kind, end) in
        [("primary", "</metadata>"), ("filelists", "</filelists>"), ("other", "</otherdata>")]
    {
        let text = open(&place.cas, &digest_of(&generation, kind));
        assert!(text.contains("packages=\"0\"") && text.ends_with(end), "{text}");
    }
}
