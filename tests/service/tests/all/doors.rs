//! By which ways things come into a service and go out of it, besides one file at a time.

use anyhow::{Context, Result, ensure};
use kiln_kit::{Ground, Trial};
use kiln_model::Digest;
use kiln_service::{Forge, Heard, Service, TARGET, is_published};
use serde_json::Value;

fn service() -> Option<Result<Service>> {
    Service::with_project(env!("CARGO_BIN_EXE_kiln-service-program").as_ref(), "tools")
}

/// Waits until a build is over; its only job.
fn over(service: &Service, build: &Value) -> Result<Value> {
    for _ in 0..600 {
        let builds = service.json(&["builds", "--count", "50", "--json"])?;
        let found = builds.as_array().context("a list")?.iter().find(|one| one["id"] == *build);
        let job = found.context("the build")?["jobs"][0].clone();
        if job["is_over"] == true {
            return Ok(job);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    anyhow::bail!("build {build} is not over")
}

#[test]
fn many_are_built_in_the_order_that_they_imply_and_again_when_one_of_them_changes() -> Result<()> {
    let Some(service) = service() else { return Ok(()) };
    let service = service?;
    let app = service.spec_that_needs("kt-app", &["kt-libb"], "kt-libb")?;
    let libb = service.spec_that_needs("kt-libb", &["kt-liba"], "kt-liba")?;
    let liba = service.spec_that_needs("kt-liba", &[], ":")?;
    let mut arguments = vec!["build", "--project", "tools", "--ordered", "--wait", "--json"];
    arguments.extend([&app, &libb, &liba].iter().filter_map(|folder| folder.to_str()));
    let builds = service.json(&arguments)?;
    for at in 0..3 {
        ensure!(is_published(&builds[at]["jobs"][0]), "{builds}");
    }
    let title = |at: usize| builds[at]["title"].as_str().unwrap_or_default().to_owned();
    ensure!([title(0), title(1), title(2)] == ["kt-app", "kt-libb", "kt-liba"], "as given");
    let ring = service.spec_that_needs("kt-liba", &["kt-app"], ":")?;
    let mut arguments = vec!["build", "--project", "tools", "--ordered"];
    arguments.extend([&app, &libb, &ring].iter().filter_map(|folder| folder.to_str()));
    let refused = service.run(&arguments)?;
    let told = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(2), "{told}");
    ensure!(told.contains("kt-app (for kt-libb) -> kt-libb (for kt-liba) -> kt-liba"), "{told}");

    let again = ["rebuild-dependants", "tools", "kt-liba", "--json"];
    let direct = service.json(&[&again[..], &["--dry-run"]].concat())?;
    ensure!(direct["steps"][0]["name"] == "kt-libb" && direct["steps"][1].is_null(), "{direct}");
    let deep = service.json(&[&again[..], &["--deep"]].concat())?;
    ensure!(deep["steps"][1]["after"][0] == "kt-libb", "{deep}");
    for (at, name) in [(0, "kt-libb"), (1, "kt-app")] {
        let job = over(&service, &deep["steps"][at]["build"])?;
        ensure!(is_published(&job), "{job}");
        let made = job["artifacts"].to_string();
        ensure!(made.contains(name) && made.contains(".r1.noarch.rpm"), "{made}");
        ensure!(!made.contains("-1.r1."), "what its distribution says stays: {made}");
    }
    let nothing = service.run(&["rebuild-dependants", "tools", "kt-none"])?;
    ensure!(nothing.status.code() == Some(2), "what was never built has no dependants");
    Ok(())
}

#[test]
fn a_build_is_promoted_without_building_it_again_and_signed_by_its_new_project() -> Result<()> {
    let Some(service) = service() else { return Ok(()) };
    let service = service?;
    service.told(&["project", "create", "stable", "--target", TARGET])?;
    let folder = service.spec("kt-ripe", 1, ":")?;
    let path = folder.to_str().context("a path")?;
    let built = service.json(&["build", "--project", "tools", "--wait", "--json", path])?;
    let build = built[0]["id"].to_string();
    let made = service.json(&["promote", &build, "stable", "--json"])?;
    ensure!(made["project"] == "stable" && made["promoted"] == built[0]["id"], "{made}");
    let job = over(&service, &made["id"])?;
    ensure!(is_published(&job) && job["stages"] == serde_json::json!([]), "{job}");
    ensure!(job["artifacts"] == built[0]["jobs"][0]["artifacts"], "the same bytes: {job}");
    // The same name with other bytes has no place there any more.
    let other = service.spec("kt-ripe", 1, ":")?;
    let spec = other.join("kt-ripe.spec");
    let mut sed = service.ground().command("sed".as_ref());
    ensure!(sed.args(["-i", "s/echo kt-ripe/echo other/"]).arg(spec).status()?.success());
    service.told(&["project", "create", "forge", "--target", TARGET])?;
    let other = other.to_str().context("a path")?;
    let built = service.json(&["build", "--project", "forge", "--wait", "--json", other])?;
    ensure!(is_published(&built[0]["jobs"][0]), "{built}");
    let made = service.json(&["promote", &built[0]["id"].to_string(), "stable", "--json"])?;
    let job = over(&service, &made["id"])?;
    ensure!(job["state"] == "failed" && job.to_string().contains("with other bytes"), "{job}");
    // Not what is its own, nor what is not there.
    for wrong in [[&build[..], "tools"], ["999", "stable"]] {
        let refused = service.run(&["promote", wrong[0], wrong[1]])?;
        ensure!(refused.status.code() == Some(2), "{wrong:?}");
    }
    Ok(())
}

/// A service that may fetch from a forge, and the forge.
fn with_forge() -> Option<Result<(Service, Forge)>> {
    let (ground, trial) = (Ground::or_skip()?, Trial::or_skip()?);
    let start = || {
        let forge = Forge::start(&ground.path().join("forge"))?;
        let built = env!("CARGO_BIN_EXE_kiln-service-program").as_ref();
        let host = forge.url("");
        let host = host.trim_end_matches('/');
        let lookaside = format!("{host}/files/{{name}}-{{kind}}-{{hash}}-{{file}}");
        let options = ["--source-host", host, "--notify-host", host, "--lookaside", &lookaside];
        let service = Service::start_as(built, ground, &trial, &options)?;
        service.told(&["project", "create", "tools", "--public", "--target", TARGET])?;
        Ok((service, forge))
    };
    Some(start())
}

/// A spec with a source that lies elsewhere, and what `more` adds to its preamble.
fn spec_of(name: &str, source: &str, more: &str) -> String {
    format!(
        "Name: {name}\nVersion: 1\nRelease: 1\nSummary: A test\nLicense: MIT\nBuildArch: noarch\n\
         Source0: {source}\n{more}\n%description\nA test.\n%build\n%install\n\
         mkdir -p %{{buildroot}}/usr/share/{name}\n\
         cp %{{SOURCE0}} %{{buildroot}}/usr/share/{name}/text\n%files\n/usr/share/{name}\n\
         %changelog\n* Sun Nov 01 2026 A Test <test@example.org> - 1-1\n- Made.\n"
    )
}

fn build_of(service: &Service, source: &str) -> Result<Value> {
    let builds = service.json(&["build", "--project", "tools", "--wait", "--json", source])?;
    Ok(builds[0].clone())
}

#[test]
fn a_git_reference_is_fetched_in_a_jail_and_pinned() -> Result<()> {
    let Some(started) = with_forge() else { return Ok(()) };
    let (service, forge) = started?;
    forge.file("pot-1.txt", b"a pot\n")?;
    let source = forge.url("files/pot-%{version}.txt");
    // What a spec's macros run has no way out: nobody is ever asked for this.
    let leak = format!("%global leak %(curl -s --max-time 2 {} || :)", forge.url("files/leak"));
    let spec = spec_of("pot", &source, &leak);
    let files = [("rpms/pot/pot.spec", &spec[..]), ("README.md", "x"), ("rpms/pot/.keep", "")];
    let commit = forge.commit("pots", &files)?;
    let place = format!("git+{}#main:rpms/pot", forge.url("git/pots.git"));
    let build = build_of(&service, &place)?;
    ensure!(is_published(&build["jobs"][0]), "{build}");
    ensure!(build["origin"]["commit"] == commit && build["title"] == "pot", "{build}");
    let stages = build["jobs"][0]["stages"].to_string();
    ensure!(stages.contains("1 files fetched, 6 bytes"), "{stages}");
    let asked: Vec<String> = forge.heard().into_iter().map(|one| one.line).collect();
    ensure!(asked.iter().all(|line| !line.contains("leak")), "{asked:?}");
    // Whatever becomes of branch and file: the same once more is the same.
    forge.file("pot-1.txt", b"another pot\n")?;
    let other = forge.commit("pots", &[("rpms/pot/new.txt", "x")])?;
    service.told(&["resubmit", &build["jobs"][0]["id"].to_string()])?;
    let builds = service.json(&["builds", "--json"])?;
    let job = over(&service, &builds[0]["id"])?;
    ensure!(is_published(&job) && job["artifacts"] == build["jobs"][0]["artifacts"], "{job}");
    ensure!(builds[0]["origin"]["commit"] == commit && commit != other, "{builds}");
    ensure!(forge.heard().len() == asked.len(), "nothing was fetched again");
    Ok(())
}

#[test]
fn what_a_repository_must_not_hold_or_reach_is_refused() -> Result<()> {
    let Some(started) = with_forge() else { return Ok(()) };
    let (service, forge) = started?;
    let canary = Forge::start(&service.ground().path().join("canary"))?;
    canary.file("secret.txt", b"inside\n")?;
    // A host that no operator named.
    let spec = spec_of("far", &canary.url("files/secret.txt"), "");
    forge.commit("far", &[("far.spec", &spec)])?;
    let build = build_of(&service, &format!("git+{}", forge.url("git/far.git")))?;
    let told = build["jobs"][0]["report"].to_string();
    ensure!(told.contains("may not be fetched from") && told.contains("--source-host"), "{told}");
    // A link that would have brought a file of wherever it is followed.
    let files =
        [("link.spec", &spec_of("link", "host.txt", "")[..]), ("host.txt", "->/etc/passwd")];
    forge.commit("link", &files)?;
    let build = build_of(&service, &format!("git+{}", forge.url("git/link.git")))?;
    let told = build["jobs"][0]["report"].to_string();
    ensure!(build["jobs"][0]["state"] == "failed" && told.contains("it is a link"), "{told}");
    // No spec, no such branch, no such repository.
    forge.commit("empty", &[("README", "x")])?;
    for (place, wanted) in [
        (format!("git+{}", forge.url("git/empty.git")), "no .spec file"),
        (format!("git+{}#nowhere", forge.url("git/empty.git")), "fetching sources"),
        (format!("git+{}", forge.url("git/none.git")), "fetching sources"),
    ] {
        let build = build_of(&service, &place)?;
        let told = build["jobs"][0]["report"].to_string();
        ensure!(build["jobs"][0]["state"] == "failed" && told.contains(wanted), "{place}: {told}");
    }
    // What could be an option, another transport, or a host that is not allowed: never begun.
    for place in [
        format!("git+{}", canary.url("git/x.git")),
        "git+https://127.0.0.1/x.git".to_owned(),
        "git+https://169.254.169.254/latest".to_owned(),
        "git+ext::sh -c id".to_owned(),
        "git+file:///etc".to_owned(),
        format!("git+{}#--upload-pack=id", forge.url("git/far.git")),
    ] {
        let refused = service.run(&["build", "--project", "tools", &place])?;
        ensure!(refused.status.code() == Some(2), "{place}");
    }
    ensure!(canary.heard().is_empty(), "{:?}", canary.heard());
    Ok(())
}

#[test]
fn what_dist_git_lists_comes_from_its_lookaside_and_is_what_was_listed() -> Result<()> {
    let Some(started) = with_forge() else { return Ok(()) };
    let (service, forge) = started?;
    let bytes = b"a jar\n";
    let digest = Digest::of(bytes).to_string();
    let hex = digest.strip_prefix("sha256:").context("hexadecimal digits")?;
    let spec = spec_of("jar", "jar-1.txt", "");
    let listed = format!("SHA256 (jar-1.txt) = {hex}\n");
    let kept = format!("jar-sha256-{hex}-jar-1.txt");
    forge.file(&kept, bytes)?;
    let files = [("rpms/jar/jar.spec", &spec[..]), ("rpms/jar/sources", &listed)];
    forge.commit("jars", &files)?;
    let place = format!("git+{}#main:rpms/jar", forge.url("git/jars.git"));
    let build = build_of(&service, &place)?;
    ensure!(is_published(&build["jobs"][0]), "{build}");
    let line = format!("GET /files/{kept}");
    ensure!(forge.heard().iter().any(|one| one.line == line), "{:?}", forge.heard());
    // Other bytes under the same name.
    forge.file(&kept, b"another jar\n")?;
    forge.commit("jars", &[("rpms/jar/other.txt", "x")])?;
    let build = build_of(&service, &place)?;
    let told = build["jobs"][0]["report"].to_string();
    ensure!(told.contains("jar-1.txt is not what was listed"), "{told}");
    Ok(())
}

#[test]
fn a_source_package_at_an_address_is_what_its_digest_says() -> Result<()> {
    let Some(started) = with_forge() else { return Ok(()) };
    let (service, forge) = started?;
    let made = service.build("tools", &service.spec("kt-far", 1, ":")?)?;
    ensure!(is_published(&made), "{made}");
    let folder = service.ground().own_folder("fetched")?;
    let to = folder.to_str().context("a path")?;
    service.told(&["download", &made["id"].to_string(), to])?;
    let name = "kt-far-1-1.src.rpm";
    let bytes = std::fs::read(folder.join(name))?;
    forge.file(name, &bytes)?;
    let digest = made["artifacts"].as_array().context("a list")?.iter();
    let digest = digest.clone().find(|one| one["name"] == name).context("it")?["digest"].clone();
    let url = forge.url(&format!("files/{name}"));
    let good = build_of(&service, &format!("{url}#{}", digest.as_str().context("a digest")?))?;
    ensure!(is_published(&good["jobs"][0]), "{good}");
    let other = format!("{url}#sha256:{}", "0".repeat(64));
    let bad = build_of(&service, &other)?;
    ensure!(bad.to_string().contains("is not what was listed"), "{bad}");
    forge.file("not.src.rpm", b"<html>not found</html>")?;
    let bad = build_of(&service, &forge.url("files/not.src.rpm"))?;
    ensure!(bad["jobs"][0]["state"] == "failed", "{bad}");
    Ok(())
}

/// Waits until a forge has heard something.
fn hears(forge: &Forge, is_it: impl Fn(&Heard) -> bool) -> Result<Heard> {
    for _ in 0..300 {
        if let Some(heard) = forge.heard().into_iter().find(&is_it) {
            return Ok(heard);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let lines: Vec<String> = forge.heard().into_iter().map(|one| one.line).collect();
    anyhow::bail!("not heard: {lines:#?}")
}

#[test]
fn a_push_becomes_a_build_and_the_forge_and_others_are_told() -> Result<()> {
    let Some(started) = with_forge() else { return Ok(()) };
    let (service, forge) = started?;
    forge.file("jug.txt", b"a jug\n")?;
    let spec = spec_of("jug", &forge.url("files/jug.txt"), "");
    let commit = forge.commit("jug", &[("jug.spec", &spec)])?;
    let url = forge.url("git/jug.git");
    let add = ["hook", "add", "tools", &url, "--forge", "forgejo", "--branches", "main"];
    let hook = service.json_of(&[&add[..], &["--token-stdin", "--json"]].concat(), "t0ken")?;
    let (address, secret) = (hook["address"].as_str(), hook["secret"].as_str());
    let (address, secret) = (address.context("an address")?, secret.context("a secret")?);
    let to = forge.url("listener");
    let listener = service.json(&["notify", "add", "tools", &to, "--json"])?;
    let whsec = listener["secret"].as_str().context("a secret")?;
    service.told(&["notify", "add", "tools", &forge.url("broken")])?;

    let body = format!("{{\"ref\":\"refs/heads/main\",\"after\":\"{commit}\",\"x\":1}}");
    let body = body.as_bytes();
    let good = kiln_notify::sign_hex(secret, body);
    let event = ("X-Forgejo-Event", "push");
    let push = |address: &str, signature: &str| {
        service.post(address, &[event, ("X-Forgejo-Signature", signature)], body)
    };
    // Whoever is not known and whoever has not signed is told one thing.
    let unknown = push(&format!("{address}0"), &good)?;
    let unsigned = push(address, &"0".repeat(good.len()))?;
    ensure!(unknown == unsigned && unknown.0 == 404, "{unknown:?} {unsigned:?}");
    let (status, answer) = push(address, &good)?;
    ensure!(status == 201, "{answer}");
    let answer: Value = serde_json::from_str(&answer)?;
    let (status, again) = push(address, &good)?;
    ensure!(status == 200 && again.contains("heard before"), "{again}");
    let job = over(&service, &answer["build"])?;
    ensure!(is_published(&job), "{job}");

    let statuses = format!("POST /api/v1/repos/git/jug/statuses/{commit}");
    for state in ["pending", "success"] {
        let heard = hears(&forge, |one| {
            one.line == statuses && String::from_utf8_lossy(&one.body).contains(state)
        })?;
        ensure!(heard.field("authorization") == Some("token t0ken"), "{heard:?}");
    }
    let heard = hears(&forge, |one| {
        one.line == "POST /listener" && String::from_utf8_lossy(&one.body).contains("published")
    })?;
    let field = |name| heard.field(name).context("a field");
    let seconds = field("webhook-timestamp")?.parse()?;
    let signature = kiln_notify::sign(whsec, field("webhook-id")?, seconds, &heard.body);
    ensure!(field("webhook-signature")? == signature, "{heard:?}");
    let told: Value = serde_json::from_slice(&heard.body)?;
    ensure!(told["type"] == "job.published" && told["data"]["title"] == "jug", "{told}");
    // What does not arrive is told again, under the same id.
    let first = hears(&forge, |one| one.line == "POST /broken")?;
    let id = first.field("webhook-id").context("an id")?.to_owned();
    let is_it = |one: &Heard| one.line == "POST /broken" && one.field("webhook-id") == Some(&id);
    hears(&forge, |_| forge.heard().iter().filter(|one| is_it(one)).count() > 1)?;
    // Nobody is told inside the network whom no operator named.
    for wrong in ["http://127.0.0.1:1/x", "https://127.0.0.1/x", "ftp://host/x"] {
        let refused = service.run(&["notify", "add", "tools", wrong])?;
        ensure!(refused.status.code() == Some(2), "{wrong}");
    }
    Ok(())
}

/// What a push says by which a forge is known: the fields of its request.
type Signed = fn(secret: &str, body: &[u8]) -> Vec<(&'static str, String)>;

#[test]
fn each_forge_is_heard_and_told_in_its_own_words() -> Result<()> {
    let Some(started) = with_forge() else { return Ok(()) };
    let (service, forge) = started?;
    forge.file("mug.txt", b"a mug\n")?;
    let github: Signed = |secret, body| {
        let signature = format!("sha256={}", kiln_notify::sign_hex(secret, body));
        vec![("X-GitHub-Event", "push".to_owned()), ("X-Hub-Signature-256", signature)]
    };
    let gitlab: Signed = |secret, _| {
        vec![("X-Gitlab-Event", "Push Hook".to_owned()), ("X-Gitlab-Token", secret.to_owned())]
    };
    for (kind, signed, statuses, authorization, states) in [
        (
            "github",
            github,
            "/api/v3/repos/git/github/statuses",
            ("authorization", "Bearer t0ken"),
            ["pending", "success"],
        ),
        (
            "gitlab",
            gitlab,
            "/api/v4/projects/git%2Fgitlab/statuses",
            ("private-token", "t0ken"),
            ["running", "success"],
        ),
    ] {
        let spec = spec_of(kind, &forge.url("files/mug.txt"), "");
        let commit = forge.commit(kind, &[(&format!("{kind}.spec"), &spec)])?;
        let url = forge.url(&format!("git/{kind}.git"));
        let add = ["hook", "add", "tools", &url, "--forge", kind, "--branches", "main"];
        let hook = service.json_of(&[&add[..], &["--token-stdin", "--json"]].concat(), "t0ken")?;
        let address = hook["address"].as_str().context("an address")?;
        let secret = hook["secret"].as_str().context("a secret")?;
        let body = format!("{{\"ref\":\"refs/heads/main\",\"after\":\"{commit}\"}}");
        let push = |secret: &str| {
            let fields = signed(secret, body.as_bytes());
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            service.post(address, &fields, body.as_bytes())
        };
        let (status, answer) = push("another")?;
        ensure!(status == 404, "{kind}: {answer}");
        let (status, answer) = push(secret)?;
        ensure!(status == 201, "{kind}: {answer}");
        let answer: Value = serde_json::from_str(&answer)?;
        let job = over(&service, &answer["build"])?;
        ensure!(is_published(&job), "{kind}: {job}");
        let line = format!("POST {statuses}/{commit}");
        for state in states {
            let heard = hears(&forge, |one| {
                one.line == line && String::from_utf8_lossy(&one.body).contains(state)
            })?;
            ensure!(heard.field(authorization.0) == Some(authorization.1), "{heard:?}");
        }
    }
    Ok(())
}

/// A certificate for the loopback by an authority of its own, as files in `folder`.
fn certify(folder: &std::path::Path) -> Result<()> {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
        KeyUsagePurpose,
    };
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // With the library's usual name for both, a certificate would seem to have signed itself.
    authority.distinguished_name.push(DnType::CommonName, "an authority of a test");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("key.pem", key.serialize_pem()),
        ("cert.pem", certificate.pem()),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, text)?;
        // The user that the service runs as reads them.
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

#[test]
fn tls_is_spoken_by_files_and_those_are_renewed_without_a_stop() -> Result<()> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else { return Ok(()) };
    let folder = ground.path().join("tls");
    std::fs::create_dir_all(&folder)?;
    certify(&folder)?;
    let at = |name: &str| folder.join(name).display().to_string();
    let options = ["--tls-cert", &at("cert.pem"), "--tls-key", &at("key.pem")];
    let built = env!("CARGO_BIN_EXE_kiln-service-program").as_ref();
    let service = Service::start_as(built, ground, &trial, &options)?;
    ensure!(service.url.starts_with("https://"), "{}", service.url);
    service.told(&["project", "create", "tools", "--public", "--target", TARGET])?;
    let job = service.build("tools", &service.spec("kt-safe", 1, ":")?)?;
    ensure!(is_published(&job), "{job}");
    let asks = |authority: &str| -> Result<bool> {
        let url = format!("{}/health", service.url);
        let arguments = ["-s", "--cacert", authority, &url];
        Ok(std::process::Command::new("curl").args(arguments).output()?.status.success())
    };
    std::fs::copy(folder.join("ca.pem"), folder.join("old.pem"))?;
    ensure!(asks(&at("ca.pem"))?, "whoever knows the authority is served");
    let stranger = service.ask("GET", "/health", "x", b"");
    ensure!(stranger.is_err() || stranger.is_ok_and(|(status, _)| status == 0), "not believed");
    // A file that is no certificate leaves the old one in its place; a good one takes it.
    std::fs::write(folder.join("cert.pem"), "no certificate")?;
    std::thread::sleep(std::time::Duration::from_secs(4));
    ensure!(asks(&at("old.pem"))?, "the old one is shown still");
    certify(&folder)?;
    for _ in 0..100 {
        if asks(&at("ca.pem"))? {
            ensure!(!asks(&at("old.pem"))?, "the old one is shown no more");
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    anyhow::bail!("the new certificate was never shown")
}
