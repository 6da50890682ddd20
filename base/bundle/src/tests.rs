//! A bundle comes back as it was written, and no other file is taken for one.

use std::collections::BTreeMap;

use kiln_cas::Cas;
use kiln_model::{Digest, LOCK_VERSION, Limits, Lock, LockedPackage, LockedSnapshot, Reason};
use kiln_wire::record::{self, Record};
use kiln_wire::worker::{ClaimedArtifact, Settings, Source, SourceFile};
use proptest::prelude::*;

use crate::open::read;
use crate::{Bundle, BundleError, Evidence, read_bundle};

struct Scene {
    _folder: tempfile::TempDir,
    cas: Cas,
    record: Record,
}

fn store() -> (tempfile::TempDir, Cas) {
    let folder = tempfile::tempdir().expect("a folder");
    let cas = Cas::open(&folder.path().join("blobs.v1")).expect("a store");
    (folder, cas)
}

fn lock(package: impl Fn(&str) -> LockedPackage) -> Lock {
    Lock {
        version: LOCK_VERSION,
        target: "trial-13-x86_64".parse().expect("a name"),
        profile: "distribution/2".to_owned(),
        arch: "x86_64".to_owned(),
        solver: "libsolv 0.7.23".to_owned(),
        macros: BTreeMap::new(),
        requires: Vec::new(),
        snapshots: vec![LockedSnapshot { repo: "base".to_owned(), repomd: Digest::of(b"md") }],
        packages: vec![package("bash-5-1.x86_64"), package("gcc-14-1.x86_64")],
        toolbox: vec![package("bash-5-1.x86_64"), package("rpm-4-1.x86_64")],
    }
}

impl Scene {
    fn new() -> Self {
        let (folder, cas) = store();
        let put = |text: &str| cas.insert_bytes(text.as_bytes()).expect("stored");
        let lock = lock(|nevra| LockedPackage {
            nevra: nevra.parse().expect("a NEVRA"),
            repo: "base".to_owned(),
            location: format!("Packages/{nevra}.rpm"),
            size: nevra.len() as u64,
            digest: put(nevra),
            why: Reason::Profile("bash".parse().expect("a requirement")),
        });
        let mut base = lock.clone();
        base.packages[1].nevra = "ed-1-1.x86_64".parse().expect("a NEVRA");
        (base.packages[1].digest, base.packages[1].size) = (put("ed"), 2);
        let made = |name: &str| ClaimedArtifact {
            name: name.to_owned(),
            digest: put(name),
            size: name.len() as u64,
        };
        let spec = SourceFile { name: "pot.spec".to_owned(), digest: put("Name: pot"), size: 9 };
        let record = Record {
            version: record::VERSION,
            kiln: "0.1.0".to_owned(),
            title: "pot.spec".to_owned(),
            source: Source::Folder { spec: "pot.spec".to_owned(), files: vec![spec] },
            settings: Settings { jobs: 2, ..Settings::plain(lock.target.clone(), "x86_64") },
            limits: Limits::default(),
            lock: cas.insert_bytes(&kiln_parse::lock::to_bytes(&lock)).expect("stored"),
            base: Some(cas.insert_bytes(&kiln_parse::lock::to_bytes(&base)).expect("stored")),
            artifacts: vec![made("pot-1-1.src.rpm"), made("pot-1-1.x86_64.rpm")],
        };
        Self { _folder: folder, cas, record }
    }

    fn bundle(&self, evidence: Option<Evidence>) -> Vec<u8> {
        let bundle = Bundle::of(self.record.clone(), evidence, &self.cas).expect("all is there");
        let mut bytes = Vec::new();
        assert_eq!(bundle.write(&mut bytes).expect("written"), bundle.digest());
        assert_eq!(bytes.len() as u64, bundle.size());
        bytes
    }
}

fn evidence() -> Evidence {
    Evidence { provenance: b"{}".to_vec(), proof: b"[]".to_vec(), key: "a key\n".to_owned() }
}

/// Into a store that has nothing; what is wrong, in words.
fn refusal(bytes: &[u8]) -> String {
    let (_folder, cas) = store();
    read_bundle(&mut &*bytes, &cas).expect_err("refused").to_string()
}

/// Where the text of a file begins in a bundle, and how long it is.
fn place(bytes: &[u8], path: &str) -> (usize, usize) {
    let mut at = 0;
    while at < bytes.len() {
        let header = tar::Header::from_byte_slice(&bytes[at..at + 512]);
        let size = header.entry_size().expect("a size") as usize;
        if header.path_bytes() == path.as_bytes() {
            return (at + 512, size);
        }
        at += 512 + size.next_multiple_of(512);
    }
    panic!("no {path}");
}

