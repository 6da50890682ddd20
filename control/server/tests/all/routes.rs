//! The whole table of routes, as everybody: who may gets an answer, who may not is told so, and
//! nobody breaks the service by asking.

use std::collections::BTreeSet;

use crate::kit::{Scene, TARGET, Who};
use axum::body::Body;
use axum::http::Request;
use kiln_model::{JobId, Stage};
use kiln_server::routes;

/// Who may use a route, written down a second time: what stands in the table is held against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    Anyone,
    Account,
    Reader,
    Packager,
    Maintainer,
    Operator,
    Worker,
}

use May::{Account, Anyone, Maintainer, Operator, Packager, Reader, Worker};

const EXPECTED: &[(&str, May)] = &[
    ("POST /api/v1/operator", Anyone),
    ("POST /api/v1/login", Anyone),
    ("POST /api/v1/password", Anyone),
    ("GET /api/v1/me", Account),
    ("PUT /api/v1/me/password", Account),
    ("GET /api/v1/tokens", Account),
    ("POST /api/v1/tokens", Account),
    ("DELETE /api/v1/tokens/{id}", Account),
    ("GET /api/v1/users", Operator),
    ("POST /api/v1/users", Operator),
    ("PATCH /api/v1/users/{name}", Operator),
    ("POST /api/v1/users/{name}/link", Operator),
    ("GET /api/v1/targets", Anyone),
    ("GET /api/v1/projects", Anyone),
    ("POST /api/v1/projects", Account),
    ("GET /api/v1/projects/{project}", Reader),
    ("PATCH /api/v1/projects/{project}", Maintainer),
    ("PUT /api/v1/projects/{project}/members/{user}", Maintainer),
    ("DELETE /api/v1/projects/{project}/members/{user}", Maintainer),
    ("PUT /api/v1/projects/{project}/targets/{target}", Maintainer),
    ("DELETE /api/v1/projects/{project}/targets/{target}", Maintainer),
    ("GET /api/v1/projects/{project}/targets/{target}/snapshots", Reader),
    ("POST /api/v1/projects/{project}/targets/{target}/rollback", Maintainer),
    ("POST /api/v1/uploads", Account),
    ("PUT /api/v1/uploads/{digest}", Account),
    ("POST /api/v1/projects/{project}/builds", Packager),
    ("POST /api/v1/projects/{project}/promotions", Packager),
    ("POST /api/v1/projects/{project}/rebuild", Packager),
    ("GET /api/v1/builds", Anyone),
    ("GET /api/v1/builds/{build}", Reader),
    ("POST /api/v1/builds/{build}/cancel", Packager),
    ("GET /api/v1/jobs/{job}", Reader),
    ("POST /api/v1/jobs/{job}/resubmit", Packager),
    ("POST /api/v1/jobs/{job}/verify", Packager),
    ("GET /api/v1/jobs/{job}/verdicts", Reader),
    ("GET /api/v1/jobs/{job}/verdicts/{rebuild}", Reader),
    ("GET /api/v1/jobs/{job}/logs/{name}", Reader),
    ("GET /api/v1/jobs/{job}/lock", Reader),
    ("GET /api/v1/jobs/{job}/artifacts/{name}", Reader),
    ("GET /api/v1/projects/{project}/hooks", Maintainer),
    ("POST /api/v1/projects/{project}/hooks", Maintainer),
    ("DELETE /api/v1/projects/{project}/hooks/{id}", Maintainer),
    ("GET /api/v1/projects/{project}/listeners", Maintainer),
    ("POST /api/v1/projects/{project}/listeners", Maintainer),
    ("DELETE /api/v1/projects/{project}/listeners/{id}", Maintainer),
    ("POST /hooks/{name}", Anyone),
    ("GET /api/v1/workers", Operator),
    ("POST /api/v1/workers", Operator),
    ("PATCH /api/v1/workers/{name}", Operator),
    ("POST /api/v1/sweep", Operator),
    ("GET /api/v1/audit", Operator),
    ("GET /api/v1/stats", Anyone),
    ("GET /api/v1/service", Anyone),
    ("GET /api/v1/openapi.json", Anyone),
    ("GET /health", Anyone),
    ("GET /ready", Anyone),
    ("GET /metrics", Anyone),
    ("GET /repos/{project}/key.asc", Reader),
    ("GET /repos/{project}/{target}/{file}", Reader),
    ("GET /repos/{project}/{target}/{snapshot}/{*path}", Reader),
    ("POST /worker/v1/enrol", Anyone),
    ("POST /worker/v1/lease", Worker),
    ("POST /worker/v1/renew", Worker),
    ("POST /worker/v1/resolve", Worker),
    ("POST /worker/v1/source", Worker),
    ("POST /worker/v1/provide", Worker),
    ("POST /worker/v1/stage", Worker),
    ("POST /worker/v1/finish", Worker),
    ("GET /worker/v1/jobs/{job}/{epoch}/blobs/{digest}", Worker),
    ("PUT /worker/v1/jobs/{job}/{epoch}/artifacts/{digest}/{size}", Worker),
    ("POST /worker/v1/jobs/{job}/{epoch}/logs/{name}", Worker),
    ("GET /api/v1/jobs/{job}/attestations", Reader),
    ("GET /api/v1/jobs/{job}/attestations/{digest}", Reader),
    ("GET /api/v1/jobs/{job}/attestations/{digest}/proof", Reader),
    ("GET /api/v1/jobs/{job}/record", Reader),
    ("GET /api/v1/jobs/{job}/bundle", Packager),
    ("GET /api/v1/jobs/{job}/sbom/{format}", Reader),
    ("GET /api/v1/projects/{project}/targets/{target}/snapshots/{snapshot}/sbom/{format}", Reader),
    ("GET /api/v1/log/key", Anyone),
    ("GET /api/v1/log/head", Anyone),
    ("GET /api/v1/log/entries", Anyone),
    ("GET /api/v1/log/consistency", Anyone),
    ("GET /api/v1/log/proof/{digest}", Anyone),
    ("GET /types/rpm-build/v1", Anyone),
    ("GET /types/rebuild-verdict/v1", Anyone),
    ("GET /", Anyone),
    ("GET /assets/{digest}/{name}", Anyone),
    ("GET /login", Anyone),
    ("POST /login", Anyone),
    ("GET /login/oidc", Anyone),
    ("GET /login/oidc/done", Anyone),
    ("POST /logout", Anyone),
    ("GET /welcome", Anyone),
    ("POST /welcome", Anyone),
    ("GET /set-password", Anyone),
    ("POST /set-password", Anyone),
    ("GET /projects", Anyone),
    ("GET /queue", Anyone),
    ("GET /tokens", Account),
    ("GET /projects/{project}", Reader),
    ("GET /projects/{project}/builds", Reader),
    ("GET /projects/{project}/submit", Packager),
    ("GET /projects/{project}/{target}", Reader),
    ("GET /builds/{build}", Reader),
    ("GET /jobs/{job}", Reader),
    ("GET /jobs/{job}/live", Reader),
    ("GET /jobs/{job}/log/{name}", Reader),
    ("GET /jobs/{job}/buildroot", Reader),
    ("GET /jobs/{job}/compare/{other}", Reader),
    ("GET /operate", Operator),
    ("GET /operate/audit", Operator),
    ("POST /tokens", Account),
    ("POST /tokens/{id}/revoke", Account),
    ("POST /password", Account),
    ("POST /projects", Account),
    ("POST /projects/{project}/settings", Maintainer),
    ("POST /projects/{project}/members", Maintainer),
    ("POST /projects/{project}/targets", Maintainer),
    ("POST /projects/{project}/submit", Packager),
    ("POST /projects/{project}/{target}/rollback", Maintainer),
    ("POST /builds/{build}/cancel", Packager),
    ("POST /jobs/{job}/resubmit", Packager),
    ("POST /jobs/{job}/verify", Packager),
    ("POST /operate/users", Operator),
    ("POST /operate/users/{name}", Operator),
    ("POST /operate/users/{name}/link", Operator),
    ("POST /operate/workers", Operator),
    ("POST /operate/workers/{name}", Operator),
];

