//! A Debian suite that a test makes for itself: packages, indexes, a signed release.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use kiln_debrpm::{Arguments, DebrpmError};
use kiln_model::Digest;
use pgp::composed::{
    DetachedSignature, KeyType, SecretKeyParamsBuilder, SignedPublicKey, SignedSecretKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::types::Password;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// Runs `kiln debrpm` with these words.
pub fn debrpm(words: &[&str]) -> Result<(), DebrpmError> {
    let line = Line::parse_from(std::iter::once("debrpm").chain(words.iter().copied()));
    kiln_debrpm::run(&line.arguments)
}

/// A Debian package under construction.
pub struct Deb {
    control: String,
    data: tar::Builder<Vec<u8>>,
    scripts: tar::Builder<Vec<u8>>,
}

impl Deb {
    pub fn new(fields: &str) -> Self {
        let builder = || tar::Builder::new(Vec::new());
        Self { control: fields.to_owned(), data: builder(), scripts: builder() }
    }

    pub fn file(mut self, path: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = header(tar::EntryType::Regular, mode);
        header.set_size(content.len() as u64);
        self.data.append_data(&mut header, path, content).expect("appended");
        self
    }

    pub fn link(mut self, path: &str, target: &str) -> Self {
        let mut header = header(tar::EntryType::Symlink, 0o777);
        self.data.append_link(&mut header, path, target).expect("appended");
        self
    }

    pub fn hard(mut self, path: &str, target: &str) -> Self {
        let mut header = header(tar::EntryType::Link, 0o644);
        self.data.append_link(&mut header, path, target).expect("appended");
        self
    }

    pub fn script(mut self, name: &str, text: &str) -> Self {
        let mut header = header(tar::EntryType::Regular, 0o755);
        header.set_size(text.len() as u64);
        self.scripts.append_data(&mut header, name, text.as_bytes()).expect("appended");
        self
    }

    fn bytes(self) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let control = self.scripts.into_inner().expect("a tar");
        std::io::Write::write_all(&mut gzip, &control).expect("packed");
        let data = self.data.into_inner().expect("a tar");
        let parts = [
            b"!<arch>\n".to_vec(),
            member("debian-binary", b"2.0\n"),
            member("control.tar.gz", &gzip.finish().expect("packed")),
            member("data.tar.zst", &zstd::encode_all(&data[..], 1).expect("packed")),
        ];
        parts.concat()
    }
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1_700_000_000);
    header.set_size(0);
    header.set_username("root").expect("a short name");
    header.set_groupname("root").expect("a short name");
    header
}

fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out =
        format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len())
            .into_bytes();
    out.extend_from_slice(bytes);
    if bytes.len() % 2 == 1 {
        out.push(b'\n');
    }
    out
}

/// A mirror on disk, with the key that signs it.
pub struct Mirror {
    pub folder: tempfile::TempDir,
    secret: SignedSecretKey,
}

