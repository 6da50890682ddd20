//! Programs that others wrote read what we write: PyPI's validators, by `scripts/evidence-oracle`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test tells is printed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use ed25519_dalek::{Signer as _, SigningKey};
use kiln_attest::{Built, PublicKey};
use kiln_model::{
    Digest, LOCK_VERSION, Limits, Lock, LockedPackage, LockedSnapshot, Nevra, Reason,
};
use kiln_sbom::{Bill, Format, Package, Role};
use kiln_wire::record::{self, Record};
use kiln_wire::worker::{ClaimedArtifact, Settings, Source, SourceFile};

/// What the script ends with where the programs cannot be had.
const UNAVAILABLE: i32 = 75;

fn nevra(text: &str) -> Nevra {
    text.parse().expect("a NEVRA")
}

fn lock() -> Lock {
    let package = |text: &str| LockedPackage {
        nevra: nevra(text),
        repo: "base".to_owned(),
        location: format!("Packages/{text}.rpm"),
        size: 9,
        digest: Digest::of(text.as_bytes()),
        why: Reason::Profile("bash".parse().expect("a requirement")),
    };
    Lock {
        version: LOCK_VERSION,
        target: "trial-13-x86_64".parse().expect("a name"),
        profile: "distribution/2".to_owned(),
        arch: "x86_64".to_owned(),
        solver: "libsolv 0.7.23".to_owned(),
        macros: BTreeMap::new(),
        requires: Vec::new(),
        snapshots: vec![LockedSnapshot { repo: "base".to_owned(), repomd: Digest::of(b"md") }],
        packages: vec![package("bash-5-1.x86_64"), package("gcc-c++-4:14~rc1^x-1.x86_64")],
        toolbox: vec![package("bash-5-1.x86_64"), package("rpm-4-1.x86_64")],
    }
}

fn record(lock: &Lock) -> Record {
    let name = "pot-1-1.x86_64.rpm".to_owned();
    Record {
        version: record::VERSION,
        kiln: "0.1.0".to_owned(),
        title: "pot.src.rpm".to_owned(),
        source: Source::Srpm(SourceFile {
            name: "source.src.rpm".to_owned(),
            digest: Digest::of(b"source"),
            size: 7,
        }),
        settings: Settings {
            macros: BTreeMap::from([("dist".to_owned(), ".kt13 \"ü\" \\".to_owned())]),
            jobs: 2,
            ..Settings::plain(lock.target.clone(), "x86_64")
        },
        limits: Limits::default(),
        lock: Digest::of(b"lock"),
        base: None,
        artifacts: vec![ClaimedArtifact { name, digest: Digest::of(b"pot"), size: 11 }],
    }
}

/// Licences as headers really say them, texts that are not plain, and what there is none of.
fn bill(lock: &Lock) -> Bill {
    let made = |text: &str, license: Option<&str>| Package {
        license: license.map(str::to_owned),
        summary: Some("A pot \"of\" clay, für <alle>".to_owned()),
        url: Some("https://example.org/pot?a=b".to_owned()),
        vendor: Some("Potters (all of them) <potters@example.org>".to_owned()),
        ..Package::new(nevra(text), Digest::of(text.as_bytes()))
    };
    let address = "https://kiln.example.org/jobs/12/sbom".to_owned();
    let mut bill = Bill::new("pot-1-1".to_owned(), address, 1_796_083_199_000, "0.1.0");
    bill.add(made("pot-1-1.src", Some("MIT")), Role::Source);
    bill.add(made("pot-1-1.x86_64", Some("MIT AND (GPL-2.0-or-later OR Zlib)")), Role::Subject);
    bill.add(made("pot-doc-2:1-1.noarch", Some("GPLv2+ and Public Domain")), Role::Subject);
    bill.add(made("pot-extra-1-1.noarch", None), Role::Subject);
    bill.add(
        made("pot-libs-1-1.x86_64", Some("GPL-3.0-or-later WITH GCC-exception-3.1")),
        Role::Subject,
    );
    for (packages, role) in [(&lock.packages, Role::Buildroot), (&lock.toolbox, Role::Toolbox)] {
        for one in packages {
            bill.add(Package::new(one.nevra.clone(), one.digest), role);
        }
    }
    bill.files.insert("pot.spec".to_owned(), Digest::of(b"spec"));
    bill.files.insert("pot-1.tar.gz".to_owned(), Digest::of(b"sources"));
    bill
}

#[test]
fn validators_that_others_wrote_take_our_statements_and_bills() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes);
    let lock = lock();
    let record = record(&lock);
    let statement = Built {
        service: "https://kiln.example.org",
        project: "clay",
        job: 12,
        attempt: 1,
        worker: Some("oven-1"),
        record: &record,
        lock: &lock,
        base: None,
        origin: None,
        signed: &BTreeMap::from([("pot-1-1.x86_64.rpm".to_owned(), Digest::of(b"signed"))]),
        began_at: Some(1_796_083_199_000),
        ended_at: Some(1_796_083_299_000),
        logs: vec![("build.log".to_owned(), Digest::of(b"log"))],
    }
    .statement();
    let secret = SigningKey::from_bytes(&[7; 32]);
    let key = PublicKey::of(secret.verifying_key().as_bytes()).expect("a key");
    let signature = secret.sign(&statement.pae()).to_bytes();
    let envelope = statement.signed(&key, &signature).to_bytes();
    write("provenance.json", &envelope).expect("written");
    write("key.pem", key.pem().as_bytes()).expect("written");
    let bill = bill(&lock);
    write("job.spdx.json", &bill.to_bytes(Format::Spdx)).expect("written");
    write("job.cdx.json", &bill.to_bytes(Format::CycloneDx)).expect("written");
    let address = "https://kiln.example.org/repos/clay/t/3/sbom".to_owned();
    let mut repo = Bill::new("clay for t, snapshot 3".to_owned(), address, 0, "0.1.0");
    repo.add(Package::new(nevra("pot-1-1.x86_64"), Digest::of(b"pot")), Role::Subject);
    write("repo.spdx.json", &repo.to_bytes(Format::Spdx)).expect("written");
    write("repo.cdx.json", &repo.to_bytes(Format::CycloneDx)).expect("written");

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/evidence-oracle");
    let output = Command::new(script).arg(folder.path()).output().expect("started");
    let (said, errors) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.code() == Some(UNAVAILABLE) {
        assert!(std::env::var_os("KILN_NO_SKIP").is_none(), "{errors}");
        eprint!("{errors}");
        return;
    }
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains("checked: 5"), "{said}");
    println!("{said}");
}