/// Where who may is still told that something isn't there, or is wrong: what they send is empty.
const SPECIAL: &[(&str, u16)] = &[
    ("DELETE /api/v1/tokens/{id}", 404),
    ("POST /tokens/{id}/revoke", 404),
    ("DELETE /api/v1/projects/{project}/hooks/{id}", 404),
    ("DELETE /api/v1/projects/{project}/listeners/{id}", 404),
    ("POST /hooks/{name}", 404),
    // Nothing with such a digest was attested, and the packages of these buildroots never were.
    ("GET /api/v1/jobs/{job}/attestations/{digest}", 404),
    ("GET /api/v1/jobs/{job}/attestations/{digest}/proof", 404),
    ("GET /api/v1/log/proof/{digest}", 404),
    ("GET /api/v1/jobs/{job}/bundle", 404),
    // Nobody has built that job again.
    ("GET /api/v1/jobs/{job}/verdicts/{rebuild}", 404),
    // Nobody else signs people in to the service of these tests.
    ("GET /login/oidc", 404),
    ("GET /login/oidc/done", 404),
];

/// The status that a project's privacy, a route and an asker make; nothing where who asks may.
fn refusal(may: May, who: Who, is_public: bool) -> Option<u16> {
    let rank = match who {
        Who::Reader => 1,
        Who::Packager => 2,
        Who::Maintainer | Who::Operator => 3,
        Who::Anonymous | Who::Other | Who::Worker => i32::from(is_public),
    };
    let wanted = match may {
        Reader => 1,
        Packager => 2,
        Maintainer => 3,
        Anyone | Account | Operator | Worker => 0,
    };
    match (may, who) {
        (Anyone, _) | (Worker, Who::Worker) => None,
        (_, Who::Worker) => Some(403),
        (Account | Operator | Worker, Who::Anonymous) => Some(401),
        (Account, _) | (Operator, Who::Operator) => None,
        (Operator | Worker, _) => Some(403),
        _ if rank >= wanted => None,
        (_, Who::Anonymous) if is_public => Some(401),
        (_, Who::Anonymous) => Some(404),
        (_, Who::Other) if !is_public => Some(404),
        _ => Some(403),
    }
}

