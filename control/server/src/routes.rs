//! Every route, and who may use it. A test walks the table as everyone.

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use kiln_access::Need;
use kiln_api as api;
use kiln_model::{Role, Scope};
use utoipa::ToSchema;

use crate::api::{accounts, builds, jobs, operating, projects, repositories, uploads};
use crate::guard::{Guard, guard};
use crate::openapi::Shape;
use crate::service::App;
use crate::{live, repos, workers};

/// What a request is about: by it the guard finds the project whose roles count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// No project.
    Nothing,
    /// The project that the path names.
    Project,
    /// The project of the build that the path names.
    Build,
    /// The project of the job that the path names.
    Job,
}

/// One route.
pub struct Route {
    /// The HTTP method.
    pub method: &'static str,
    /// The path, with `{names}`.
    pub path: &'static str,
    /// Who may.
    pub need: Need,
    /// What about.
    pub about: About,
    /// What it does, in a sentence.
    pub summary: &'static str,
    pub(crate) takes: Option<Shape>,
    pub(crate) gives: Option<Shape>,
    handler: MethodRouter<App>,
}

const ANYONE: Need = Need::Nothing;
const READ: Need = Need::Account(Scope::Read);
const OWN: Need = Need::Account(Scope::All);
const BUILD: Need = Need::Account(Scope::Build);
const READER: Need = Need::Member(Role::Reader, Scope::Read);
const PACKAGER: Need = Need::Member(Role::Packager, Scope::Build);
const MAINTAINER: Need = Need::Member(Role::Maintainer, Scope::All);
const OPERATOR: Need = Need::Operator;
const WORKER: Need = Need::Worker;

/// The whole table.
pub fn routes() -> Vec<Route> {
    [of_accounts(), of_projects(), of_builds(), of_operating(), of_readers(), of_workers()]
        .into_iter()
        .flatten()
        .collect()
}

fn of_accounts() -> Vec<Route> {
    vec![
        post("/api/v1/operator", ANYONE, accounts::first_operator, "Become the first operator")
            .takes::<api::OperatorAsked>()
            .gives::<api::TokenMade>(),
        post("/api/v1/login", ANYONE, accounts::login, "Sign in: a password for a token")
            .takes::<api::LoginAsked>()
            .gives::<api::TokenMade>(),
        get("/api/v1/me", READ, accounts::me, "Who asks").gives::<api::Me>(),
        put("/api/v1/me/password", OWN, accounts::set_password, "Change one's password")
            .takes::<api::NewPassword>(),
        get("/api/v1/tokens", READ, accounts::tokens, "One's tokens").gives::<Vec<api::Token>>(),
        post("/api/v1/tokens", OWN, accounts::make_token, "Make a token")
            .takes::<api::TokenAsked>()
            .gives::<api::TokenMade>(),
        delete("/api/v1/tokens/{id}", OWN, accounts::revoke_token, "Revoke a token"),
        get("/api/v1/users", OPERATOR, accounts::users, "Every account").gives::<Vec<api::User>>(),
        post("/api/v1/users", OPERATOR, accounts::make_user, "Make an account")
            .takes::<api::NewUser>()
            .gives::<api::User>(),
        patch("/api/v1/users/{name}", OPERATOR, accounts::change_user, "Change an account")
            .takes::<api::UserChange>()
            .gives::<api::User>(),
    ]
}

fn of_projects() -> Vec<Route> {
    const ONE: &str = "/api/v1/projects/{project}";
    const MEMBER: &str = "/api/v1/projects/{project}/members/{user}";
    const TARGET: &str = "/api/v1/projects/{project}/targets/{target}";
    const SNAPSHOTS: &str = "/api/v1/projects/{project}/targets/{target}/snapshots";
    const ROLLBACK: &str = "/api/v1/projects/{project}/targets/{target}/rollback";
    vec![
        get("/api/v1/targets", ANYONE, projects::targets, "What can be built for")
            .gives::<Vec<api::TargetSummary>>(),
        get("/api/v1/projects", ANYONE, projects::list, "The projects that one may see")
            .gives::<api::Page<api::Project>>(),
        post("/api/v1/projects", OWN, projects::make, "Make a project")
            .takes::<api::ProjectAsked>()
            .gives::<api::Project>(),
        get(ONE, READER, projects::show, "A project").project().gives::<api::Project>(),
        patch(ONE, MAINTAINER, projects::change, "Change a project")
            .project()
            .takes::<api::ProjectChange>()
            .gives::<api::Project>(),
        put(MEMBER, MAINTAINER, projects::set_member, "Give somebody a role")
            .project()
            .takes::<api::MemberChange>(),
        delete(MEMBER, MAINTAINER, projects::remove_member, "Take somebody's role away").project(),
        put(TARGET, MAINTAINER, projects::add_target, "Build for a target").project(),
        delete(TARGET, MAINTAINER, projects::drop_target, "Build for a target no more").project(),
        get(SNAPSHOTS, READER, repositories::snapshots, "The snapshots of a repository")
            .project()
            .gives::<Vec<api::Snapshot>>(),
        post(ROLLBACK, MAINTAINER, repositories::roll_back, "Go back to an earlier snapshot")
            .project()
            .takes::<api::Rollback>()
            .gives::<api::Snapshot>(),
    ]
}

