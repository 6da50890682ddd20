//! From packages to a root: signed, listed, the list signed, and installed by the real dnf with
//! gpgcheck and repo_gpgcheck on; what was changed on the way, dnf refuses.

#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use crate::kit::key;
use kiln_cas::Cas;
use kiln_repo::{
    Chunks, Entry, Listed, Record, Records, WriteOptions, write_generation, write_repo,
};
use kiln_sign::{Signer, SignerLink, SignerSpawn};
use rpm::{BuildConfig, CompressionType, Dependency, FileOptions, PackageBuilder};

/// 2026.
const NOW: u64 = 1_780_000_000;

struct Started(PathBuf);

impl SignerSpawn for Started {
    fn spawn(&self) -> std::io::Result<SignerLink> {
        let program = Path::new(env!("CARGO_BIN_EXE_kiln-signer-child"));
        let (socket, process) = kiln_signer::start(program, &["--rsa", "2048"], &self.0)?;
        Ok(SignerLink { socket, process })
    }
}

fn package(name: &str, needs: Option<&str>) -> Vec<u8> {
    let mut builder = PackageBuilder::new(name, "1.0", "MIT", "noarch", "A package");
    let quick = BuildConfig::v4().source_date(1_700_000_000_u32).compression(CompressionType::Gzip);
    let file = FileOptions::new(format!("/usr/share/{name}")).user("root").group("root");
    builder.using_config(quick).release("1").with_file_contents("clay\n", file).expect("a file");
    if let Some(needs) = needs {
        builder.requires(Dependency::any(needs));
    }
    let mut bytes = Vec::new();
    builder.build().expect("built").write(&mut bytes).expect("written");
    bytes
}

/// A published repository in a folder, and the keys that its readers may have.
struct Published {
    folder: tempfile::TempDir,
}

