//! What shows how something was built: fetched from a service, and checked without it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test tells is printed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use kiln_attest::PublicKey;
use kiln_cas::Cas;
use kiln_kit::{Ground, Trial};
use kiln_service::{PASSWORD, Service, TARGET, is_published};
use serde_json::Value;

const PROJECT: &str = "tools";

/// What `scripts/evidence-oracle` ends with where its programs cannot be had.
const UNAVAILABLE: i32 = 75;

fn program() -> &'static Path {
    env!("CARGO_BIN_EXE_kiln-service-program").as_ref()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// A service with a package that was published, and what shows how it was built in a folder.
struct Scene {
    service: Service,
    job: String,
    folder: PathBuf,
}

impl Scene {
    fn new() -> Result<Option<Self>> {
        let Some(service) = Service::with_project(program(), PROJECT) else { return Ok(None) };
        let service = service?;
        let job = service.build(PROJECT, &service.spec("kt-shown", 1, ":")?)?;
        ensure!(is_published(&job), "{job}");
        let folder = service.ground().own_folder("evidence")?;
        let job = job["id"].to_string();
        let fetched = service.json(&["attest", "fetch", &job, text(&folder)?, "--json"])?;
        ensure!(fetched["position"] == 0 && fetched["log_size"] == 1, "{fetched}");
        let scene = Self { service, job, folder };
        // The key from the service itself, not from beside the evidence.
        fs::write(scene.at("service.pem"), scene.service.told(&["attest", "key"])?)?;
        Ok(Some(scene))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// `kiln attest verify` in a place where no service is known.
    fn verify(&self, with: &[&str], files: &[PathBuf]) -> Result<Output> {
        let [envelope, key] = [self.at("provenance.json"), self.at("service.pem")];
        let ground = self.service.ground();
        let mut kiln = ground.command(&ground.program(program())?);
        kiln.env("KILN_DIR", ground.path().join("nowhere"));
        kiln.args(["attest", "verify", text(&envelope)?, "--key", text(&key)?]);
        Ok(kiln.args(with).args(files).output()?)
    }
}

/// What a reader of the repository gets, and what the job made.
fn packages(scene: &Scene) -> Result<[PathBuf; 2]> {
    let name = "kt-shown-1-1.noarch.rpm";
    let built = scene.at("built");
    scene.service.told(&["download", &scene.job, text(&built)?])?;
    let published = scene.at(name);
    let from = format!("{}/repos/{PROJECT}/{TARGET}/current/Packages/k/{name}", scene.service.url);
    let fetched = Command::new("curl").args(["-sSf", &from, "-o", text(&published)?]).status()?;
    ensure!(fetched.success(), "fetching {from}");
    Ok([built.join(name), published])
}

#[test]
fn a_package_is_checked_against_its_evidence_without_the_service() -> Result<()> {
    let Some(mut scene) = Scene::new()? else { return Ok(()) };
    let files = packages(&scene)?;
    let [proof, lock] = [scene.at("proof.json"), scene.at("kiln.lock")];
    let builder = format!("{}/builders/namespaces", scene.service.url);
    ensure!(scene.service.stop()?, "from here on there is no service");
    let with = ["--proof", text(&proof)?, "--lock", text(&lock)?, "--builder", &builder];
    let output = scene.verify(&with, &files)?;
    ensure!(output.status.success(), "{}", said(&output));
    println!("{}", said(&output));
    ensure!(
        said(&output).contains("as it was built") && said(&output).contains("as it was signed")
    );
    let output = scene.verify(&["--json"], &files)?;
    let found: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(found["files"][0]["shape"] == "built" && found["files"][1]["shape"] == "signed");

    let other = scene.at("other.pem");
    fs::write(&other, PublicKey::of(&[9; 32]).map(|key| key.pem()).unwrap_or_default())?;
    let changed = |name: &str, from: &str, to: &str| -> Result<PathBuf> {
        let path = scene.at(&format!("changed-{name}"));
        let whole = fs::read_to_string(scene.at(name))?;
        ensure!(whole.contains(from), "{name} has no {from}");
        fs::write(&path, whole.replacen(from, to, 1))?;
        Ok(path)
    };
    let lock = changed("kiln.lock", "\"version\"", "\"versioN\"")?;
    let proof = changed("proof.json", "\"position\":0", "\"position\":1")?;
    let stranger = scene.at("stranger.rpm");
    fs::write(&stranger, b"not what was built")?;
    for (with, files, code, named) in [
        (vec!["--lock", text(&lock)?], vec![], 70, "the lock is"),
        (vec!["--proof", text(&proof)?], vec![], 70, "does not hold"),
        (
            vec!["--builder", "https://other.example.org/builders/namespaces"],
            vec![],
            70,
            "built by",
        ),
        (vec![], vec![stranger], 70, "nothing is said of"),
        (vec!["--least", "1"], vec![], 70, "0 of 1 rebuilders agree"),
        (vec![], vec![scene.at("missing.rpm")], 2, "cannot be read"),
    ] {
        let output = scene.verify(&with, &files)?;
        let told = said(&output);
        ensure!(output.status.code() == Some(code) && told.contains(named), "{with:?}: {told}");
    }
    let envelope = changed("provenance.json", "\"payload\":\"e", "\"payload\":\"f")?;
    fs::copy(&envelope, scene.at("provenance.json"))?;
    let output = scene.verify(&[], &[])?;
    ensure!(output.status.code() == Some(70), "{}", said(&output));
    ensure!(said(&output).contains("the signature does not hold"), "{}", said(&output));
    Ok(())
}

#[test]
fn programs_that_others_wrote_take_what_a_service_shows() -> Result<()> {
    let Some(scene) = Scene::new()? else { return Ok(()) };
    for (format, ending) in [("spdx", "spdx.json"), ("cyclonedx", "cdx.json")] {
        for (of, name) in [(scene.job.clone(), "job"), (format!("{PROJECT}/{TARGET}"), "repo")] {
            let to = scene.at(&format!("{name}.{ending}"));
            scene.service.told(&["sbom", &of, "--format", format, "-o", text(&to)?])?;
            let size = fs::metadata(&to)?.len();
            println!("{name}.{ending}: {size} bytes");
        }
    }
    for name in ["provenance.json", "proof.json", "kiln.lock"] {
        println!("{name}: {} bytes", fs::metadata(scene.at(name))?.len());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/evidence-oracle");
    let output = Command::new(script).arg(&scene.folder).output()?;
    if output.status.code() == Some(UNAVAILABLE) {
        kiln_kit::skip(said(&output).trim());
        return Ok(());
    }
    ensure!(output.status.success() && said(&output).contains("checked: 5"), "{}", said(&output));
    println!("{}", said(&output));
    Ok(())
}

#[test]
fn a_build_goes_into_one_file_and_comes_out_of_it_elsewhere() -> Result<()> {
    let Some(scene) = Scene::new()? else { return Ok(()) };
    let (bundle, again) = (scene.at("one.kiln.tar"), scene.at("two.kiln.tar"));
    let began = Instant::now();
    let exported = scene.service.json(&["export", &scene.job, "--json", "-o", text(&bundle)?])?;
    println!("exported in {:?}: {exported}", began.elapsed());
    scene.service.told(&["export", &scene.job, "-o", text(&again)?])?;
    ensure!(fs::read(&bundle)? == fs::read(&again)?, "the same build, the same bytes");
    let pem = scene.at("service.pem");
    let found = scene.service.json(&[
        "attest",
        "bundle",
        text(&bundle)?,
        "--key",
        text(&pem)?,
        "--json",
    ])?;
    ensure!(found["builder"] == format!("{}/builders/namespaces", scene.service.url), "{found}");
    let mut bytes = fs::read(&bundle)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let spoiled = scene.at("spoiled.kiln.tar");
    fs::write(&spoiled, bytes)?;
    let refused = scene.service.run(&["attest", "bundle", text(&spoiled)?])?;
    ensure!(refused.status.code() == Some(70), "{}", said(&refused));
    let folder = tempfile::tempdir()?;
    let cas = Cas::open(&folder.path().join("blobs.v1"))?;
    let began = Instant::now();
    let opened = kiln_bundle::open_bundle(&bundle, &cas)?;
    println!("opened in {:?}", began.elapsed());
    let key = PublicKey::read(&fs::read_to_string(scene.at("service.pem"))?)?;
    let evidence = opened.evidence.context("a published build has evidence")?;
    evidence.check(&key, &opened.record)?;
    ensure!(opened.lock.every_package().all(|package| cas.has(&package.digest)));
    let mut other = opened.record.clone();
    other.settings.jobs += 1;
    ensure!(evidence.check(&key, &other).is_err(), "evidence of another build");
    Ok(())
}

#[test]
fn a_build_of_ones_own_machine_is_exported_from_its_results() -> Result<()> {
    let Some(mut scene) = Scene::new()? else { return Ok(()) };
    ensure!(scene.service.stop()?, "its folder is this user's kiln now");
    let source = scene.service.spec("kt-own", 1, ":")?;
    let results = scene.service.ground().own_folder("results")?;
    scene.service.told(&[
        "build",
        "--local",
        "--target",
        TARGET,
        "--results",
        text(&results)?,
        text(&source)?,
    ])?;
    let built = results.join("kt-own-1-1");
    let bundle = scene.at("own.kiln.tar");
    scene.service.told(&["export", "--local", text(&built)?, "-o", text(&bundle)?])?;
    let folder = tempfile::tempdir()?;
    let cas = Cas::open(&folder.path().join("blobs.v1"))?;
    let opened = kiln_bundle::open_bundle(&bundle, &cas)?;
    ensure!(opened.evidence.is_none(), "nobody has signed anything of it");
    ensure!(opened.record.title.contains("kt-own"), "{}", opened.record.title);
    let refused = scene.service.run(&["export", "--local", text(&results)?])?;
    ensure!(refused.status.code() == Some(2), "{}", said(&refused));
    Ok(())
}

#[test]
fn a_log_whose_entries_were_changed_in_the_database_is_found_by_the_doctor() -> Result<()> {
    let Some(mut scene) = Scene::new()? else { return Ok(()) };
    ensure!(scene.service.stop()?, "it ends in good order");
    let data = scene.service.data().to_owned();
    let look = || -> Result<Value> {
        let all = scene.service.json(&["doctor", "--json", "--server-folder", text(&data)?])?;
        let mut all = all.as_array().context("a list")?.iter();
        all.find(|one| one["what"] == "log").cloned().context("nothing is said of the log")
    };
    let fine = look()?;
    ensure!(fine["found"] == "1 entries, as they were signed", "{fine}");
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
                  c.execute('UPDATE log_entries SET entry = ?', ('sha256:' + 64 * 'a',)); \
                  c.commit()";
    let mut python = scene.service.ground().command(Path::new("python3"));
    let changed = python.args(["-c", script]).arg(data.join("kiln.db")).output();
    match changed {
        Ok(output) if output.status.success() => {}
        _ => {
            kiln_kit::skip("python3 with sqlite3 is not here to change a database");
            return Ok(());
        }
    }
    let broken = look()?;
    let found = broken["found"].as_str().context("a text")?;
    ensure!(found.contains("is not what was signed"), "{broken}");
    Ok(())
}

#[test]
fn a_log_that_forgot_what_was_seen_of_it_is_found_out() -> Result<()> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else { return Ok(()) };
    let mut service = Service::start(program(), ground, &trial)?;
    service.told(&["project", "create", PROJECT, "--public", "--target", TARGET])?;
    ensure!(is_published(&service.build(PROJECT, &service.spec("kt-one", 1, ":")?)?));
    let first = service.json(&["attest", "log", "--json"])?;
    ensure!(first["size"] == 1 && first["seen"].is_null(), "{first}");
    let backups = service.ground().own_folder("backups")?;
    service.told(&["backup", text(&backups)?])?;
    ensure!(is_published(&service.build(PROJECT, &service.spec("kt-two", 1, ":")?)?));
    let second = service.json(&["attest", "log", "--json"])?;
    ensure!(second["size"] == 2 && second["seen"] == 1, "{second}");
    service.kill()?;

    let mut restored = service.elsewhere("restored", &["--workers", "2"]);
    restored.told(&["restore", text(&backups)?])?;
    restored.up()?;
    let forgot = service.run(&["attest", "log"])?;
    ensure!(forgot.status.code() == Some(70), "{}", said(&forgot));
    ensure!(said(&forgot).contains("the log has forked"), "{}", said(&forgot));
    // And once it is as long as what was seen, with something else in it.
    restored.say(&["login", &restored.url.clone(), "--user", "ann"], PASSWORD)?;
    for name in ["kt-three", "kt-four"] {
        ensure!(is_published(&restored.build(PROJECT, &restored.spec(name, 1, ":")?)?));
    }
    let forked = service.run(&["attest", "log"])?;
    ensure!(forked.status.code() == Some(70), "{}", said(&forked));
    ensure!(said(&forked).contains("does not continue that of 2"), "{}", said(&forked));
    println!("{}", said(&forked));
    restored.stop()?;
    Ok(())
}
