//! Every route, and who may use it. A test walks the table as everyone.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{MethodFilter, MethodRouter, on};
use kiln_access::Need;
use kiln_api as api;
use kiln_model::{Role, Scope};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use crate::api::{
    accounts, again, builds, evidence, hooks, jobs, links, log, operating, projects, repositories,
    uploads, verdicts,
};
use crate::guard::{Guard, guard};
use crate::hooks as forges;
use crate::openapi::Shape;
use crate::peer::peer;
use crate::problem::as_problem;
use crate::service::App;
use crate::traced::traced;
use crate::{live, pages, repos, types, workers};

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
    /// Whether it takes an idempotency key.
    pub(crate) is_once: bool,
    /// What may stand behind the question mark.
    pub(crate) asks: Vec<Parameter>,
    /// The type of what is sent or answered, where it is not JSON.
    pub(crate) sends: Option<&'static str>,
    pub(crate) answers: Option<&'static str>,
    /// Whether it is counted how often somebody asks for it.
    is_counted: bool,
    handler: MethodRouter<App>,
}

const ANYONE: Need = Need::Nothing;
const READ: Need = Need::Account(Scope::Read);
const OWN: Need = Need::Account(Scope::All);
const BUILD: Need = Need::Account(Scope::Build);
const READER: Need = Need::Member(Role::Reader, Scope::Read);
/// Packages of upstream repositories are not ours to hand to strangers.
const EXPORT: Need = Need::Member(Role::Packager, Scope::Read);
const PACKAGER: Need = Need::Member(Role::Packager, Scope::Build);
const MAINTAINER: Need = Need::Member(Role::Maintainer, Scope::All);
const OPERATOR: Need = Need::Operator;
const WORKER: Need = Need::Worker;

/// The whole table.
pub fn routes() -> Vec<Route> {
    let of_api = [of_accounts(), of_projects(), of_builds(), of_hooks(), of_operating()];
    let others = [of_readers(), of_workers(), of_visitors(), of_pages(), of_forms()];
    let of_api = of_api.into_iter().chain([of_evidence()]);
    of_api.chain(others).flatten().collect()
}

