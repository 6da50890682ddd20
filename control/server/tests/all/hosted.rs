//! What a service of many strangers needs: who is behind a proxy, who asks too often, and who sends
//! more than they build.

use std::num::NonZeroU32;

use crate::kit::{Answer, PASSWORD, Scene, Who};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::http::request::Builder;
use kiln_model::Digest;
use kiln_server::Connection;
use kiln_store::UploadCaps;
use serde_json::{Value, json};

/// A request from an address, as a listener would hand it on.
fn from(address: &str, request: Builder) -> Builder {
    let address: std::net::IpAddr = address.parse().expect("an address");
    request.extension(ConnectInfo(Connection::from(address)))
}

async fn sign_in(scene: &Scene, address: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = from(address, Request::post("/login"))
        .header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let form = format!("name=ann&password={}", PASSWORD.replace(' ', "+"));
    scene.send(request.body(Body::from(form)).expect("a request")).await
}

/// What the audit log says of the last thing that was done.
async fn noted(scene: &Scene) -> String {
    let page = scene.page("/api/v1/audit", Who::Operator).await;
    let page: Value = serde_json::from_str(&page.text).expect("JSON");
    page["items"][0]["detail"].as_str().expect("a detail").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_says_counts_for_cookies_and_the_audit_log_and_what_strangers_say_does_not() {
    let scene = Scene::peopled("http://127.0.0.1:1").await;
    let said = [
        ("x-forwarded-for", "203.0.113.5"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=1.1.1.1"),
    ];
    for (address, is_secure, detail) in
        [("10.0.0.1", true, "from 203.0.113.5"), ("10.0.0.2", false, "from 10.0.0.2")]
    {
        let answer = sign_in(&scene, address, &said).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        let cookie = answer.headers["set-cookie"].to_str().expect("text");
        assert_eq!(cookie.contains("; Secure"), is_secure, "{address}: {cookie}");
        assert_eq!(noted(&scene).await, detail, "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_beside_the_form() {
    let scene = Scene::peopled("http://127.0.0.1:1").await;
    let request = Request::post("/login")
        .header("accept", "text/html")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("name=ann&password=guess-number-one&next=/queue"));
    let answer = scene.send(request.expect("a request")).await;
    assert_eq!(answer.status, 401);
    for part in
        ["role=\"alert\">the name or the password is wrong<", "name=\"next\" value=\"/queue\""]
    {
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_when_to_ask_again_and_readers_and_workers_go_on() {
    const BURST: usize = 20;
    let rate = NonZeroU32::new(1);
    let scene = Scene::with("http://127.0.0.1:1", |settings| {
        settings.rates.user = rate;
        settings.rates.address = rate;
    });
    let scene = scene.await.settled().await;
    scene.publish("glaze", "pot", "1").await;
    let ask = async |path: &str, who, address: &str| {
        let mut request = from(address, Request::get(path)).header("x-forwarded-for", "1.2.3.4");
        if let Some(secret) = scene.secret(who).await {
            request = request.header("authorization", format!("Bearer {secret}"));
        }
        scene.send(request.body(Body::empty()).expect("a request")).await
    };
    for who in [Who::Reader, Who::Anonymous] {
        let mut refused = None;
        // However slow this machine is, it asks more than once in a second.
        for _ in 0..10 * BURST {
            let answer = ask("/api/v1/targets", who, "192.0.2.1").await;
            if answer.status != 200 {
                refused = Some(answer);
                break;
            }
        }
        let refused = refused.expect("that was too often");
        assert_eq!(refused.status, 429, "{who:?}: {}", refused.text);
        let seconds: u64 =
            refused.headers["retry-after"].to_str().expect("text").parse().expect("one");
        assert!((1..=3).contains(&seconds), "{seconds}");
        assert_eq!(refused.headers["content-type"], "application/problem+json");
        let problem: Value = serde_json::from_str(&refused.text).expect("JSON");
        assert_eq!((&problem["status"], &problem["fault"]), (&json!(429), &json!("caller")));
        for path in ["/repos/glaze/trial-13-x86_64/current/repodata/repomd.xml", "/health"] {
            for _ in 0..2 * BURST {
                assert_eq!(ask(path, who, "192.0.2.1").await.status, 200, "{who:?}: {path}");
            }
        }
    }
    assert_eq!(ask("/api/v1/targets", Who::Packager, "192.0.2.1").await.status, 200);
    assert_eq!(ask("/api/v1/targets", Who::Anonymous, "192.0.2.2").await.status, 200);
    for _ in 0..2 * BURST {
        let status = ask("/api/v1/targets", Who::Worker, "192.0.2.1").await.status;
        assert_eq!(status, 200, "workers are asked nothing of the kind");
    }
    // Whom a proxy of ours names is counted, and not the proxy.
    for _ in 0..10 * BURST {
        if ask("/api/v1/targets", Who::Anonymous, "10.0.0.1").await.status != 200 {
            break;
        }
    }
    assert_eq!(ask("/api/v1/targets", Who::Anonymous, "1.2.3.4").await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_and_not_built_is_bounded_and_what_is_built_counts_no_more() {
    let scene = Scene::with("http://127.0.0.1:1", |settings| {
        settings.upload_caps = UploadCaps { bytes: 10, files: 2 };
    });
    let scene = scene.await.settled().await;
    let secret = scene.secret(Who::Packager).await.expect("a token");
    let say = async |method: &str, path: &str, body: Vec<u8>| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {secret}"));
        scene.send(request.body(Body::from(body)).expect("a request")).await
    };
    let begin = async |bytes: &[u8]| {
        let asked = json!({"digest": Digest::of(bytes).to_string(), "size": bytes.len()});
        say("POST", "/api/v1/uploads", asked.to_string().into_bytes()).await
    };
    let send = async |bytes: &[u8]| {
        let path = format!("/api/v1/uploads/{}?offset=0&size={}", Digest::of(bytes), bytes.len());
        say("PUT", &path, bytes.to_vec()).await
    };
    assert_eq!(begin(b"sixsix").await.status, 200);
    assert_eq!(begin(b"sixsix").await.status, 200, "it is the same");
    let refused = send(b"five5").await;
    assert_eq!(refused.status, 413, "{}", refused.text);
    assert!(refused.text.contains("submit builds of what you sent"), "{}", refused.text);
    assert_eq!(send(b"sixsix").await.status, 200);
    assert_eq!(begin(b"five5").await.status, 413, "it is here, and no build names it");
    let files = json!({"x.spec": Digest::of(b"sixsix").to_string()});
    let build = json!({"given": [{"title": "x", "spec": "x.spec", "files": files}]});
    let built = say("POST", "/api/v1/projects/glaze/builds", build.to_string().into_bytes()).await;
    assert_eq!(built.status, 201, "{}", built.text);
    assert_eq!(begin(b"five5").await.status, 200, "a build names the other");
    assert_eq!(begin(b"").await.status, 200);
    assert_eq!(begin(b"a").await.status, 413, "a third file");
    // A form is known by what its browser announces.
    let form = Request::post("/projects/glaze/submit")
        .header("authorization", format!("Bearer {secret}"))
        .header("content-type", "multipart/form-data; boundary=x")
        .header("content-length", "1000");
    let refused = scene.send(form.body(Body::from("--x--")).expect("a request")).await;
    assert_eq!(refused.status, 413, "{}", refused.text);
}
