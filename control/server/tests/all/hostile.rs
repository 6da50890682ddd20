//! Names that somebody chose to hurt whoever reads them, in every page: shown, and harmless.

use crate::kit::{Scene, TARGET, Who, now};
use kiln_model::{Fault, Report, Stage};
use kiln_store::{NewToken, TokenKind, WorkerState};

/// Markup for text, for an attribute, for a script; what turns, hides and ends text.
const HOSTILE: &str = "</title></code>\"'><script>alert(1)</script><img src=x onerror=alert(1)>\
    \u{202e}gpj.exe\u{2066}\u{200b}\u{1b}]0;x\u{7}\u{9b}m\u{1}{{7*7}}{% raw %}<!--";

/// Elements of ours that a page has, by counting what opens one.
fn elements(html: &str) -> usize {
    html.match_indices('<').filter(|(at, _)| !html[at + 1..].starts_with(['/', '!'])).count()
}

/// A page with the same things, their names harmless or hostile.
async fn pages(text: &str) -> Vec<(String, String)> {
    let scene = Scene::peopled("http://127.0.0.1:1").await;
    let mut glaze = scene.store().project("glaze").await.expect("read").expect("there");
    // Where the service itself would refuse such a text, it is put past it.
    glaze.summary = text.to_owned();
    glaze.settings.macros.insert("x".to_owned(), text.to_owned());
    glaze.settings.with.push(text.to_owned());
    scene.store().set_project(&glaze).await.expect("changed");
    let built = scene.order("glaze", text).await;
    let key = scene.lease(built).await;
    scene.stage(key, Stage::Run, 10, text).await;
    scene.log(key, text.as_bytes());
    scene.built(key, "pot", "1", &["bash-5-1.x86_64"]).await;
    let failed = scene.order("glaze", text).await;
    let key = scene.lease(failed).await;
    scene.log(key, format!("one\n{text}\nx.c:1:1: error: {text}\n").as_bytes());
    let report = Report {
        fault: Fault::Package,
        error: text.to_owned(),
        causes: vec![text.to_owned()],
        hint: Some(text.to_owned()),
    };
    scene.fail(key, &report).await;
    let running = scene.order("glaze", text).await;
    scene.lease(running).await;
    scene.order("glaze", text).await;
    glaze.settings.profile = text.to_owned();
    scene.store().set_project(&glaze).await.expect("changed");
    let token = NewToken {
        owner: scene.users["ann"],
        kind: TokenKind::Token,
        label: text.to_owned(),
        hash: "x".to_owned(),
        scope: kiln_model::Scope::Read,
        expires_at: now() + 1000,
    };
    scene.store().make_token(&token, now()).await.expect("made");
    let says = kiln_store::WorkerSays { slots: 1, version: text, has_kvm: false };
    scene.store().saw_worker("oven-1", says, now()).await.expect("seen");
    scene.store().set_worker("oven-1", WorkerState::Aside, text).await.expect("set");
    let deed = kiln_store::Deed { actor: text, action: text, subject: text, detail: text };
    scene.store().note(&deed, now()).await.expect("noted");
    let asked: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let paths = [
        "/".to_owned(),
        "/projects".to_owned(),
        "/projects/glaze".to_owned(),
        "/projects/glaze/builds".to_owned(),
        "/projects/glaze/submit".to_owned(),
        format!("/projects/glaze/{TARGET}"),
        "/builds/1".to_owned(),
        format!("/jobs/{built}"),
        format!("/jobs/{failed}"),
        format!("/jobs/{running}"),
        format!("/jobs/{failed}/log/build"),
        format!("/jobs/{failed}/log/build?q={asked}"),
        format!("/jobs/{built}/buildroot"),
        format!("/jobs/{built}/compare/{failed}"),
        "/queue".to_owned(),
        "/tokens".to_owned(),
        "/operate".to_owned(),
        "/operate/audit".to_owned(),
        format!("/login?next={asked}"),
        format!("/welcome?ticket={asked}"),
        format!("/projects/{asked}"),
        format!("/{asked}"),
    ];
    let mut pages = Vec::new();
    for (at, path) in paths.into_iter().enumerate() {
        let page = scene.page(&path, Who::Operator).await;
        assert!(page.status.is_success() || page.status == 404, "{path}: {}", page.status);
        let policy = page.headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"));
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
        pages.push((format!("{at} {path}"), page.text));
    }
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_add_no_element_and_hide_nothing() {
    let (plain, hostile) = (pages("harmless").await, pages(HOSTILE).await);
    let mut shown = 0;
    for ((name, plain), (_, hostile)) in plain.iter().zip(&hostile) {
        assert_eq!(elements(plain), elements(hostile), "{name}");
        assert!(!hostile.contains("<script>") && !hostile.contains("<img src=x"), "{name}");
        assert!(!hostile.contains("style=") && !hostile.contains("<!--"), "{name}");
        let obeyed =
            hostile.chars().find(|c| *c != '\n' && *c != '\t' && !kiln_model::is_plain(*c));
        assert_eq!(obeyed, None, "{name}");
        assert!(!hostile.contains("49{%"), "{name}: a template was evaluated");
        shown += usize::from(hostile.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    }
    // Nearly every page shows one of them: else this would test nothing.
    assert!(shown >= plain.len() - 6, "only {shown} of {} pages show one", plain.len());
}