fn of_accounts() -> Vec<Route> {
    vec![
        post("/api/v1/operator", ANYONE, accounts::first_operator, "Become the first operator")
            .takes::<api::OperatorAsked>()
            .gives::<api::TokenMade>(),
        post("/api/v1/login", ANYONE, accounts::login, "Sign in: a password for a token")
            .takes::<api::LoginAsked>()
            .gives::<api::TokenMade>(),
        post("/api/v1/password", ANYONE, links::set_password, "Set a password by a link")
            .takes::<api::PasswordByLink>()
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
        post("/api/v1/users/{name}/link", OPERATOR, links::make, "Make a link to set a password")
            .gives::<api::PasswordLink>(),
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
            .asks::<projects::PageAsked>()
            .gives::<api::Page<api::Project>>(),
        post("/api/v1/projects", OWN, projects::make, "Make a project")
            .once()
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
    const PROMOTE: &str = "/api/v1/projects/{project}/promotions";
    const REBUILD: &str = "/api/v1/projects/{project}/rebuild";
    const ARTIFACT: &str = "/api/v1/jobs/{job}/artifacts/{name}";
    const PROOF: &str = "/api/v1/jobs/{job}/verdicts/{rebuild}";
    vec![
        post("/api/v1/uploads", BUILD, uploads::begin, "Begin an upload, or go on with one")
            .takes::<api::UploadAsked>()
            .gives::<api::Upload>(),
        put("/api/v1/uploads/{digest}", BUILD, uploads::go_on, "Send bytes of an upload")
            .asks::<uploads::At>()
            .sends("application/octet-stream")
            .gives::<api::Upload>(),
        post(OF_PROJECT, PACKAGER, builds::submit, "Submit builds")
            .project()
            .once()
            .takes::<api::BuildAsked>()
            .gives::<api::BuildsMade>(),
        post(PROMOTE, PACKAGER, again::promote, "Take the results of another project's build over")
            .project()
            .takes::<api::PromotionAsked>()
            .gives::<api::Build>(),
        post(REBUILD, PACKAGER, again::rebuild, "Build anew what was built with some packages")
            .project()
            .takes::<api::RebuildAsked>()
            .gives::<api::Rebuild>(),
        get("/api/v1/builds", ANYONE, builds::list, "The builds that one may see")
            .asks::<builds::ListAsked>()
            .gives::<api::Page<api::Build>>(),
        get("/api/v1/builds/{build}", READER, builds::show, "A build, perhaps waiting for news")
            .about(About::Build)
            .asks::<builds::ShowAsked>()
            .gives::<api::Build>(),
        post("/api/v1/builds/{build}/cancel", PACKAGER, builds::cancel, "Cancel a build")
            .about(About::Build)
            .gives::<api::Build>(),
        get("/api/v1/jobs/{job}", READER, jobs::show, "A job")
            .about(About::Job)
            .gives::<api::Job>(),
        post("/api/v1/jobs/{job}/resubmit", PACKAGER, jobs::resubmit, "Submit a job once more")
            .about(About::Job)
            .once()
            .gives::<api::Build>(),
        get("/api/v1/jobs/{job}/logs/{name}", READER, live::log, "A log, perhaps as it grows")
            .about(About::Job)
            .asks::<live::LogAsked>()
            .answers("text/plain"),
        get("/api/v1/jobs/{job}/lock", READER, jobs::lock, "The lock of a job")
            .about(About::Job)
            .answers("application/json"),
        post(
            "/api/v1/jobs/{job}/verify",
            PACKAGER,
            verdicts::verify,
            "Build a job again, to compare",
        )
        .about(About::Job)
        .gives::<api::Verification>(),
        get("/api/v1/jobs/{job}/verdicts", READER, verdicts::list, "The rebuilds of a job")
            .about(About::Job)
            .gives::<Vec<api::Verification>>(),
        get(PROOF, READER, verdicts::proof, "What a rebuild came to")
            .about(About::Job)
            .answers("application/json"),
        get(ARTIFACT, READER, jobs::artifact, "What a job made")
            .about(About::Job)
            .answers("application/x-rpm"),
    ]
}

/// What shows how something was built, and what it is made of.
fn of_evidence() -> Vec<Route> {
    const SAID: &str = "/api/v1/jobs/{job}/attestations";
    const ONE: &str = "/api/v1/jobs/{job}/attestations/{digest}";
    const PROOF: &str = "/api/v1/jobs/{job}/attestations/{digest}/proof";
    const SBOM: &str = "/api/v1/jobs/{job}/sbom/{format}";
    const OF_REPO: &str =
        "/api/v1/projects/{project}/targets/{target}/snapshots/{snapshot}/sbom/{format}";
    vec![
        get(SAID, READER, evidence::list, "What is said of a job, signed")
            .about(About::Job)
            .gives::<Vec<api::Attestation>>(),
        get(ONE, READER, evidence::envelope, "The envelope of what is said of a job")
            .about(About::Job)
            .answers(evidence::ENVELOPE),
        get(PROOF, READER, evidence::proof, "That the log holds it")
            .about(About::Job)
            .answers(evidence::JSON),
        get("/api/v1/jobs/{job}/record", READER, evidence::record, "What makes a job again")
            .about(About::Job)
            .answers(evidence::JSON),
        get("/api/v1/jobs/{job}/bundle", EXPORT, evidence::bundle, "All that makes a job again")
            .about(About::Job)
            .answers("application/x-tar"),
        get(SBOM, READER, evidence::sbom, "What a job's packages are made of")
            .about(About::Job)
            .answers(evidence::JSON),
        get(OF_REPO, READER, evidence::sbom_of_repo, "What a snapshot of a repository holds")
            .project()
            .answers(evidence::JSON),
        get("/api/v1/log/key", ANYONE, log::key, "The key of what is attested, and of the log")
            .answers("application/x-pem-file"),
        get(
            "/api/v1/log/head",
            ANYONE,
            log::head,
            "A head of the log, signed; the newest as a rule",
        )
        .asks::<log::HeadAsked>()
        .answers(evidence::ENVELOPE),
        get("/api/v1/log/entries", ANYONE, log::entries, "Entries of the log")
            .asks::<log::EntriesAsked>()
            .gives::<api::LogEntries>(),
        get("/api/v1/log/consistency", ANYONE, log::consistency, "That the log goes on as it was")
            .asks::<log::PathAsked>()
            .gives::<api::LogPath>(),
        get("/api/v1/log/proof/{digest}", ANYONE, log::proof, "That the log holds an envelope")
            .answers(evidence::JSON),
        get(kiln_attest::BUILD_TYPE, ANYONE, types::show, "What provenance means").uncounted(),
        get(kiln_attest::VERDICT_TYPE, ANYONE, types::show, "What a verdict means").uncounted(),
    ]
}

fn of_hooks() -> Vec<Route> {
    const HOOKS: &str = "/api/v1/projects/{project}/hooks";
    const HOOK: &str = "/api/v1/projects/{project}/hooks/{id}";
    const LISTENERS: &str = "/api/v1/projects/{project}/listeners";
    const LISTENER: &str = "/api/v1/projects/{project}/listeners/{id}";
    vec![
        get(HOOKS, MAINTAINER, hooks::list, "The hooks of a project")
            .project()
            .gives::<Vec<api::Hook>>(),
        post(HOOKS, MAINTAINER, hooks::make, "Let a forge have a repository built")
            .project()
            .takes::<api::HookAsked>()
            .gives::<api::Hook>(),
        delete(HOOK, MAINTAINER, hooks::remove, "Remove a hook").project(),
        get(LISTENERS, MAINTAINER, hooks::listeners, "Who is told what becomes of jobs")
            .project()
            .gives::<Vec<api::Listener>>(),
        post(LISTENERS, MAINTAINER, hooks::make_listener, "Tell an address what becomes of jobs")
            .project()
            .takes::<api::ListenerAsked>()
            .gives::<api::Listener>(),
        delete(LISTENER, MAINTAINER, hooks::remove_listener, "Tell an address nothing more")
            .project(),
        // Who speaks is known by the signature, which the handler checks.
        post("/hooks/{name}", ANYONE, forges::hear, "What a forge says").gives::<api::Heard>(),
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
        post("/api/v1/sweep", OPERATOR, operating::sweep, "Remove what nothing needs")
            .takes::<api::SweepAsked>()
            .gives::<api::Swept>(),
        get("/api/v1/audit", OPERATOR, operating::audit, "Who did what")
            .asks::<operating::AuditAsked>()
            .gives::<api::Page<api::Audited>>(),
        get("/api/v1/stats", ANYONE, operating::stats, "How the service does")
            .gives::<api::Stats>(),
        get("/api/v1/service", ANYONE, operating::service, "What this service is")
            .gives::<api::Service>(),
        get("/api/v1/openapi.json", ANYONE, operating::openapi, "This description")
            .answers("application/json"),
        get("/health", ANYONE, operating::health, "Whether the service runs").uncounted(),
        get("/ready", ANYONE, operating::ready, "Whether it can do its work").uncounted(),
        get("/metrics", ANYONE, operating::metrics, "Figures for Prometheus").uncounted(),
    ]
}

fn of_readers() -> Vec<Route> {
    const FILE: &str = "/repos/{project}/{target}/{snapshot}/{*path}";
    vec![
        get("/repos/{project}/key.asc", READER, repos::key, "The public key of a project")
            .uncounted()
            .project(),
        get(
            "/repos/{project}/{target}/{file}",
            READER,
            repos::about,
            "A .repo file or mirror list",
        )
        .uncounted()
        .project(),
        get(FILE, READER, repos::file, "A file of a repository").uncounted().project(),
    ]
}

fn of_workers() -> Vec<Route> {
    const ARTIFACT: &str = "/worker/v1/jobs/{job}/{epoch}/artifacts/{digest}/{size}";
    vec![
        post("/worker/v1/enrol", ANYONE, workers::enrol, "Become a worker, by a ticket"),
        post("/worker/v1/lease", WORKER, workers::lease, "Ask for something to do"),
        post("/worker/v1/renew", WORKER, workers::renew, "Say that one is still at it"),
        post("/worker/v1/resolve", WORKER, workers::resolve, "Turn requirements into locks"),
        post("/worker/v1/source", WORKER, workers::source, "Hand in a source that was fetched"),
        post("/worker/v1/provide", WORKER, workers::provide, "See that packages are there"),
        post("/worker/v1/stage", WORKER, workers::stage, "Say that a stage ended"),
        post("/worker/v1/finish", WORKER, workers::finish, "Say how an attempt ended"),
        get("/worker/v1/jobs/{job}/{epoch}/blobs/{digest}", WORKER, workers::blob, "Fetch a blob"),
        put(ARTIFACT, WORKER, workers::artifact, "Hand an artifact over"),
        post("/worker/v1/jobs/{job}/{epoch}/logs/{name}", WORKER, workers::log, "Add to a log"),
    ]
}

/// Pages for whoever comes by.
fn of_visitors() -> Vec<Route> {
    use pages::{account, assets, links, oidc, projects, queue, start};
    vec![
        get("/", ANYONE, start::start, "What is being built"),
        get("/assets/{digest}/{name}", ANYONE, assets::asset, "Style and scripts").uncounted(),
        get("/login", ANYONE, account::login_form, "The page to sign in"),
        post("/login", ANYONE, account::login, "Sign in to a browser"),
        get("/login/oidc", ANYONE, oidc::begin, "To the provider that signs people in"),
        get("/login/oidc/done", ANYONE, oidc::end, "Back from it"),
        post("/logout", ANYONE, account::logout, "Sign out"),
        get("/welcome", ANYONE, account::welcome_form, "The page of the one-time link"),
        post("/welcome", ANYONE, account::welcome, "Become the first operator"),
        get("/set-password", ANYONE, links::form, "The page of a link to set a password"),
        post("/set-password", ANYONE, links::set, "Set a password by a link"),
        get("/projects", ANYONE, projects::list, "The page of projects"),
        get("/queue", ANYONE, queue::show, "The page of the queue and of workers"),
    ]
}

/// Pages that show something.
fn of_pages() -> Vec<Route> {
    use pages::{account, builds, jobs, live, locks, log, operate, projects, repo, submit};
    const LOG: &str = "/jobs/{job}/log/{name}";
    const ROOT: &str = "/jobs/{job}/buildroot";
    const COMPARE: &str = "/jobs/{job}/compare/{other}";
    vec![
        get("/tokens", OWN, account::tokens, "The page of one's account"),
        get("/projects/{project}", READER, projects::show, "The page of a project").project(),
        get("/projects/{project}/builds", READER, builds::list, "The page of its builds").project(),
        get("/projects/{project}/submit", PACKAGER, submit::form, "The page to submit").project(),
        get("/projects/{project}/{target}", READER, repo::show, "The page of a repository")
            .project(),
        get("/builds/{build}", READER, builds::show, "The page of a build").about(About::Build),
        get("/jobs/{job}", READER, jobs::show, "The page of a job").about(About::Job),
        get("/jobs/{job}/live", READER, live::live, "What happens to a job").about(About::Job),
        get(LOG, READER, log::log, "The page of a log").about(About::Job),
        get(ROOT, READER, locks::buildroot, "The page of a buildroot").about(About::Job),
        get(COMPARE, READER, locks::compare, "Two jobs beside each other").about(About::Job),
        get("/operate", OPERATOR, operate::show, "The page of operators"),
        get("/operate/audit", OPERATOR, operate::audit, "The page of who did what"),
    ]
}

/// What the forms of pages are sent to.
fn of_forms() -> Vec<Route> {
    use pages::{account, builds, jobs, links, operate, projects, repo, submit};
    const MEMBERS: &str = "/projects/{project}/members";
    const TARGETS: &str = "/projects/{project}/targets";
    const ROLLBACK: &str = "/projects/{project}/{target}/rollback";
    const SETTINGS: &str = "/projects/{project}/settings";
    vec![
        post("/tokens", OWN, account::make_token, "Form: make a token"),
        post("/tokens/{id}/revoke", OWN, account::revoke_token, "Form: revoke a token"),
        post("/password", OWN, account::set_password, "Form: change one's password"),
        post("/projects", OWN, projects::make, "Form: make a project"),
        post(SETTINGS, MAINTAINER, projects::change, "Form: change a project").project(),
        post(MEMBERS, MAINTAINER, projects::set_member, "Form: set a member").project(),
        post(TARGETS, MAINTAINER, projects::set_target, "Form: set a target").project(),
        post("/projects/{project}/submit", PACKAGER, submit::submit, "Form: submit builds")
            .project()
            .takes_files(),
        post(ROLLBACK, MAINTAINER, repo::roll_back, "Form: roll a repository back").project(),
        post("/builds/{build}/cancel", PACKAGER, builds::cancel, "Form: cancel a build")
            .about(About::Build),
        post("/jobs/{job}/resubmit", PACKAGER, jobs::resubmit, "Form: submit a job once more")
            .about(About::Job),
        post("/jobs/{job}/verify", PACKAGER, jobs::verify, "Form: build a job again, to compare")
            .about(About::Job),
        post("/operate/users", OPERATOR, operate::make_user, "Form: make an account"),
        post("/operate/users/{name}", OPERATOR, operate::change_user, "Form: change an account"),
        post("/operate/users/{name}/link", OPERATOR, links::make, "Form: make a password link"),
        post("/operate/workers", OPERATOR, operate::enrol, "Form: let a worker enrol"),
        post("/operate/workers/{name}", OPERATOR, operate::change_worker, "Form: change a worker"),
    ]
}

/// The router of the whole table.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let Route { path, need, about, handler, is_counted, .. } = route;
        let guarded = Guard { app: app.clone(), need, about, is_counted };
        let handler = handler.layer(from_fn_with_state(guarded, guard));
        router = router.route(path, handler.layer(from_fn_with_state(path, traced)));
    }
    let faces = from_fn_with_state(app.clone(), pages::faces::faces);
    let router = router.fallback(pages::faces::nothing).layer(map_response(as_problem));
    let peer = from_fn_with_state(app.clone(), peer);
    router.layer(faces).layer(peer).with_state(app)
}