/// The bundle with another manifest, its checksum put right: what somebody does on purpose.
fn with_manifest(bytes: &[u8], change: impl FnOnce(String) -> String) -> Vec<u8> {
    let (at, size) = place(bytes, "manifest.json");
    let text = String::from_utf8(bytes[at..at + size].to_vec()).expect("text");
    let changed = change(text.clone());
    assert_ne!(changed, text);
    let mut all = Vec::new();
    let line = crate::manifest::checksum_line(&Digest::of(changed.as_bytes()));
    for (path, content) in [("manifest.sha256", line), ("manifest.json", changed)] {
        all.extend_from_slice(&crate::entry::header(path, content.len() as u64));
        all.extend_from_slice(content.as_bytes());
        all.resize(all.len().next_multiple_of(512), 0);
    }
    all.extend_from_slice(&bytes[at + size.next_multiple_of(512)..]);
    all
}

#[test]
fn a_bundle_comes_back_in_another_store() {
    let scene = Scene::new();
    for evidence in [None, Some(evidence())] {
        let bytes = scene.bundle(evidence.clone());
        assert_eq!(bytes, scene.bundle(evidence.clone()), "the same build, the same bytes");
        let (_folder, cas) = store();
        let opened = read_bundle(&mut &*bytes, &cas).expect("whole");
        assert_eq!((&opened.record, &opened.evidence), (&scene.record, &evidence));
        for (digest, _) in scene.cas.list().expect("listed") {
            assert!(cas.has(&digest), "{digest}");
        }
        let again = read_bundle(&mut &*bytes, &cas).expect("whole, and all is there already");
        assert_eq!(again.digest, opened.digest);
    }
}

#[test]
fn tar_and_sha256sum_read_a_bundle() {
    let bytes = Scene::new().bundle(Some(evidence()));
    let mut names = Vec::new();
    for entry in tar::Archive::new(&*bytes).entries().expect("a tar") {
        names.push(entry.expect("an entry").path().expect("a path").display().to_string());
    }
    assert_eq!(names[..4], ["manifest.sha256", "manifest.json", "kiln.lock", "base.lock"]);
    assert_eq!(names.len(), 7 + 1 + 4 + 2);
    let (at, size) = place(&bytes, "manifest.json");
    let (line, length) = place(&bytes, "manifest.sha256");
    let line = String::from_utf8(bytes[line..line + length].to_vec()).expect("text");
    let hex = Digest::of(&bytes[at..at + size]).hex();
    assert_eq!(line, format!("{hex}  manifest.json\n"));
}

#[test]
fn what_is_missing_cannot_be_exported() {
    let scene = Scene::new();
    for (text, named) in [
        ("gcc-14-1.x86_64", "the package gcc-14-1.x86_64"),
        ("ed", "the package ed-1-1.x86_64"),
        ("Name: pot", "the source pot.spec"),
        ("pot-1-1.src.rpm", "the result pot-1-1.src.rpm"),
    ] {
        let digest = Digest::of(text.as_bytes());
        scene.cas.remove(&digest).expect("removed");
        let refused = Bundle::of(scene.record.clone(), None, &scene.cas).expect_err("refused");
        assert!(refused.to_string().contains(named), "{refused}");
        scene.cas.insert_bytes(text.as_bytes()).expect("stored");
    }
}

/// What issue 'Proof' asks for: a byte changed at each offset of the manifest, none accepted.
#[test]
fn no_changed_byte_of_a_bundle_is_taken() {
    let bytes = Scene::new().bundle(Some(evidence()));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(read(&mut &*changed, None).is_err(), "byte {at}");
    }
    let (manifest, size) = place(&bytes, "manifest.json");
    for at in manifest..manifest + size {
        for flip in [0x01, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let refused = read(&mut &*changed, None).expect_err("refused");
            assert!(matches!(refused, BundleError::Bytes { .. }), "byte {at}: {refused}");
        }
    }
}

#[test]
fn no_cut_bundle_is_taken_and_nothing_stands_behind_one() {
    let bytes = Scene::new().bundle(None);
    let (_folder, cas) = store();
    for end in (0..bytes.len()).step_by(61) {
        assert!(read_bundle(&mut &bytes[..end], &cas).is_err(), "cut at {end}");
    }
    assert!(refusal(&[&bytes[..], b"x"].concat()).contains("behind its end"));
    assert!(refusal(b"").contains("not a bundle"));
    assert!(refusal(&[7; 4096]).contains("not a bundle"));
}

