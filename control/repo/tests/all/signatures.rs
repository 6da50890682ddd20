//! Who signed what: detached signatures and those of packages, good and bad.

#![allow(clippy::print_stderr, reason = "a test that cannot run says so")]

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::kit::{Signer, package};
use kiln_model::{Fault, Faulty, Nevra};
use kiln_parse::rpmfile::HeadCap;
use kiln_parse::rpmhead::Head;
use kiln_repo::{KeyError, Keyring, PackageError, SignatureError, check_package};

/// A second after every signature that these tests make; 2100.
const NOW: u64 = 4_102_444_800;

fn ring(signers: &[&Signer]) -> Keyring {
    let mut ring = Keyring::default();
    for signer in signers {
        ring.add(signer.public().as_bytes(), None).expect("a key");
    }
    ring
}

fn nevra(text: &str) -> Nevra {
    text.parse().expect("a NEVRA")
}

#[test]
fn a_signature_by_a_named_key_counts_and_no_other_does() {
    let (known, stranger) = (Signer::new("known"), Signer::new("stranger"));
    let ring = ring(&[&known]);
    let text = b"<repomd/>";
    assert_eq!(ring.verify(&known.sign(text), text, NOW), Ok(known.fingerprint()));
    let error = ring.verify(&stranger.sign(text), text, NOW).expect_err("a stranger");
    assert!(error.to_string().contains(&stranger.fingerprint()), "{error}");
    assert_eq!(error.fault(), Fault::Breach);
    let error = ring.verify(&known.sign(text), b"<other/>", NOW).expect_err("other bytes");
    assert_eq!(error, SignatureError::Wrong(known.fingerprint()));
}

#[test]
fn future_and_unreadable_signatures_do_not_count() {
    let signer = Signer::new("known");
    let ring = ring(&[&signer]);
    let error = ring.verify(&signer.sign(b"x"), b"x", 1_000_000_000).expect_err("the future");
    assert!(error.to_string().contains("future"), "{error}");
    for bytes in [&b""[..], b"no signature", b"\xff\xff\xff\xff", &[0x88; 100_000]] {
        assert!(matches!(ring.verify(bytes, b"x", NOW), Err(SignatureError::Form(_))));
    }
    let cut = &signer.sign(b"x")[..60];
    assert!(ring.verify(cut, b"x", NOW).is_err());
    assert_eq!(ring.verify_any(&[], b"x", NOW), Err(SignatureError::Unsigned));
}

#[test]
fn a_pinned_key_is_that_key() {
    let (known, other) = (Signer::new("known"), Signer::new("other"));
    let both = [known.public(), other.public()].concat();
    let mut ring = Keyring::default();
    ring.add(both.as_bytes(), Some(&known.fingerprint())).expect("it is among them");
    assert_eq!(ring.fingerprints(), [known.fingerprint()]);
    let error = Keyring::default().add(other.public().as_bytes(), Some(&known.fingerprint()));
    assert!(matches!(error, Err(KeyError::Fingerprint { .. })), "{error:?}");
    assert!(Keyring::default().add(b"<html>404</html>", None).is_err());
    assert!(Keyring::default().add(&vec![b'x'; 2 << 20], None).is_err());
}

#[test]
fn a_signed_package_is_believed_and_a_changed_one_is_not() {
    let (known, stranger) = (Signer::new("known"), Signer::new("stranger"));
    let keys = ring(&[&known]);
    let expected = nevra("clay-1.0-1.noarch");
    let good = package("clay", "1.0", Some(&known));
    let signer = check_package(&mut &good[..], &expected, &keys, NOW).expect("believed");
    assert_eq!(signer, known.fingerprint());

    let unsigned = package("clay", "1.0", None);
    let error = check_package(&mut &unsigned[..], &expected, &keys, NOW).expect_err("unsigned");
    assert!(error.to_string().contains("not signed"), "{error}");

    let foreign = package("clay", "1.0", Some(&stranger));
    let error = check_package(&mut &foreign[..], &expected, &keys, NOW).expect_err("a stranger");
    assert!(error.to_string().contains("does not name"), "{error}");

    let other = nevra("clay-2.0-1.noarch");
    let error = check_package(&mut &good[..], &other, &keys, NOW).expect_err("another package");
    assert!(matches!(error, PackageError::Other { .. }), "{error}");
    assert!(error.to_string().contains("clay-0:1.0-1.noarch"), "{error}");

    let mut longer = good.clone();
    longer.extend_from_slice(b"more");
    let error = check_package(&mut &longer[..], &expected, &keys, NOW).expect_err("more bytes");
    assert!(matches!(error, PackageError::Payload), "{error}");
}

#[test]
fn no_flipped_bit_of_header_or_payload_is_believed() {
    let known = Signer::new("known");
    let keys = ring(&[&known]);
    let good = package("clay", "1.0", Some(&known));
    let main = Head::read(&mut &good[..], HeadCap::BINARY).expect("a head").main_range();
    for at in (main.start as usize..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let checked = check_package(&mut &bad[..], &nevra("clay-1.0-1.noarch"), &keys, NOW);
        assert!(checked.is_err(), "byte {at} of {}", good.len());
    }
}

