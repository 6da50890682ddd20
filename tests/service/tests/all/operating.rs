//! What operators do: look at how a service stands, let people in, set how projects build.

use anyhow::{Context, Result, ensure};
use kiln_kit::{Ground, Trial};
use kiln_service::{PASSWORD, Service, TARGET};
use serde_json::{Value, json};

/// The finding of that name.
fn finding<'a>(findings: &'a Value, what: &str) -> Result<&'a Value> {
    let all = findings.as_array().context("a list")?;
    all.iter().find(|one| one["what"] == what).with_context(|| format!("{what}: {findings}"))
}

#[test]
fn operators_see_how_it_stands_and_let_people_in() -> Result<()> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else { return Ok(()) };
    let program = env!("CARGO_BIN_EXE_kiln-service-program").as_ref();
    let mut service = Service::start(program, ground, &trial)?;
    service.told(&["project", "create", "tools", "--target", TARGET])?;
    by_a_link(&service)?;
    with_gzip(&service)?;

    let folder = service.data().to_str().context("a path")?.to_owned();
    let url = service.url.clone();
    let asked = ["doctor", "--json", "--server-folder", &folder, "--url", &url];
    let findings = service.json(&asked)?;
    for what in ["folder", "keys", "signer", "database", "clock", "workers", "service"] {
        ensure!(finding(&findings, what)?["standing"] == "fine", "{what}: {findings}");
    }
    ensure!(finding(&findings, "its own address")?["found"] == url.as_str(), "{findings}");
    ensure!(service.run(&asked)?.status.success());

    // As somebody finds it who sees to nothing: keys that others can read, another address.
    let elsewhere = url.replace("127.0.0.1", "localhost");
    let mut open = service.ground().command("chmod".as_ref());
    open.args(["-R", "go+r"]);
    ensure!(open.arg(format!("{folder}/keys.v1")).status()?.success());
    let asked = ["doctor", "--json", "--server-folder", &folder, "--url", &elsewhere];
    let findings = service.json(&asked)?;
    let keys = finding(&findings, "keys")?;
    ensure!(
        keys["standing"] == "missing"
            && keys["mend"].as_str().is_some_and(|text| text.contains("chmod"))
    );
    let address = finding(&findings, "its own address")?;
    ensure!(address["mend"] == format!("kiln up --url {elsewhere}"), "{address}");
    ensure!(service.run(&asked)?.status.code() == Some(2));
    ensure!(service.stop()?, "it ends in good order");
    let findings =
        service.json(&["doctor", "--json", "--server-folder", &folder, "--url", &url])?;
    ensure!(finding(&findings, "service")?["standing"] == "missing", "{findings}");
    Ok(())
}

/// Somebody whom an operator made an account for sets a password that no operator knows.
fn by_a_link(service: &Service) -> Result<()> {
    let link = service.told(&["user", "create", "bob", "--link"])?;
    let (place, ticket) = link.trim().split_once("?ticket=").context("a link")?;
    ensure!(place == format!("{}/set-password", service.url), "{link}");
    let login = json!({"name": "bob", "password": PASSWORD, "label": "x"}).to_string();
    ensure!(service.ask("POST", "/api/v1/login", "", login.as_bytes())?.0 == 401, "none yet");
    let set = json!({"ticket": ticket, "password": PASSWORD}).to_string();
    let (status, made) = service.ask("POST", "/api/v1/password", "", set.as_bytes())?;
    ensure!(status == 200 && made["secret"].is_string(), "{status} {made}");
    ensure!(service.ask("POST", "/api/v1/password", "", set.as_bytes())?.0 == 401, "good once");
    ensure!(service.ask("POST", "/api/v1/login", "", login.as_bytes())?.0 == 200);
    Ok(())
}

/// Metadata for readers that know no zstd, where a project asks for them.
fn with_gzip(service: &Service) -> Result<()> {
    service.told(&["project", "set", "tools", "--gzip", "yes", "--macro", "vendor=ACME"])?;
    let project = service.json(&["project", "show", "tools", "--json"])?;
    let settings = &project["settings"];
    ensure!(settings["gzip"] == true && settings["macros"]["vendor"] == "ACME", "{settings}");
    let job = service.build("tools", &service.spec("kt-gzip", 1, ":")?)?;
    ensure!(job["state"] == "built", "{job}");
    let token = service.told(&["token", "create", "reader", "--scope", "read"])?;
    let path = format!("/repos/tools/{TARGET}/1/repodata/repomd.xml");
    let repomd = service.text(&path, token.trim())?;
    ensure!(repomd.contains("-primary.xml.gz\"") && !repomd.contains(".zst"), "{repomd}");
    Ok(())
}