#[test]
fn who_changes_a_manifest_on_purpose_is_told_what_is_wrong_with_it() {
    let scene = Scene::new();
    let bytes = scene.bundle(None);
    let gcc = Digest::of(b"gcc-14-1.x86_64");
    let entry = |digest: &Digest, size: usize| {
        format!("{{\"digest\":\"{digest}\",\"path\":\"blobs/{}\",\"size\":{size}}}", digest.hex())
    };
    let stranger = Digest::of(b"stranger");
    for (from, to, named) in [
        ("{\"files\"".to_owned(), "{\"colour\":1,\"files\"".to_owned(), "colour"),
        ("{\"files\"".to_owned(), "{ \"files\"".to_owned(), "formatted anew"),
        ("\"version\":1}".to_owned(), "\"version\":2}".to_owned(), "a record of version 2"),
        ("}],\"record\"".to_owned(), "}],\"record\"".replace("}]", "},7]"), "manifest.json"),
        (entry(&gcc, 15), entry(&gcc, 16), "another size"),
        (
            format!("blobs/{}", gcc.hex()),
            format!("../../{}", gcc.hex()),
            "not called by its digest",
        ),
        (format!("blobs/{}", gcc.hex()), "/etc/passwd".to_owned(), "not called by its digest"),
        (scene.record.lock.to_string(), stranger.to_string(), "lock"),
    ] {
        let changed = with_manifest(&bytes, |text| text.replacen(&from, &to, 1));
        let told = refusal(&changed);
        assert!(told.contains(named), "{to}: {told} / {named}");
    }
    let left_out = with_manifest(&bytes, |text| {
        let entry = entry(&gcc, 15);
        text.replace(&format!("{entry},"), "").replace(&format!(",{entry}"), "")
    });
    assert!(refusal(&left_out).contains("the package gcc-14-1.x86_64 is missing"));
    // All of it changed so that it fits: the lock is then another's bytes.
    let lock = scene.record.lock.to_string();
    let changed = with_manifest(&bytes, |text| text.replace(&lock, &stranger.to_string()));
    assert!(refusal(&changed).contains("kiln.lock has other bytes"), "{}", refusal(&changed));
}

#[test]
fn a_lock_with_other_packages_needs_other_blobs() {
    let scene = Scene::new();
    let other = lock(|nevra| LockedPackage {
        nevra: nevra.replace("gcc", "icc").parse().expect("a NEVRA"),
        repo: "base".to_owned(),
        location: format!("Packages/{nevra}.rpm"),
        size: nevra.len() as u64,
        digest: Digest::of(nevra.replace("gcc", "icc").as_bytes()),
        why: Reason::Profile("bash".parse().expect("a requirement")),
    });
    let bytes = kiln_parse::lock::to_bytes(&other);
    let mut record = Record { base: None, ..scene.record.clone() };
    record.lock = scene.cas.insert_bytes(&bytes).expect("stored");
    let refused = Bundle::of(record, None, &scene.cas).expect_err("refused").to_string();
    assert!(refused.contains("the package icc-14-1.x86_64"), "{refused}");
}

#[test]
fn what_is_no_file_is_not_taken_for_one() {
    let bytes = Scene::new().bundle(None);
    let gcc = Digest::of(b"gcc-14-1.x86_64");
    let (at, _) = place(&bytes, &format!("blobs/{}", gcc.hex()));
    for (kind, named) in [
        (tar::EntryType::Symlink, "a link"),
        (tar::EntryType::Link, "a link"),
        (tar::EntryType::Directory, "a folder"),
        (tar::EntryType::Char, "no file"),
        (tar::EntryType::XHeader, "no file"),
        (tar::EntryType::GNULongName, "no file"),
    ] {
        let mut header = tar::Header::from_byte_slice(&bytes[at - 512..at]).clone();
        header.set_entry_type(kind);
        header.set_cksum();
        let mut changed = bytes.clone();
        changed[at - 512..at].copy_from_slice(header.as_bytes());
        let told = refusal(&changed);
        assert!(told.contains(named), "{kind:?}: {told}");
    }
    for (path, named) in [("../../etc/passwd", "etc/passwd"), ("/etc/passwd", "/etc/passwd")] {
        let mut header = tar::Header::from_byte_slice(&bytes[at - 512..at]).clone();
        let name = &mut header.as_old_mut().name;
        name.fill(0);
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        let mut changed = bytes.clone();
        changed[at - 512..at].copy_from_slice(header.as_bytes());
        let told = refusal(&changed);
        assert!(told.contains(named), "{path}: {told}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused(bytes: Vec<u8>) {
        let (_folder, cas) = store();
        prop_assert!(read_bundle(&mut &*bytes, &cas).is_err());
    }
}
