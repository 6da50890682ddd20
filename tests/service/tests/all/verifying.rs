//! What a service builds is built again, and what comes of it can be read.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kiln_kit::{Ground, Trial};
use kiln_service::{Service, TARGET};
use serde_json::Value;

/// What the newest rebuild of a job was judged to be, as soon as it is.
fn judged(service: &Service, job: &Value, secret: &str) -> Result<Value> {
    let path = format!("/api/v1/jobs/{}/verdicts", job["id"]);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(120) {
        let (status, all) = service.ask("GET", &path, secret, b"")?;
        ensure!(status == 200, "{status} {all}");
        if all[0]["verdict"].is_string() {
            return Ok(all[0].clone());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    bail!("nobody judged {job}")
}

#[test]
fn what_is_built_is_built_again_and_judged_where_a_project_wants_it() -> Result<()> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else { return Ok(()) };
    let program = env!("CARGO_BIN_EXE_kiln-service-program").as_ref();
    let mut service = Service::start(program, ground, &trial)?;
    service.told(&["project", "create", "tools", "--target", TARGET])?;
    let token = service.told(&["token", "create", "reader", "--scope", "read"])?;
    let token = token.trim();

    // By itself, where the project wants it; and not where nobody asked.
    let before = service.build("tools", &service.spec("kt-quiet", 1, ":")?)?;
    service.told(&["project", "set", "tools", "--verify", "yes"])?;
    let job = service.build("tools", &service.spec("kt-proof", 1, ":")?)?;
    let verdict = judged(&service, &job, token)?;
    ensure!(verdict["verdict"] == "reproduced", "{verdict}");
    let page = service.text(&format!("/jobs/{}", job["id"]), token)?;
    ensure!(page.contains("every file came out the same"), "{page}");
    let path = format!("/api/v1/jobs/{}/verdicts", before["id"]);
    ensure!(service.ask("GET", &path, token, b"")?.1 == serde_json::json!([]), "nobody asked");
    // The rebuild of a rebuild proves nothing new, and nothing of it is published.
    let rebuild = &verdict["rebuild"];
    let again = service.ask("POST", &format!("/api/v1/jobs/{rebuild}/verify"), token, b"")?;
    ensure!(again.0 == 403, "a reader may not: {again:?}");
    let (_, rebuilt) = service.ask("GET", &format!("/api/v1/jobs/{rebuild}"), token, b"")?;
    ensure!(rebuilt["state"] == "built" && rebuilt["snapshot"].is_null(), "{rebuilt}");

    // When somebody asks, with the report, and the code that says that it differs.
    service.told(&["project", "set", "tools", "--verify", "no"])?;
    let spec = service.spec("kt-seed", 1, "od -An -N16 -tx1 /dev/urandom | tr -d ' ' > seed")?;
    let text = spec.join("kt-seed.spec");
    let mut sed = service.ground().command("sed".as_ref());
    let put = r"s|^%files|mkdir -p %{buildroot}/usr/share/kt-seed; cp seed %{buildroot}/usr/share/kt-seed/\n%files\n/usr/share/kt-seed/seed|";
    ensure!(sed.args(["-i", put]).arg(&text).status()?.success(), "changing the spec");
    let job = service.build("tools", &spec)?;
    ensure!(job["state"] == "built", "{job}");
    let build = job["build"].to_string();
    let output = service.run(&["verify", &build, "--json"])?;
    let proof: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    ensure!(proof["verdict"] == "diverged" && output.status.code() == Some(1), "{proof}");
    let text = proof.to_string();
    ensure!(
        text.contains("\"kind\":\"random\"") && text.contains("/usr/share/kt-seed/seed"),
        "{text}"
    );
    let page = service.text(&format!("/jobs/{}", job["id"]), token)?;
    ensure!(page.contains("something drawn at random"), "{page}");
    // What is asked wrongly.
    let wrong = service.run(&["verify", "99999"])?;
    ensure!(wrong.status.code() == Some(2), "{wrong:?}");
    let wrong = service.run(&["verify", &build, "--challenge"])?;
    ensure!(wrong.status.code() == Some(2), "{wrong:?}");
    ensure!(service.stop()?, "it ends in good order");
    Ok(())
}
