//! Packages signed through control's side, beside the real rpm: `rpmkeys` believes them with the
//! right key and with no other, and not when a byte is changed.

#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use crate::kit::{HEADER, REPOMD, STATEMENT, key, verifies};
use kiln_cas::Cas;
use kiln_model::{Digest, Fault, Faulty};
use kiln_repo::{Keyring, check_package};
use kiln_sign::{SignError, Signer, SignerLink, SignerSpawn};
use kiln_wire::signer::Kind;

/// 2026.
const NOW: u64 = 1_780_000_000;

/// Starts children as the app does, and remembers the last one's number.
struct Started {
    folder: PathBuf,
    arguments: Vec<String>,
    last: Arc<Mutex<Option<u32>>>,
    count: Arc<AtomicU32>,
}

impl SignerSpawn for Started {
    fn spawn(&self) -> io::Result<SignerLink> {
        let program = Path::new(env!("CARGO_BIN_EXE_kiln-signer-child"));
        let (socket, process) = kiln_signer::start(program, &self.arguments, &self.folder)?;
        *self.last.lock().expect("a number") = Some(process.id());
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(SignerLink { socket, process })
    }
}

struct Place {
    folder: tempfile::TempDir,
    cas: Cas,
    signer: Signer,
    last: Arc<Mutex<Option<u32>>>,
    count: Arc<AtomicU32>,
}

impl Place {
    fn new() -> Self {
        Self::with(|_| vec!["--rsa".to_owned(), "2048".to_owned()])
    }

    fn with(arguments: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cas = Cas::open(&folder.path().join("blobs.v1")).expect("a store");
        let (last, count) = (Arc::default(), Arc::default());
        let started = Started {
            folder: folder.path().join("signer"),
            arguments: arguments(folder.path()),
            last: Arc::clone(&last),
            count: Arc::clone(&count),
        };
        Self { signer: Signer::new(Arc::new(started)), folder, cas, last, count }
    }

    async fn sign(&self, name: &str, package: &[u8]) -> Result<Vec<u8>, SignError> {
        let digest = self.cas.insert_bytes(package).expect("stored");
        let signed = self.signer.sign_package(&self.cas, &key(name), &digest, NOW).await?;
        let bytes = self.cas.read_to_vec(&signed.digest, 1 << 30).expect("read");
        assert_eq!(bytes.len() as u64, signed.size);
        Ok(bytes)
    }
}

/// A small package, as the rpm crate writes them.
fn package(name: &str) -> Vec<u8> {
    let mut builder = rpm::PackageBuilder::new(name, "1.0", "MIT", "noarch", "A package");
    let file = rpm::FileOptions::new(format!("/usr/share/{name}")).user("root").group("root");
    builder.release("1").with_file_contents(vec![b'x'; 100_000], file).expect("a file");
    let mut bytes = Vec::new();
    builder.build().expect("built").write(&mut bytes).expect("written");
    bytes
}

