//! Backups, and several control processes over one database.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test tells is printed")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kiln_kit::{Ground, Postgres, Trial};
use kiln_service::{Dnf, Http, Look, Reader, Service, TARGET, is_published, spec_text};
use serde_json::{Value, json};

const PROJECT: &str = "tools";

fn program() -> &'static Path {
    env!("CARGO_BIN_EXE_kiln-service-program").as_ref()
}

/// Everything that a service has, copied while it runs, and made a service of again: in another
/// folder, and of another kind of database.
#[test]
fn a_backup_becomes_a_service_with_the_same_key_and_the_same_packages() -> Result<()> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else { return Ok(()) };
    let mut service = Service::start(program(), ground, &trial)?;
    service.told(&["project", "create", PROJECT, "--public", "--target", TARGET])?;
    ensure!(is_published(&service.build(PROJECT, &service.spec("kt-one", 1, ":")?)?));
    let dnf = Dnf::new(&service, "kept", PROJECT, &trial)?;
    let http = service.http()?;
    let key = http.get(&format!("/repos/{PROJECT}/key.asc"))?.body;
    let folder = service.data().with_file_name("backups");
    let folder = folder.to_str().context("a path")?;
    service.ground().own_folder("backups")?;

    let first: Value = service.json(&["backup", "--json", folder])?;
    ensure!(first["new_blobs"] == first["blobs"], "{first}");
    ensure!(first["linked"] == first["new_blobs"], "all on one disk: {first}");
    // The second while something is being built, a second later: its name is its moment.
    let slow = service.spec("kt-slow", 1, "sleep 3")?;
    let slow = slow.to_str().context("a path")?;
    service.told(&["build", "--project", PROJECT, slow])?;
    ensure!(is_published(&service.build(PROJECT, &service.spec("kt-two", 1, ":")?)?));
    let second: Value = service.json(&["backup", "--json", folder])?;
    println!("the first backup: {first}\nthe second: {second}");
    let count = |told: &Value| told["new_blobs"].as_u64().unwrap_or(u64::MAX);
    ensure!(count(&second) < count(&first) / 2, "what is there already is not copied again");
    let over = service.run(&["restore", folder])?;
    ensure!(over.status.code() == Some(2), "nothing is overwritten");
    service.kill()?;

    let mut restored = service.elsewhere("restored", &["--workers", "2"]);
    restored.told(&["restore", folder])?;
    again(&mut restored, dnf.as_ref(), &key, "kt-three")?;
    restored.kill()?;
    spoiled(&service, folder)?;

    let Some(postgres) = Postgres::or_skip() else { return Ok(()) };
    let with = ["--workers", "2", "--database", &postgres.url];
    let mut moved = service.elsewhere("moved", &with);
    moved.told(&["restore", "--database", &postgres.url, folder])?;
    again(&mut moved, dnf.as_ref(), &key, "kt-four")?;
    let told: Value = moved.json(&["backup", "--json", "--database", &postgres.url, folder])?;
    ensure!(told["rows"].as_u64() > second["rows"].as_u64(), "{told}");
    Ok(())
}