/// A path with everything in its place.
fn fill(path: &str, project: &str, job: JobId, other: JobId) -> String {
    let name = match path {
        _ if path.contains("/artifacts/") => "pot-1.0-1.noarch.rpm",
        _ if path.contains("/log") => "build",
        _ if path.contains("/assets/") => "kiln.css",
        _ if path.contains("workers") => "oven-1",
        _ => "oth",
    };
    let digest = match path {
        _ if path.contains("/assets/") => style(),
        _ => format!("sha256:{}", "0".repeat(64)),
    };
    let snapshot_path = "repodata/repomd.xml";
    [
        ("{project}", project),
        ("{target}", TARGET),
        ("{file}", "mirrorlist"),
        ("{snapshot}", "current"),
        ("{*path}", snapshot_path),
        ("{user}", "oth"),
        ("{name}", name),
        ("{id}", "987654"),
        ("{digest}", &digest),
        ("{build}", &job.to_string()),
        ("{job}", &job.to_string()),
        ("{other}", &other.to_string()),
        ("{rebuild}", &other.to_string()),
        ("{epoch}", "1"),
        ("{size}", "1"),
        ("{format}", "spdx"),
    ]
    .iter()
    .fold(path.to_owned(), |path, (name, value)| path.replace(name, value))
}

/// The digest in the style's address, as a page names it.
fn style() -> String {
    let digest = kiln_model::Digest::of(include_bytes!("../../assets/kiln.css"));
    digest.hex()[..16].to_owned()
}