impl Mirror {
    /// A mirror of the suite 'trixie' with these packages, signed.
    pub fn new(debs: Vec<Deb>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let secret = SecretKeyParamsBuilder::default()
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .primary_user_id("archive <archive@example.org>".to_owned())
            .build()
            .expect("sound parameters")
            .generate(rand::thread_rng())
            .expect("a key");
        let mirror = Self { folder, secret };
        let mut index = String::new();
        for (number, deb) in debs.into_iter().enumerate() {
            let (fields, path) = (deb.control.clone(), format!("pool/{number}.deb"));
            let bytes = deb.bytes();
            let digest = Digest::of(&bytes).hex();
            index.push_str(&format!(
                "{fields}Architecture: amd64\nDescription: for a test\nFilename: {path}\n\
                 Size: {}\nSHA256: {digest}\n\n",
                bytes.len()
            ));
            mirror.write(&path, &bytes);
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, index.as_bytes()).expect("packed");
        let packed = gzip.finish().expect("packed");
        let release = format!(
            "Suite: stable\nCodename: trixie\nVersion: 13.1\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n\
             SHA256:\n {} {} main/binary-amd64/Packages.gz\n",
            Digest::of(&packed).hex(),
            packed.len()
        );
        mirror.write("dists/trixie/main/binary-amd64/Packages.gz", &packed);
        mirror.write("dists/trixie/Release", release.as_bytes());
        mirror.write("dists/trixie/Release.gpg", &mirror.sign(release.as_bytes()));
        let public = SignedPublicKey::from(mirror.secret.clone());
        let public = public.to_armored_string(None.into()).expect("armoured");
        mirror.write("key.asc", public.as_bytes());
        mirror
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("in the folder")).expect("a folder");
        fs::write(path, bytes).expect("written");
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let (key, none) = (&self.secret.primary_key, Password::empty());
        let (mut random, hash) = (rand::thread_rng(), HashAlgorithm::Sha256);
        let signature = DetachedSignature::sign_binary_data(&mut random, key, &none, hash, bytes);
        signature.expect("signed").to_armored_bytes(None.into()).expect("armoured")
    }

    /// Runs a step over this mirror into `work`, with the seeds that stand in the file `seeds`.
    pub fn run(&self, step: &str, work: &Path) -> Result<(), DebrpmError> {
        let (url, key) = (format!("file://{}", self.folder.path().display()), self.path("key.asc"));
        let seeds = self.path("seeds.txt");
        if !seeds.exists() {
            self.write("seeds.txt", b"app\n");
        }
        let text = |path: &Path| path.display().to_string();
        debrpm(&[
            step,
            "--arch",
            "x86_64",
            "--mirror",
            &url,
            "--keyring",
            &text(&key),
            "--seeds",
            &text(&seeds),
            "--work",
            &text(work),
            "--jobs",
            "2",
            "--json",
        ])
    }
}

/// A suite in which `app` depends on a library and on an alternative.
pub fn small_suite() -> Vec<Deb> {
    let app = Deb::new(
        "Package: app\nVersion: 1:2.0-rc1-3\nDepends: libz1 (>= 1:1.1), awk | mawk, dpkg\n",
    );
    let library = Deb::new("Package: libz1\nVersion: 1:1.3-1\nProvides: libz (= 1.3)\n");
    vec![
        app.file("./bin/app", 0o4755, b"#!/bin/sh\n")
            .file("./etc/app.conf", 0o640, b"colour = red\n")
            .file(
                "./usr/share/doc/app/copyright",
                0o644,
                b"Format: x\n\nFiles: *\nLicense: GPL-2+\n",
            )
            .file("./usr/share/doc/app/README", 0o644, b"read me\n")
            .file("./usr/share/man/man1/app.1.gz", 0o644, b"x")
            .file("./usr/share/app/one", 0o600, b"the same\n")
            .hard("./usr/share/app/two", "./usr/share/app/one")
            .hard("./usr/bin/app-twin", "./etc/app.conf")
            .script("conffiles", "/etc/app.conf\n"),
        library
            .file(
                "./usr/lib/x86_64-linux-gnu/pkgconfig/z.pc",
                0o644,
                b"libdir=/usr/lib/x86_64-linux-gnu\nVersion: 1.3\n",
            )
            .link("./usr/lib/x86_64-linux-gnu/libz.so", "../../../lib/x86_64-linux-gnu/libz.so.1"),
        Deb::new("Package: gawk\nVersion: 5-1\nProvides: awk\nPriority: optional\n")
            .file("./usr/bin/gawk", 0o755, b"#!/bin/sh\n")
            .script(
                "postinst",
                "update-alternatives --install /usr/bin/awk awk /usr/bin/gawk 10\n",
            ),
        Deb::new("Package: dpkg\nVersion: 1\n"),
    ]
}

/// Every file under a folder with its digest.
pub fn tree(folder: &Path) -> BTreeMap<String, Digest> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            let below = tree(&path);
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            found
                .extend(below.into_iter().map(|(file, digest)| (format!("{name}/{file}"), digest)));
        } else {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            found.insert(name, Digest::of(&fs::read(&path).expect("read")));
        }
    }
    found
}
