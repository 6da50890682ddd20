//! The pages in a real browser, with a real server, store, signer and event stream; what a worker
//! would do is done by the test. Skipped where there is no chromedriver.
//!
//! With `KILN_PICTURES` set to a folder, pictures of every page are put there.

use std::path::PathBuf;

use crate::kit::{PASSWORD, Scene, TARGET};
use kiln_kit::Browser;
use kiln_model::{Fault, Report, Stage};
use kiln_server::router;

/// A service on a port of its own.
async fn served() -> (Scene, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let scene = Scene::peopled(&url).await;
    let router = router(scene.app.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (scene, url)
}

/// Blocking work, where it is in nobody's way.
fn with<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

fn browser() -> Option<Browser> {
    with(Browser::or_skip)
}

fn sign_in(browser: &Browser, url: &str, name: &str) {
    browser.open(&format!("{url}/login"));
    browser.fill("main input[name=name]", name);
    browser.fill("main input[name=password]", PASSWORD);
    browser.click("main form button");
    browser.sees("Sign out");
}

fn failure() -> Report {
    Report {
        fault: Fault::Package,
        error: "building the package".to_owned(),
        causes: vec!["zlib.h is missing: line 3: pot.c:1:10: fatal error: zlib.h".to_owned()],
        hint: Some("add 'BuildRequires: zlib-devel' to the spec".to_owned()),
    }
}

const FAILED_LOG: &[u8] = b"Executing(%build): /bin/sh -e /var/tmp/rpm-tmp.x\n+ make\n\
    \x1b[01m\x1b[Kpot.c:1:10:\x1b[m\x1b[K \x1b[01;31mfatal error: \x1b[mzlib.h: No such file or directory\n\
    make: *** [Makefile:3: pot.o] Error 1\n";

#[tokio::test(flavor = "multi_thread")]
async fn from_signing_in_to_rolling_back_in_a_browser() {
    let (scene, url) = served().await;
    let Some(browser) = browser() else { return };
    with(|| {
        sign_in(&browser, &url, "mia");
        browser.open(&format!("{url}/projects"));
        browser.fill("main input[name=name]", "kettle");
        browser.fill("main input[name=summary]", "Made in a browser");
        browser.click(&format!("input[value='{TARGET}']"));
        browser.click("main form button");
        browser.sees("Made in a browser");
    });
    // A spec without sources is enough to be taken.
    let spec = scene.folder.path().join("kettle.spec");
    std::fs::write(&spec, "Name: kettle\n").expect("written");
    with(|| {
        browser.open(&format!("{url}/projects/kettle/submit"));
        browser.fill("input[type=file]", &spec.display().to_string());
        browser.click("main form button");
        browser.sees("kettle.spec");
        browser.click("tbody th a");
        browser.sees("It waits");
    });
    let project = scene.store().project("kettle").await.expect("read").expect("there");
    let asked =
        kiln_store::BuildsAsked { project: Some(project.id), count: 1, ..Default::default() };
    let build = scene.store().builds(&asked).await.expect("listed")[0].id;
    let job = scene.store().jobs_of(build).await.expect("listed")[0].id;
    // It is leased and its log grows while somebody looks.
    let key = scene.lease(job).await;
    scene.app.flow.events().tell(kiln_flow::Event::Job(job));
    with(|| browser.sees("on oven-1"));
    scene.log(key, b"first line\n");
    with(|| browser.sees("first line"));
    scene.log(key, b"\x1b[31msecond <b>line</b>\x1b[0m\n");
    with(|| {
        browser.sees("second <b>line</b>");
        assert_eq!(browser.run("return document.querySelectorAll('#log b').length"), 0);
        let colours = browser.run("return document.querySelectorAll('#log span.c1').length");
        assert_eq!(colours, 1);
        assert_eq!(browser.run("return document.querySelectorAll('#log .line').length"), 2);
    });
    scene.stage(key, Stage::Run, 1200, "").await;
    scene.built(key, "kettle", "1", &["bash-5-1.x86_64"]).await;
    with(|| browser.sees("published in snapshot 1"));
    // Another build fails, with what to do about it.
    let failed = scene.order("kettle", "kettle-1.0-2.src.rpm").await;
    let key = scene.lease(failed).await;
    scene.log(key, FAILED_LOG);
    scene.fail(key, &failure()).await;
    with(|| {
        browser.open(&format!("{url}/jobs/{failed}"));
        browser.sees("add 'BuildRequires: zlib-devel' to the spec");
        browser.click("#why ~ p a");
        browser.sees("Build log");
        let target = browser.run("return document.querySelector('.line:target').innerText");
        assert!(target.as_str().is_some_and(|text| text.contains("fatal error")), "{target}");
    });
    // A second snapshot, and back to the first.
    scene.publish("kettle", "kettle", "3").await;
    with(|| {
        browser.open(&format!("{url}/projects/kettle/{TARGET}"));
        browser.sees("2 packages");
        browser.click("button[aria-label='Roll back to snapshot 1']");
        browser.sees("1 package");
        browser.sees("rollback");
        let complaints = browser.complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_a_telephone_and_breaks_no_policy() {
    let (scene, url) = served().await;
    let Some(browser) = browser() else { return };
    let pot = scene.publish("glaze", "pot", "1").await;
    let later = scene.publish("glaze", "pot", "2").await;
    let failed = scene.order("glaze", "jug-1.0-1.src.rpm").await;
    let key = scene.lease(failed).await;
    scene.stage(key, Stage::Resolve, 30, "").await;
    scene.stage(key, Stage::Run, 800, "exit status 1").await;
    scene.log(key, FAILED_LOG);
    scene.fail(key, &failure()).await;
    let running = scene.order("glaze", "vase-1.0-1.src.rpm").await;
    let key = scene.lease(running).await;
    scene.log(key, b"+ ./configure\nchecking for gcc... gcc\n");
    scene.order("clay", "brick-1.0-1.src.rpm").await;
    let token = scene.app.access.make_token(
        scene.users["ann"],
        "laptop",
        kiln_model::Scope::Build,
        90,
        crate::kit::now(),
    );
    token.await.expect("a token");
    let pictures = std::env::var_os("KILN_PICTURES").map(PathBuf::from);
    let pages = [
        ("start", "/".to_owned()),
        ("projects", "/projects".to_owned()),
        ("project", "/projects/glaze".to_owned()),
        ("builds", "/projects/glaze/builds".to_owned()),
        ("submit", "/projects/glaze/submit".to_owned()),
        ("repo", format!("/projects/glaze/{TARGET}")),
        ("build", "/builds/1".to_owned()),
        ("job", format!("/jobs/{pot}")),
        ("job-failed", format!("/jobs/{failed}")),
        ("job-running", format!("/jobs/{running}")),
        ("log", format!("/jobs/{failed}/log/build")),
        ("log-search", format!("/jobs/{failed}/log/build?q=error")),
        ("buildroot", format!("/jobs/{later}/buildroot")),
        ("compare", format!("/jobs/{later}/compare/{pot}")),
        ("queue", "/queue".to_owned()),
        ("tokens", "/tokens".to_owned()),
        ("operate", "/operate".to_owned()),
        ("audit", "/operate/audit".to_owned()),
        ("nothing", "/no/such/page".to_owned()),
        ("welcome", "/welcome?ticket=x".to_owned()),
    ];
    with(|| {
        browser.open(&format!("{url}/login"));
        shots(&browser, pictures.as_deref(), "login");
        sign_in(&browser, &url, "ann");
        for (name, path) in &pages {
            browser.open(&format!("{url}{path}"));
            let _ = browser.complaints();
            browser.open(&format!("{url}{path}"));
            shots(&browser, pictures.as_deref(), name);
            let mut complaints = browser.complaints();
            // That a page isn't there is complained of, too.
            complaints.retain(|line| *name != "nothing" || !line.contains("404"));
            assert!(complaints.is_empty(), "{name}: {complaints:#?}");
        }
    });
}

/// Light and dark, wide and narrow; nothing is wider than a telephone.
fn shots(browser: &Browser, to: Option<&std::path::Path>, name: &str) {
    for (width, scheme) in [(1200, "light"), (1200, "dark"), (390, "light"), (390, "dark")] {
        browser.look(width, scheme);
        let over = browser.run("return document.documentElement.scrollWidth - window.innerWidth");
        assert!(over.as_i64().is_some_and(|over| over <= 0), "{name} at {width}: {over} too wide");
        if let Some(folder) = to {
            browser.picture(&folder.join(format!("{name}-{width}-{scheme}.png")));
        }
    }
}