/// A source package and a binary one, as rpmbuild writes them: with room for signatures.
fn built(folder: &Path) -> Option<[Vec<u8>; 2]> {
    let spec = folder.join("clay.spec");
    fs::write(
        &spec,
        "Name: clay\nVersion: 1\nRelease: 1\nSummary: Clay\nLicense: MIT\n\
        BuildArch: noarch\n%description\nClay.\n%install\nmkdir -p %{buildroot}/usr/share\n\
        head -c 50000 /dev/urandom >%{buildroot}/usr/share/clay\n%files\n/usr/share/clay\n",
    )
    .expect("written");
    let top = folder.join("top");
    let ran = Command::new("rpmbuild")
        .args(["-ba", "--quiet", "--define", &format!("_topdir {}", top.display())])
        .arg(&spec)
        .env("HOME", folder)
        .output();
    let Ok(output) = ran else {
        println!("rpmbuild: skipped, because there is no rpmbuild here");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |path: &str| fs::read(top.join(path)).expect("built");
    Some([read("SRPMS/clay-1-1.src.rpm"), read("RPMS/noarch/clay-1-1.noarch.rpm")])
}

/// What rpm says of a package, with one key imported; none where there is no rpm.
fn rpm_says(certificate: &str, package: &[u8]) -> Option<(bool, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("key"), certificate).expect("written");
    fs::write(path("x.rpm"), package).expect("written");
    let rpmkeys = |arguments: &[&str]| {
        let mut command = Command::new("rpmkeys");
        command.args(["--dbpath", &path("db")]).args(arguments).env("HOME", folder.path());
        command.env("LC_ALL", "C").output()
    };
    let Ok(imported) = rpmkeys(&["--import", &path("key")]) else {
        println!("rpmkeys: skipped, because there is no rpm here");
        return None;
    };
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let checked = rpmkeys(&["--checksig", "-v", &path("x.rpm")]).expect("ran");
    let said = [checked.stdout, checked.stderr].concat();
    Some((checked.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[tokio::test]
async fn rpm_believes_what_was_signed_with_the_right_key_alone() {
    let place = Place::new();
    let clay = place.signer.public_key(&key("clay")).await.expect("a key");
    let glaze = place.signer.public_key(&key("glaze")).await.expect("a key");
    let mut packages = vec![package("clay")];
    packages.extend(built(place.folder.path()).into_iter().flatten());
    for original in &packages {
        let signed = place.sign("clay", original).await.expect("signed");
        assert_eq!(place.sign("clay", original).await.expect("signed"), signed, "once more");
        assert_eq!(place.sign("clay", &signed).await.expect("signed"), signed, "signed again");
        let head = |bytes: &[u8]| {
            let cap = kiln_parse::rpmfile::HeadCap::BINARY;
            kiln_parse::rpmhead::Head::read(&mut &*bytes, cap).expect("a head").main_range()
        };
        let (old, new) = (head(original), head(&signed));
        assert_eq!(original[old.start as usize..], signed[new.start as usize..], "the rest stays");
        let Some((ok, said)) = rpm_says(&clay.certificate.openpgp, &signed) else { return };
        assert!(ok && said.contains("Header V4 RSA/SHA256 Signature"), "{said}");
        let (ok, said) = rpm_says(&glaze.certificate.openpgp, &signed).expect("as before");
        assert!(!ok && said.contains("NOKEY"), "{said}");
        let other = place.sign("glaze", original).await.expect("signed");
        assert!(!rpm_says(&clay.certificate.openpgp, &other).expect("as before").0);
        assert!(rpm_says(&glaze.certificate.openpgp, &other).expect("as before").0);
        let (main, end) = (new.start as usize, signed.len());
        for at in [main + 200, new.end as usize + 20, end - 1] {
            let (ok, said) = rpm_says(&clay.certificate.openpgp, &flipped(&signed, at)).expect("…");
            assert!(!ok, "the byte at {at} was changed: {said}");
        }
    }
}

#[tokio::test]
async fn room_that_rpmbuild_keeps_is_where_the_signature_goes() {
    let place = Place::new();
    for original in built(place.folder.path()).into_iter().flatten() {
        let signed = place.sign("clay", &original).await.expect("signed");
        assert_eq!(signed.len(), original.len());
    }
}

#[tokio::test]
async fn packages_and_their_names_are_as_kiln_itself_checks_them() {
    let place = Place::new();
    let signed = place.sign("clay", &package("clay")).await.expect("signed");
    let public = place.signer.public_key(&key("clay")).await.expect("a key");
    let mut ring = Keyring::default();
    ring.add(public.certificate.openpgp.as_bytes(), Some(&public.fingerprint)).expect("a key");
    let nevra = "clay-1.0-1.noarch".parse().expect("a NEVRA");
    let later = u64::from(u32::MAX);
    let signer = check_package(&mut &signed[..], &nevra, &ring, later).expect("believed");
    assert_eq!(signer, public.fingerprint);
    let repomd = place.signer.sign_repomd(&key("clay"), REPOMD.to_vec(), NOW).await;
    let repomd = repomd.expect("signed");
    assert_eq!(ring.verify(&repomd, REPOMD, later), Ok(public.fingerprint.clone()));
    let statement = place.signer.sign_statement(&key("clay"), STATEMENT.to_vec(), NOW).await;
    let statement = statement.expect("signed");
    assert!(verifies(&public.certificate, Kind::Statement, &statement, STATEMENT));
}

#[tokio::test]
async fn a_signer_that_was_killed_is_followed_by_another() {
    let place = Place::new();
    let original = package("clay");
    let first = place.sign("clay", &original).await.expect("signed");
    for _ in 0..3 {
        let number = place.last.lock().expect("a number").expect("started");
        let pid = rustix::process::Pid::from_raw(number as i32).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        assert_eq!(place.sign("clay", &original).await.expect("signed"), first);
    }
    // One that made the key, one that signed, and one after each that was killed.
    assert_eq!(place.count.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn many_at_once_are_signed_each_with_its_own_key() {
    let place = Place::new();
    let original = place.cas.insert_bytes(&package("clay")).expect("stored");
    let mut tasks = Vec::new();
    for round in 0..40 {
        let (signer, cas) = (place.signer.clone(), place.cas.clone());
        tasks.push(tokio::spawn(async move {
            let name = key(["clay", "glaze", "kiln"][round % 3]);
            let signed = signer.sign_package(&cas, &name, &original, NOW).await.expect("signed");
            (name, signed)
        }));
    }
    for task in tasks {
        let (name, signed) = task.await.expect("done");
        let public = place.signer.public_key(&name).await.expect("a key");
        let mut ring = Keyring::default();
        ring.add(public.certificate.openpgp.as_bytes(), None).expect("a key");
        let bytes = place.cas.read_to_vec(&signed.digest, 1 << 20).expect("read");
        let nevra = "clay-1.0-1.noarch".parse().expect("a NEVRA");
        let by = check_package(&mut &bytes[..], &nevra, &ring, u64::from(u32::MAX));
        assert_eq!(by.expect("believed"), public.fingerprint);
    }
}

#[tokio::test]
async fn what_is_no_package_or_leaves_its_payload_uncovered_is_not_signed() {
    let place = Place::new();
    assert!(matches!(place.sign("clay", b"no package").await, Err(SignError::Rpm { .. })));
    let missing = place.signer.sign_package(&place.cas, &key("clay"), &Digest::of(b""), NOW).await;
    assert!(matches!(missing, Err(SignError::Cas(_))));
    // The same package with another tag where the payload's digest was.
    let mut bytes = package("clay");
    let tag = 5092_u32.to_be_bytes();
    let at = bytes.windows(4).position(|four| four == tag).expect("an entry");
    bytes[at..at + 4].copy_from_slice(&5999_u32.to_be_bytes());
    assert!(matches!(place.sign("clay", &bytes).await, Err(SignError::Uncovered { .. })));
    // A blob that the disk changed is not passed on.
    let digest = place.cas.insert_bytes(&package("clay")).expect("stored");
    let path = place.cas.path(&digest);
    let changed = flipped(&fs::read(&path).expect("read"), 30_000 % package("clay").len());
    fs::remove_file(&path).expect("removed");
    fs::write(&path, changed).expect("changed");
    let error = place.signer.sign_package(&place.cas, &key("clay"), &digest, NOW).await;
    assert_eq!(error.expect_err("changed").fault(), Fault::Breach);
    assert_eq!(place.cas.list().expect("listed").len(), 3);
}

#[tokio::test]
async fn a_program_that_signs_with_another_key_is_found_out() {
    // What a program prints that has mixed up two keys.
    let keys = Place::new();
    let clay = keys.signer.public_key(&key("clay")).await.expect("a key");
    let glaze = keys.signer.public_key(&key("glaze")).await.expect("a key");
    let right = keys.signer.sign_repomd(&key("clay"), REPOMD.to_vec(), NOW).await;
    let wrong = keys.signer.sign_repomd(&key("glaze"), REPOMD.to_vec(), NOW).await;
    assert_ne!(clay, glaze);
    for (signature, is_right) in [(right.expect("signed"), true), (wrong.expect("signed"), false)] {
        let place = Place::with(|folder| {
            let file = |name: &str, bytes: &[u8]| {
                fs::write(folder.join(name), bytes).expect("written");
                folder.join(name).display().to_string()
            };
            let certificate = file("certificate", clay.certificate.openpgp.as_bytes());
            let statement = file("statement", &clay.certificate.statement);
            let signature = file("signature", &signature);
            let script = format!(
                "case $1 in certificate) cat {certificate} ;; statement-key) cat {statement} ;; \
                 sign) cat {signature} ;; esac"
            );
            ["program", "/bin/sh", "-c", &script, "sign"].map(str::to_owned).to_vec()
        });
        let answer = place.signer.sign_repomd(&key("clay"), REPOMD.to_vec(), NOW).await;
        match answer {
            Ok(found) => assert!(is_right && found == signature),
            Err(error) => {
                assert!(!is_right, "{error}");
                assert!(matches!(error, SignError::Wrong { kind: "repomd", .. }), "{error}");
                assert_eq!(error.fault(), Fault::Breach);
            }
        }
    }
}

#[tokio::test]
async fn a_signer_that_cannot_begin_says_why() {
    let place = Place::with(|_| vec!["--without".to_owned(), "calls".to_owned()]);
    let error = place.signer.public_key(&key("clay")).await.expect_err("not confined");
    assert!(matches!(error, SignError::NotReady(_)), "{error}");
    assert!(error.to_string().contains("calls"), "{error}");
    let not_a_header = place.signer.sign_repomd(&key("clay"), HEADER.to_vec(), NOW).await;
    assert!(not_a_header.is_err());
}
