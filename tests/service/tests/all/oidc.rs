//! People whom an OpenID provider signs in: a real provider and a real service, on loopback.
//! Skipped where there is no node, or npm has no network.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use kiln_kit::{Browser, Ground, Trial};
use kiln_service::{Page, Provider, Service, Visitor, free_address};
use serde_json::Value;

/// What the provider knows the service by.
const SECRET: &str = "a secret of tests";

/// A service that a provider signs people in to, with these arguments besides.
fn start(with: &[&str]) -> Result<Option<(Service, Provider)>> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else {
        return Ok(None);
    };
    let url = format!("http://{}", free_address()?);
    let Some(provider) = Provider::or_skip(&format!("{url}/login/oidc/done"))? else {
        return Ok(None);
    };
    let file = ground.path().join("client-secret");
    std::fs::write(&file, format!("{SECRET}\n"))?;
    let file = file.to_str().context("a path")?;
    let mut arguments = vec!["--workers", "0", "--oidc-issuer", &provider.issuer];
    arguments.extend(["--oidc-client-id", "kiln", "--oidc-client-secret-file", file]);
    arguments.extend(["--oidc-name", "Example Org"]);
    arguments.extend(with);
    let program = Path::new(env!("CARGO_BIN_EXE_kiln-service-program"));
    let mut service = Service::prepare(program, ground, &trial, &arguments)?;
    service.url = url;
    service.begin()?;
    Ok(Some((service, provider)))
}

/// Every account, by what the operator sees.
fn users(service: &Service) -> Result<Vec<Value>> {
    let users = service.json(&["user", "list", "--json"])?;
    Ok(users.as_array().context("a list")?.clone())
}

fn named(service: &Service, name: &str) -> Result<Value> {
    let found = users(service)?.into_iter().find(|user| user["name"] == name);
    found.with_context(|| format!("no account {name}"))
}

/// As whom a browser is signed in.
fn who(visitor: &mut Visitor, service: &Service) -> Result<Option<String>> {
    let page = visitor.get(&format!("{}/", service.url))?;
    let link = page.text.split("<a href=\"/tokens\">").nth(1);
    Ok(link.and_then(|rest| rest.split('<').next()).map(str::to_owned))
}

/// Somebody signs in, with a browser of their own; the page that they come back to.
fn sign_in(service: &Service, name: &str) -> Result<(Visitor, Page)> {
    let mut visitor = Visitor::default();
    let back = visitor.sign_in(&service.url, "/queue", name)?;
    let page = visitor.get(&back)?;
    Ok((visitor, page))
}

fn refused(page: &Page, status: u16, words: &str) -> Result<()> {
    ensure!(page.status == status && page.text.contains(words), "{words}: {page:#?}");
    Ok(())
}

#[test]
fn people_whom_a_provider_knows_sign_in_and_are_nobody_else() -> Result<()> {
    let with = ["--oidc-scope", "profile", "--oidc-scope", "groups"];
    let with = [&with[..], &["--oidc-allow", "groups=packagers"]].concat();
    let with = [&with[..], &["--oidc-operator", "groups=kiln-operators"]].concat();
    let Some((service, mut provider)) = start(&with)? else { return Ok(()) };

    // The first sign-in makes an account, the second finds it.
    let (mut bob, page) = sign_in(&service, "bob")?;
    let place = format!("{}/queue", service.url);
    ensure!(page.location.as_deref() == Some(&place[..]), "{page:#?}");
    ensure!(who(&mut bob, &service)?.as_deref() == Some("bob"));
    ensure!(bob.cookie(&service.url, "kiln_sign_in").is_none(), "it is over");
    let before = users(&service)?;
    ensure!(named(&service, "bob")?["subject"] == format!("{} number-bob", provider.issuer));
    ensure!(named(&service, "bob")?["is_operator"] == false);
    let (mut again, _) = sign_in(&service, "bob")?;
    ensure!(who(&mut again, &service)?.as_deref() == Some("bob"));
    ensure!(users(&service)? == before, "it is the same account");

    one_browser_once(&service)?;
    what_is_false(&service, &mut provider)?;
    accounts(&service, &provider)?;
    tokens_and_the_log(&service, &mut bob)?;
    Ok(())
}