#[test]
fn every_route_has_a_row_here_and_every_row_a_route() {
    let there: BTreeSet<String> =
        routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let expected: BTreeSet<String> = EXPECTED.iter().map(|(name, _)| (*name).to_owned()).collect();
    let missing: Vec<_> = there.difference(&expected).collect();
    let gone: Vec<_> = expected.difference(&there).collect();
    assert!(missing.is_empty(), "routes of which nobody said who may use them: {missing:#?}");
    assert!(gone.is_empty(), "rows without a route: {gone:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_gets_what_the_table_says_and_no_one_breaks_the_service() {
    let scene = Scene::peopled("http://127.0.0.1:1").await;
    let mut wrong = Vec::new();
    let mut asked = 0;
    for (project, is_public) in [("clay", false), ("glaze", true)] {
        // A project's first build and its first job have one number here.
        let job = scene.publish(project, "pot", "1").await;
        let other = scene.order(project, "pot-1.0-2.src.rpm").await;
        let key = scene.lease(other).await;
        scene.stage(key, Stage::Run, 5, "").await;
        for (name, may) in EXPECTED {
            let (method, path) = name.split_once(' ').expect("a method and a path");
            let path = fill(path, project, job, other);
            for who in Who::ALL {
                let mut request = Request::builder().method(method).uri(&path);
                if let Some(secret) = scene.secret(who).await {
                    request = request.header("authorization", format!("Bearer {secret}"));
                }
                let request = request.body(Body::empty()).expect("a request");
                let status = scene.send(request).await.status.as_u16();
                asked += 1;
                let special = SPECIAL.iter().find(|(special, _)| special == name);
                let is_right = match (refusal(*may, who, is_public), special) {
                    (Some(refused), _) => status == refused,
                    (None, Some((_, expected))) => status == *expected,
                    // Who may see a page sees it; who sends nothing is told what is missing.
                    (None, None) if method == "GET" && *may != Worker => status == 200,
                    (None, None) => status < 500 && !matches!(status, 401 | 403 | 404),
                };
                if !is_right {
                    wrong.push(format!("{name} ({path}) as {who:?}: {status}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(asked, 2 * EXPECTED.len() * Who::ALL.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_not_compared_with_one_that_is_not_for_who_asks() {
    let scene = Scene::peopled("http://127.0.0.1:1").await;
    let hidden = scene.publish("clay", "pot", "1").await;
    let open = scene.publish("glaze", "pot", "1").await;
    let path = format!("/jobs/{open}/compare/{hidden}");
    for who in [Who::Anonymous, Who::Other] {
        assert_eq!(scene.page(&path, who).await.status, 404, "{who:?}");
    }
    assert_eq!(scene.page(&path, Who::Reader).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_given_out_by_its_own_job_alone() {
    let scene = Scene::peopled("http://127.0.0.1:1").await;
    let hidden = scene.publish("clay", "pot", "1").await;
    let open = scene.publish("glaze", "pot", "1").await;
    let made = scene.app.flow.verify(hidden, scene.users["pat"]).await.expect("queued");
    let rebuild = made.jobs[0];
    let digest = scene.app.flow.cas().insert_bytes(b"{\"its\": \"proof\"}").expect("stored");
    scene.store().judge(rebuild, kiln_model::Verdict::Diverged, digest, 1).await.expect("judged");
    let path = |job: JobId| format!("/api/v1/jobs/{job}/verdicts/{rebuild}");
    assert_eq!(scene.page(&path(hidden), Who::Reader).await.text, "{\"its\": \"proof\"}");
    assert_eq!(scene.page(&path(hidden), Who::Anonymous).await.status, 404);
    for who in [Who::Anonymous, Who::Other, Who::Reader] {
        assert_eq!(scene.page(&path(open), who).await.status, 404, "{who:?}");
    }
    let again = scene.app.flow.verify(rebuild, scene.users["pat"]).await;
    assert!(again.is_err(), "a rebuild is not built again");
}