impl Published {
    async fn new(gzip: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let cas = Cas::open(&at("blobs.v1")).expect("a store");
        let signer = Signer::new(Arc::new(Started(at("signer"))));
        let clay = key("clay");
        for name in ["clay", "other"] {
            let public = signer.public_key(&key(name)).await.expect("a key");
            fs::write(at(&format!("{name}.key")), &public.certificate.openpgp).expect("written");
        }
        let mut listed = Vec::new();
        for (name, needs) in [("clay", Some("glaze")), ("glaze", None)] {
            let unsigned = cas.insert_bytes(&package(name, needs)).expect("stored");
            let signed = signer.sign_package(&cas, &clay, &unsigned, NOW).await.expect("signed");
            let location = format!("Packages/{name}-1.0-1.noarch.rpm");
            let nevra = format!("{name}-1.0-1.noarch").parse().expect("a NEVRA");
            listed.push(Listed { digest: signed.digest, nevra, location, mtime: NOW });
        }
        let options = WriteOptions { revision: NOW, gzip };
        let (records, chunks) = (Records::open(&at("records.v1")), Chunks::open(&at("chunks.v1")));
        let generation = write_generation(&listed, &options, &records, &chunks, &cas);
        let generation = generation.expect("written");
        let repomd = cas.read_to_vec(&generation.repomd, 1 << 20).expect("read");
        let signature = signer.sign_repomd(&clay, repomd, NOW).await.expect("signed");
        let generation = generation.with_signature(&signature, &cas).expect("stored");
        let files = generation.files.iter().map(|(name, file)| (name, file.digest));
        for (name, digest) in files.chain(listed.iter().map(|one| (&one.location, one.digest))) {
            let to = at("repo").join(name);
            fs::create_dir_all(to.parent().expect("a folder")).expect("made");
            fs::copy(cas.path(&digest), to).expect("copied");
        }
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes a byte of a file.
    fn change(&self, name: &str, at: impl FnOnce(&[u8]) -> usize) {
        let path = self.at("repo").join(name);
        let mut bytes = fs::read(&path).expect("read");
        let at = at(&bytes);
        bytes[at] ^= 1;
        fs::remove_file(&path).expect("removed");
        fs::write(&path, bytes).expect("changed");
    }

    /// Writes the metadata of the packages as they lie there, as whoever changed them would.
    fn list_anew(&self) {
        let location = |name: &str| format!("Packages/{name}-1.0-1.noarch.rpm");
        let records = ["clay", "glaze"].map(|name| {
            let mut file = fs::File::open(self.at("repo").join(location(name))).expect("opened");
            (location(name), Record::read(&mut file).expect("described"))
        });
        let entries = records.each_ref().map(|(location, record)| Entry {
            record,
            location: location.clone(),
            mtime: NOW,
        });
        let options = WriteOptions { revision: NOW + 1, gzip: false };
        write_repo(&entries, &self.at("repo"), &options).expect("written");
    }

    /// Installs clay into a fresh root; nothing where there is no dnf.
    fn install(&self, key: &str, check: [u8; 2]) -> Option<Output> {
        let fresh = tempfile::tempdir_in(self.folder.path()).expect("a folder");
        let at = |name: &str| fresh.path().join(name).display().to_string();
        let repo = format!(
            "[clay]\nname=clay\nbaseurl=file://{}\nenabled=1\nskip_if_unavailable=0\n\
             gpgcheck={}\nrepo_gpgcheck={}\ngpgkey=file://{}\n",
            self.at("repo").display(),
            check[0],
            check[1],
            self.at(key).display()
        );
        for folder in ["repos", "log", "root"] {
            fs::create_dir(at(folder)).expect("made");
        }
        fs::write(Path::new(&at("repos")).join("clay.repo"), repo).expect("written");
        let mut command = dnf();
        command
            .args(["--assumeyes", "--releasever=1"])
            .arg(format!("--installroot={}", at("root")))
            .arg(format!("--setopt=reposdir={}", at("repos")))
            .arg(format!("--setopt=cachedir={}", at("cache")))
            .arg(format!("--setopt=logdir={}", at("log")))
            .arg(format!("--setopt=persistdir={}", at("persist")))
            .args(["install", "clay"])
            .env("HOME", fresh.path())
            .env("LC_ALL", "C");
        let Ok(mut output) = command.output() else {
            println!("dnf: skipped, because it is not here");
            return None;
        };
        let installed = ["clay", "glaze"].map(|name| {
            let file = fresh.path().join("root/usr/share").join(name);
            fs::read(file).is_ok_and(|text| text == b"clay\n")
        });
        assert_eq!(installed, [output.status.success(); 2], "{}", said(&output));
        output.stdout.append(&mut output.stderr);
        Some(output)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// dnf, as root: its rpm changes its root to install. Whoever is not is that of a user namespace.
fn dnf() -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new("dnf");
    }
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--", "dnf"]);
    command
}

#[tokio::test]
async fn dnf_installs_what_was_signed_and_published() {
    for gzip in [false, true] {
        let published = Published::new(gzip).await;
        let Some(output) = published.install("clay.key", [1, 1]) else { return };
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[tokio::test]
async fn dnf_refuses_what_was_changed_on_the_way_and_the_wrong_key() {
    let refused = |published: &Published, key: &str, check, why: &str| {
        let Some(output) = published.install(key, check) else { return };
        assert!(!output.status.success(), "{why}: {}", said(&output));
        assert!(said(&output).contains(why), "{why}: {}", said(&output));
    };
    // The metadata's key, and then that of the packages alone.
    let published = Published::new(false).await;
    refused(&published, "other.key", [1, 1], "repomd.xml GPG signature verification error");
    refused(&published, "other.key", [1, 0], "GPG check FAILED");

    let published = Published::new(false).await;
    published.change("repodata/repomd.xml", |bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.find("<revision>").expect("a revision") + 12
    });
    refused(&published, "clay.key", [1, 1], "repomd.xml GPG signature verification error");

    let published = Published::new(false).await;
    let primary = fs::read_dir(published.at("repo/repodata")).expect("listed");
    let names = primary.map(|entry| entry.expect("listed").file_name().into_string());
    let primary = names.map(|name| name.expect("text")).find(|name| name.contains("primary"));
    let primary = primary.expect("primary metadata");
    published.change(&format!("repodata/{primary}"), |bytes| bytes.len() - 1);
    refused(&published, "clay.key", [1, 1], "checksum");

    // A package whose payload is another: the list says so, and where it is made anew to fit,
    // first its own signature and then that of the package does.
    let published = Published::new(false).await;
    published.change("Packages/glaze-1.0-1.noarch.rpm", |bytes| bytes.len() - 4);
    refused(&published, "clay.key", [1, 1], "checksum");
    published.list_anew();
    refused(&published, "clay.key", [1, 1], "repomd.xml GPG signature verification error");
    refused(&published, "clay.key", [1, 0], "GPG check FAILED");
}