/// A sign-in ends in the browser that began it, and once.
fn one_browser_once(service: &Service) -> Result<()> {
    const OVER: &str = "was begun in another browser, has taken too long, or is over";
    let mut cay = Visitor::default();
    let back = cay.sign_in(&service.url, "/queue", "cay")?;
    let mut other = Visitor::default();
    refused(&other.get(&back)?, 401, OVER)?;
    let theirs = other.sign_in(&service.url, "/queue", "dan")?;
    refused(&other.get(&back)?, 401, OVER)?;
    refused(&cay.clone().get(&theirs)?, 401, OVER)?;
    let (start, _) = back.split_once("state=").context("a state")?;
    refused(&cay.clone().get(&format!("{start}state=kiln_state_guessed"))?, 401, OVER)?;
    // Somebody else's code, in a browser that did begin.
    let code = |url: &str| {
        let rest = url.split("code=").nth(1).and_then(|rest| rest.split('&').next());
        rest.map(str::to_owned).context("a code")
    };
    let mut eve = Visitor::default();
    let hers = eve.sign_in(&service.url, "/queue", "eve")?;
    let stolen = hers.replace(&code(&hers)?, &code(&back)?);
    refused(&eve.get(&stolen)?, 401, "Example Org does not confirm this sign-in")?;
    ensure!(who(&mut eve, service)?.is_none(), "nobody");

    // Whoever comes back first is signed in, and nobody after that.
    let mut cay = Visitor::default();
    let back = cay.sign_in(&service.url, "/queue", "cay")?;
    let mut copy = cay.clone();
    ensure!(cay.get(&back)?.status == 303);
    refused(&copy.get(&back)?, 401, OVER)?;
    ensure!(who(&mut copy, service)?.is_none(), "a copy of the browser comes too late");
    ensure!(who(&mut cay, service)?.as_deref() == Some("cay"));
    // Where to go on is a path of the service, whatever a link says.
    let mut lost = Visitor::default();
    let back = lost.sign_in(&service.url, "//evil.example", "cay")?;
    let place = format!("{}/", service.url);
    ensure!(lost.get(&back)?.location.as_deref() == Some(&place[..]));
    // Who says no at the provider is told so.
    let mut shy = Visitor::default();
    let back = shy.sign_in(&service.url, "/", "cay")?;
    let (_, state) = back.split_once("state=").context("a state")?;
    let no = format!("{}/login/oidc/done?error=access_denied&state={state}", service.url);
    refused(&shy.get(&no)?, 401, "Example Org did not sign you in: access_denied")
}

/// Nothing that the provider signs counts which is for another, by another, or too old.
fn what_is_false(service: &Service, provider: &mut Provider) -> Result<()> {
    for way in ["audience", "issuer", "nonce", "expired", "key"] {
        provider.be(way)?;
        let (mut visitor, page) = sign_in(service, "fay")?;
        refused(&page, 403, "what Example Org says of you cannot be believed")?;
        ensure!(who(&mut visitor, service)?.is_none(), "{way}");
    }
    provider.be("honest")?;
    ensure!(users(service)?.iter().all(|user| user["name"] != "fay"));
    Ok(())
}