/// The restored service goes on: its key is what it was, what was under way is built, and
/// something new is published and installed.
fn again(service: &mut Service, dnf: Option<&Dnf>, key: &[u8], package: &str) -> Result<()> {
    ensure!(service.up()?.is_none(), "it has an operator");
    // Who was signed in is so still, but for the folder that the command line keeps it in.
    let login = ["login", &service.url.clone(), "--user", "ann"];
    service.say(&login, "correct horse battery")?;
    let http = service.http()?;
    ensure!(http.get(&format!("/repos/{PROJECT}/key.asc"))?.body == key, "another key");
    ensure!(is_published(&service.build(PROJECT, &service.spec(package, 1, ":")?)?));
    let until = Instant::now() + Duration::from_secs(60);
    let reader = Reader::new(&http, PROJECT, TARGET)?;
    loop {
        let Look::Whole { packages, .. } = reader.look()? else { continue };
        let has = |name: &str| packages.iter().any(|file| file.starts_with(name));
        if ["kt-one", "kt-two", "kt-slow", package].into_iter().all(has) {
            break;
        }
        ensure!(Instant::now() < until, "only {packages:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    if let Some(dnf) = dnf {
        for name in ["kt-one", package] {
            ensure!(dnf.install(name)? == format!("{name} 1\n"), "{name}");
        }
    }
    Ok(())
}

/// A backup of which a byte is another is not restored.
fn spoiled(service: &Service, folder: &str) -> Result<()> {
    let ground = service.ground();
    let run = |program: &str, arguments: &[&str]| -> Result<()> {
        let done = ground.command(Path::new(program)).args(arguments).status()?;
        ensure!(done.success(), "{program} {arguments:?}");
        Ok(())
    };
    let copy = ground.path().join("spoiled");
    let copy = copy.to_str().context("a path")?;
    run("cp", &["-a", folder, copy])?;
    let database = format!("sed -i 's/kt-one/kt-0ne/' {copy}/*/database.jsonl");
    let blob = format!(
        "f=$(find {copy}/blobs.v1/sha256 -type f -size +1 | head -n 1); chmod u+w $f; \
         printf x | dd of=$f conv=notrunc status=none"
    );
    for (at, (script, told)) in
        [(blob, "wrong bytes"), (database, "is not what was written there")].iter().enumerate()
    {
        run("sh", &["-c", script])?;
        let other = service.elsewhere(&format!("spoiled-{at}"), &[]);
        let refused = other.run(&["restore", copy])?;
        let said = String::from_utf8_lossy(&refused.stderr);
        ensure!(!refused.status.success() && said.contains(told), "{said}");
        ensure!(!other.data().join("kiln.db").exists(), "half a service was made");
    }
    Ok(())
}

/// Two control processes over one PostgreSQL: what is submitted to one wakes a worker that waits
/// at the other.
#[test]
fn a_build_submitted_to_one_control_wakes_a_worker_of_another() -> Result<()> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else { return Ok(()) };
    let Some(postgres) = Postgres::or_skip() else { return Ok(()) };
    let with = ["--workers", "0", "--database", &postgres.url];
    let one = Service::start_as(program(), ground, &trial, &with)?;
    let with = ["--workers", "2", "--worker-name", "other", "--database", &postgres.url];
    let mut other = one.beside(&with);
    other.up()?;
    one.told(&["project", "create", PROJECT, "--public", "--target", TARGET])?;
    // The first makes the buildroot.
    ensure!(is_published(&one.build(PROJECT, &one.spec("kt-first", 1, ":")?)?));
    let http = one.http()?;
    let mut waits = Vec::new();
    for at in 0..9 {
        let build = submit(&http, &format!("kt-{at}"))?;
        let job = over(&http, build)?;
        ensure!(is_published(&job) && job["worker"] == "other", "{job}");
        let moment = |field: &str| job[field].as_i64().context("a moment");
        waits.push(moment("began_at")? - moment("queued_at")?);
    }
    waits.sort_unstable();
    println!("from submitted here to leased there, in ms: {waits:?}");
    ensure!(waits[waits.len() / 2] < 100, "{waits:?}");
    let reader = Reader::new(&http, PROJECT, TARGET)?;
    let Look::Whole { packages, snapshot } = reader.look()? else { anyhow::bail!("not whole") };
    ensure!((packages.len(), snapshot) == (10, 10), "{packages:?}, {snapshot}");
    ensure!(other.stop()? && Look::Away != reader.look()?, "one goes on without the other");
    Ok(())
}

fn submit(http: &Http, name: &str) -> Result<i64> {
    let text = spec_text(name, 1, ":");
    let digest = kiln_model::Digest::of(text.as_bytes()).to_string();
    let path = format!("/api/v1/uploads/{digest}?offset=0&size={}", text.len());
    ensure!(http.ask("PUT", &path, &[], text.as_bytes())?.status == 200);
    let spec = format!("{name}.spec");
    let mut files = serde_json::Map::new();
    files.insert(spec.clone(), digest.into());
    let asked = json!({"given": [{"title": name, "spec": spec, "files": files}]}).to_string();
    let path = format!("/api/v1/projects/{PROJECT}/builds");
    let made = http.ask("POST", &path, &[], asked.as_bytes())?;
    ensure!(made.status == 201, "{}", made.json());
    made.json()["builds"][0]["id"].as_i64().context("a number")
}

/// The only job of a build, once it is over.
fn over(http: &Http, build: i64) -> Result<Value> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = http.get(&format!("/api/v1/builds/{build}?wait=10"))?;
        let job = answer.json()["jobs"][0].clone();
        if job["is_over"] == true {
            return Ok(job);
        }
        ensure!(Instant::now() < until, "{job}");
    }
}