impl Route {
    fn about(mut self, about: About) -> Self {
        self.about = about;
        self
    }

    fn project(self) -> Self {
        self.about(About::Project)
    }

    /// Files are not held in memory: the handler bounds what it takes.
    fn takes_files(mut self) -> Self {
        self.handler = self.handler.layer(DefaultBodyLimit::disable());
        self
    }

    /// Anybody asks for it as often as they like.
    fn uncounted(mut self) -> Self {
        self.is_counted = false;
        self
    }

    /// Made again with the same key, the request does nothing more: the handler sees to it.
    fn once(mut self) -> Self {
        self.is_once = true;
        self
    }

    fn takes<T: ToSchema>(mut self) -> Self {
        self.takes = Some(Shape::of::<T>());
        self
    }

    fn gives<T: ToSchema>(mut self) -> Self {
        self.gives = Some(Shape::of::<T>());
        self
    }

    fn asks<T: IntoParams>(mut self) -> Self {
        self.asks = T::into_params(|| Some(ParameterIn::Query));
        self
    }

    fn sends(mut self, kind: &'static str) -> Self {
        self.sends = Some(kind);
        self
    }

    fn answers(mut self, kind: &'static str) -> Self {
        self.answers = Some(kind);
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
                is_once: false,
                asks: Vec::new(),
                sends: None,
                answers: None,
                is_counted: true,
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
