//! Numbers that the description of the API bounds: beyond them the answer says so, and nothing is done.

use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::kit::{Answer, Scene, Who};

async fn sweep(scene: &Scene, hours: i64) -> Answer {
    let secret = scene.secret(Who::Operator).await.expect("a token");
    let request = Request::post("/api/v1/sweep")
        .header("authorization", format!("Bearer {secret}"))
        .header("content-type", "application/json")
        .body(Body::from(format!("{{\"young_hours\":{hours},\"is_trial\":true}}")));
    scene.send(request.expect("a request")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_beyond_their_bounds_are_refused_and_those_at_them_are_not() {
    let scene = Scene::peopled("http://localhost").await;
    let job = scene.order("clay", "ash-1.0-1.src.rpm").await;
    let key = scene.lease(job).await;
    scene.log(key, b"done\n");
    scene.built(key, "ash", "1", &[]).await;
    let build = scene.store().job(job).await.expect("read").build;
    let (build, log) =
        (format!("/api/v1/builds/{build}"), format!("/api/v1/jobs/{job}/logs/build"));
    let top = i64::MAX;
    for (path, is_fine) in [
        (format!("{build}?wait=0"), true),
        (format!("{build}?wait=3601"), false),
        (format!("{build}?wait=-1"), false),
        (format!("{log}?offset=0"), true),
        (format!("{log}?offset={top}"), true),
        (format!("{log}?offset=-1"), false),
        (format!("{log}?offset={}", top as u64 + 1), false),
    ] {
        let answer = scene.page(&path, Who::Operator).await;
        let expected = if is_fine { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        assert_eq!(answer.status, expected, "{path}: {}", answer.text);
        assert!(is_fine || answer.text.contains("fault: caller"), "{path}: {}", answer.text);
    }
    for (hours, is_fine) in [(0, false), (1, true), (87_600, true), (87_601, false), (-1, false)] {
        let answer = sweep(&scene, hours).await;
        assert_eq!(answer.status.is_success(), is_fine, "{hours}: {}", answer.text);
        assert!(is_fine || answer.text.contains("\"fault\":\"caller\""), "{}", answer.text);
    }
}