/// gpg in a folder of its own; `None` where there is none.
struct Gpg {
    home: tempfile::TempDir,
}

impl Gpg {
    fn new() -> Option<Self> {
        let gpg = Self { home: tempfile::tempdir().expect("a folder") };
        match gpg.run(&["--version"]) {
            Some(_) => Some(gpg),
            None => {
                eprintln!("skipped, because there is no gpg on this machine");
                None
            }
        }
    }

    #[allow(clippy::disallowed_methods, reason = "the real program is the oracle")]
    fn run(&self, arguments: &[&str]) -> Option<Vec<u8>> {
        let output = Command::new("gpg")
            .args(["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""])
            .arg("--homedir")
            .arg(self.home.path())
            .args(arguments)
            .output()
            .ok()?;
        output.status.success().then_some(output.stdout)
    }

    fn at(&self, time: &str, arguments: &[&str]) -> Vec<u8> {
        let time = format!("--faked-system-time={time}!");
        let all: Vec<&str> = [&[time.as_str()], arguments].concat();
        self.run(&all).unwrap_or_else(|| panic!("gpg {all:?}"))
    }

    fn sign(&self, time: &str, file: &Path) -> Vec<u8> {
        let file = file.to_str().expect("a path");
        self.at(time, &["--armor", "--output", "-", "--detach-sign", file])
    }

    fn ring(&self) -> Keyring {
        let mut ring = Keyring::default();
        ring.add(&self.at("20250101T000000", &["--export"]), None).expect("keys");
        ring
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        #[allow(clippy::disallowed_methods, reason = "ends the agent that gpg started")]
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--kill", "all"])
            .status();
    }
}

#[test]
fn what_gpg_signs_with_rsa_subkeys_and_old_keys_is_judged_as_rpm_does() {
    let Some(gpg) = Gpg::new() else { return };
    let text = gpg.home.path().join("repomd.xml");
    fs::write(&text, "<repomd/>").expect("written");
    let made = "20200101T000000";
    gpg.at(made, &["--quick-generate-key", "old@example.org", "rsa2048", "cert", "1y"]);
    let listing = gpg.at(made, &["--with-colons", "--list-keys"]);
    let listing = String::from_utf8(listing).expect("text");
    let print = listing.lines().find_map(|line| line.strip_prefix("fpr:::::::::"));
    let print = print.expect("a fingerprint").trim_end_matches(':');
    gpg.at(made, &["--quick-add-key", print, "rsa2048", "sign", "1y"]);
    let signature = gpg.sign("20200601T000000", &text);
    // The key is long over; it was good when it signed.
    assert_eq!(gpg.ring().verify(&signature, b"<repomd/>", NOW), Ok(print.to_owned()));

    // One made with SHA-1 could be moved to another file.
    let path = text.to_str().expect("a path");
    let weak = ["--digest-algo", "SHA1", "--output", "-", "--detach-sign", path];
    let weak = gpg.at("20200601T000000", &weak);
    let error = gpg.ring().verify(&weak, b"<repomd/>", NOW).expect_err("SHA-1");
    assert_eq!(error, SignatureError::Weak("made with SHA1".to_owned()));

    // A signature that gpg would not make: after the end of the key. It is made by letting the
    // key live longer, and read with the key as it was before.
    let before = gpg.ring();
    gpg.at("20200701T000000", &["--quick-set-expire", print, "20y"]);
    gpg.at("20200701T000000", &["--quick-set-expire", print, "20y", "*"]);
    let late = gpg.sign("20240101T000000", &text);
    let error = before.verify(&late, b"<repomd/>", NOW).expect_err("late");
    assert!(error.to_string().contains("had expired"), "{error}");
    assert_eq!(gpg.ring().verify(&late, b"<repomd/>", NOW), Ok(print.to_owned()));
}

#[test]
fn a_revoked_key_counts_no_more() {
    let Some(gpg) = Gpg::new() else { return };
    let text = gpg.home.path().join("repomd.xml");
    fs::write(&text, "<repomd/>").expect("written");
    gpg.at("20200101T000000", &["--quick-generate-key", "lost@example.org", "ed25519", "sign"]);
    let signature = gpg.sign("20200601T000000", &text);
    assert!(gpg.ring().verify(&signature, b"<repomd/>", NOW).is_ok());
    // gpg lays a revocation beside every key it makes; a colon keeps it from being used unaware.
    let folder = gpg.home.path().join("openpgp-revocs.d");
    let file = fs::read_dir(&folder).expect("listed").next().expect("one").expect("one").path();
    let armed = fs::read_to_string(&file).expect("read").replace(":-----BEGIN", "-----BEGIN");
    fs::write(&file, armed).expect("written");
    gpg.at("20210101T000000", &["--import", file.to_str().expect("a path")]);
    let error = gpg.ring().verify(&signature, b"<repomd/>", NOW).expect_err("revoked");
    assert!(error.to_string().contains("was revoked"), "{error}");
}