/// Who is let in, and as whom.
fn accounts(service: &Service, provider: &Provider) -> Result<()> {
    let (_, page) = sign_in(service, "eve")?;
    refused(&page, 403, "is not one of those that this service lets in")?;
    // The operator of the service is called ann too, and is somebody else until an operator says
    // that they are not.
    let (mut ann, page) = sign_in(service, "ann")?;
    refused(&page, 409, "another account called ann")?;
    ensure!(page.text.contains("kiln user join ann number-ann"), "{page:#?}");
    ensure!(who(&mut ann, service)?.is_none());
    service.told(&["user", "join", "ann", "number-ann"])?;
    let (mut ann, _) = sign_in(service, "ann")?;
    ensure!(who(&mut ann, service)?.as_deref() == Some("ann"));
    ensure!(named(service, "ann")?["subject"] == format!("{} number-ann", provider.issuer));
    ensure!(named(service, "ann")?["is_operator"] == true);

    service.told(&["user", "disable", "bob"])?;
    let (mut bob, page) = sign_in(service, "bob")?;
    refused(&page, 403, "the account bob is disabled")?;
    ensure!(who(&mut bob, service)?.is_none());
    service.told(&["user", "enable", "bob"])?;
    let (mut bob, _) = sign_in(service, "bob")?;
    ensure!(who(&mut bob, service)?.as_deref() == Some("bob"));
    Ok(())
}

/// People without a password make a token in their browser, and the command line takes it.
fn tokens_and_the_log(service: &Service, bob: &mut Visitor) -> Result<()> {
    ensure!(who(bob, service)?.is_none(), "disabled in between, every session ended");
    let (bob, _) = sign_in(service, "bob")?;
    let session = bob.cookie(&service.url, "kiln_session").context("a session")?.to_owned();
    let fields =
        [("Cookie", &format!("kiln_session={session}")[..]), ("Sec-Fetch-Site", "same-origin")];
    let fields = [&fields[..], &[("Content-Type", "application/x-www-form-urlencoded")]].concat();
    let form = b"label=cli&scope=build&days=9";
    let (status, page) = service.post(&format!("{}/tokens", service.url), &fields, form)?;
    ensure!(status == 201, "{page}");
    let secret = page.split("<code>").nth(1).and_then(|rest| rest.split('<').next());
    let secret = secret.context("a token")?;
    let audit = service.json(&["audit", "--json"])?.to_string();
    for part in ["by Example Org from 127.0.0.1", "by Example Org, as number-bob"] {
        ensure!(audit.contains(part), "{part}: {audit}");
    }
    service.say(&["login", &service.url, "--token"], secret)?;
    ensure!(service.told(&["whoami"])?.starts_with("bob"));
    Ok(())
}

#[test]
fn a_provider_that_is_down_or_leads_astray_keeps_no_service_from_starting() -> Result<()> {
    let Some((mut service, mut provider)) = start(&[])? else { return Ok(()) };
    ensure!(service.stop()?, "it ends in good order");
    provider.be("astray")?;
    service.up()?;
    let (_, page) = match sign_in(&service, "bob") {
        Ok(back) => back,
        Err(error) => anyhow::bail!("the browser goes there and comes back: {error:#}"),
    };
    refused(&page, 503, "Example Org answered something that nobody can be signed in by")?;
    ensure!(service.stop()?, "it ends in good order");
    drop(provider);
    service.up()?;
    let page = Visitor::default().get(&format!("{}/login/oidc?next=/queue", service.url))?;
    refused(&page, 503, "Example Org cannot be reached to sign anybody in: try again in a while")?;
    ensure!(service.told(&["whoami"])?.starts_with("ann"), "everybody else goes on");
    Ok(())
}

#[test]
#[ignore = "needs a browser: 'make test-all' runs it"]
fn somebody_signs_in_by_a_provider_with_a_real_browser() -> Result<()> {
    let Some(browser) = Browser::or_skip() else { return Ok(()) };
    let Some((service, _provider)) = start(&[])? else { return Ok(()) };
    browser.open(&format!("{}/login?next=/queue", service.url));
    browser.click("main a.button");
    browser.fill("input[name=login]", "number-bob");
    browser.fill("input[name=password]", "x");
    browser.click("button[type=submit]");
    browser.sees("Continue");
    browser.click("button[type=submit]");
    browser.sees("Sign out");
    let place = browser.run("return location.pathname");
    ensure!(place == "/queue", "{place}");
    // The provider's own pages are not ours to mend.
    let complaints = browser.complaints();
    let ours: Vec<&String> = complaints.iter().filter(|it| it.starts_with(&service.url)).collect();
    ensure!(ours.is_empty(), "{ours:#?}");
    Ok(())
}