fn of_builds() -> Vec<Route> {
    const OF_PROJECT: &str = "/api/v1/projects/{project}/builds";
    const ARTIFACT: &str = "/api/v1/jobs/{job}/artifacts/{name}";
    vec![
        post("/api/v1/uploads", BUILD, uploads::begin, "Begin an upload, or go on with one")
            .takes::<api::UploadAsked>()
            .gives::<api::Upload>(),
        put("/api/v1/uploads/{digest}", BUILD, uploads::go_on, "Send bytes of an upload")
            .gives::<api::Upload>(),
        post(OF_PROJECT, PACKAGER, builds::submit, "Submit builds")
            .project()
            .takes::<api::BuildAsked>()
            .gives::<api::BuildsMade>(),
        get("/api/v1/builds", ANYONE, builds::list, "The builds that one may see")
            .gives::<api::Page<api::Build>>(),
        get("/api/v1/builds/{build}", READER, builds::show, "A build, perhaps waiting for news")
            .about(About::Build)
            .gives::<api::Build>(),
        post("/api/v1/builds/{build}/cancel", PACKAGER, builds::cancel, "Cancel a build")
            .about(About::Build)
            .gives::<api::Build>(),
        get("/api/v1/jobs/{job}", READER, jobs::show, "A job")
            .about(About::Job)
            .gives::<api::Job>(),
        post("/api/v1/jobs/{job}/resubmit", PACKAGER, jobs::resubmit, "Submit a job once more")
            .about(About::Job)
            .gives::<api::Build>(),
        get("/api/v1/jobs/{job}/logs/{name}", READER, live::log, "A log, perhaps as it grows")
            .about(About::Job),
        get("/api/v1/jobs/{job}/lock", READER, jobs::lock, "The lock of a job").about(About::Job),
        get(ARTIFACT, READER, jobs::artifact, "What a job made").about(About::Job),
    ]
}

fn of_operating() -> Vec<Route> {
    vec![
        get("/api/v1/workers", OPERATOR, operating::workers, "Every worker")
            .gives::<Vec<api::Worker>>(),
        post("/api/v1/workers", OPERATOR, operating::enrolment, "Make a one-time right to enrol")
            .takes::<api::EnrolmentAsked>()
            .gives::<api::Enrolment>(),
        patch("/api/v1/workers/{name}", OPERATOR, operating::change_worker, "Drain or set aside")
            .takes::<api::WorkerChange>(),
        get("/api/v1/audit", OPERATOR, operating::audit, "Who did what")
            .gives::<api::Page<api::Audited>>(),
        get("/api/v1/stats", ANYONE, operating::stats, "How the service does")
            .gives::<api::Stats>(),
        get("/api/v1/openapi.json", ANYONE, operating::openapi, "This description"),
        get("/health", ANYONE, operating::health, "Whether the service runs"),
        get("/ready", ANYONE, operating::ready, "Whether it can do its work"),
        get("/metrics", ANYONE, operating::metrics, "Figures for Prometheus"),
    ]
}

fn of_readers() -> Vec<Route> {
    const FILE: &str = "/repos/{project}/{target}/{snapshot}/{*path}";
    vec![
        get("/repos/{project}/key.asc", READER, repos::key, "The public key of a project")
            .project(),
        get(
            "/repos/{project}/{target}/{file}",
            READER,
            repos::about,
            "A .repo file or mirror list",
        )
        .project(),
        get(FILE, READER, repos::file, "A file of a repository").project(),
    ]
}

fn of_workers() -> Vec<Route> {
    const ARTIFACT: &str = "/worker/v1/jobs/{job}/{epoch}/artifacts/{digest}/{size}";
    vec![
        post("/worker/v1/enrol", ANYONE, workers::enrol, "Become a worker, by a ticket"),
        post("/worker/v1/lease", WORKER, workers::lease, "Ask for something to do"),
        post("/worker/v1/renew", WORKER, workers::renew, "Say that one is still at it"),
        post("/worker/v1/resolve", WORKER, workers::resolve, "Turn requirements into locks"),
        post("/worker/v1/provide", WORKER, workers::provide, "See that packages are there"),
        post("/worker/v1/stage", WORKER, workers::stage, "Say that a stage ended"),
        post("/worker/v1/finish", WORKER, workers::finish, "Say how an attempt ended"),
        get("/worker/v1/jobs/{job}/{epoch}/blobs/{digest}", WORKER, workers::blob, "Fetch a blob"),
        put(ARTIFACT, WORKER, workers::artifact, "Hand an artifact over"),
        post("/worker/v1/jobs/{job}/{epoch}/logs/{name}", WORKER, workers::log, "Add to a log"),
    ]
}

/// The router of the whole table.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let Route { path, need, about, handler, .. } = route;
        let layer = from_fn_with_state(Guard { app: app.clone(), need, about }, guard);
        router = router.route(path, handler.layer(layer));
    }
    router.with_state(app)
}

impl Route {
    fn about(mut self, about: About) -> Self {
        self.about = about;
        self
    }

    fn project(self) -> Self {
        self.about(About::Project)
    }

    fn takes<T: ToSchema>(mut self) -> Self {
        self.takes = Some(Shape::of::<T>());
        self
    }

    fn gives<T: ToSchema>(mut self) -> Self {
        self.gives = Some(Shape::of::<T>());
        self
    }
}

/// Makes the function for a method.
macro_rules! method {
    ($name:ident, $word:literal, $filter:ident) => {
        fn $name<H, T>(path: &'static str, need: Need, handler: H, summary: &'static str) -> Route
        where
            H: Handler<T, App>,
            T: 'static,
        {
            Route {
                method: $word,
                path,
                need,
                about: About::Nothing,
                summary,
                takes: None,
                gives: None,
                handler: on(MethodFilter::$filter, handler),
            }
        }
    };
}

method!(get, "GET", GET);
method!(post, "POST", POST);
method!(put, "PUT", PUT);
method!(patch, "PATCH", PATCH);
method!(delete, "DELETE", DELETE);
