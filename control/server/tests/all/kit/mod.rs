//! A whole service over a folder, with people, projects, builds and a signer of its own. What a
//! worker would do is written into the store; what is signed and published is so for real.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use kiln_access::{Access, hash_password};
use kiln_cas::Cas;
use kiln_flow::{Flow, FlowSettings, Logs, Order, Publisher, PublisherSettings, Sources};
use kiln_model::{
    Digest, JobId, LOCK_VERSION, LeaseKey, Limits, Lock, LockedPackage, ProjectId, Reason, Report,
    Role, Scope, Stage, Target, UserId,
};
use kiln_repo::Repos;
use kiln_resolve::{Resolver, SolverLink, SolverSpawn};
use kiln_server::{RateCaps, Service, ServiceSettings, router};
use kiln_sign::{Signer, SignerLink, SignerSpawn};
use kiln_store::{
    Accepted, Artifact, Caps, NewProject, NewUser, NewWorker, StageRecord, Store, UploadCaps,
    WorkerSays,
};
use kiln_wire::worker::{Source, SourceFile};
use rpm::{BuildConfig, CompressionType, FileOptions, PackageBuilder};
use tower::ServiceExt as _;

pub const TARGET: &str = "trial-13-x86_64";
pub const PASSWORD: &str = "correct horse battery";

/// Nothing is resolved here.
struct NoSolver;

impl SolverSpawn for NoSolver {
    fn spawn(&self) -> io::Result<SolverLink> {
        Err(io::Error::other("these tests resolve nothing"))
    }
}

/// This very program, as a signer: see [`as_signer`].
struct ThisSigner(PathBuf);

impl SignerSpawn for ThisSigner {
    fn spawn(&self) -> io::Result<SignerLink> {
        let program = std::env::current_exe()?;
        let arguments = ["--ignored", "--exact", "kit::as_signer", "--test-threads=1"];
        let (socket, process) = kiln_signer::start(&program, &arguments, &self.0)?;
        Ok(SignerLink { socket, process })
    }
}

/// Not a test: what this program does when it is started as a signer.
#[test]
#[ignore = "not a test, but the signer's role"]
fn as_signer() {
    kiln_signer::run_child(&kiln_signer::Barrier::ALL, kiln_signer::Strength { rsa: 2048 });
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Anonymous,
    Other,
    Reader,
    Packager,
    Maintainer,
    Operator,
    Worker,
}

impl Who {
    pub const ALL: [Self; 7] = [
        Self::Anonymous,
        Self::Other,
        Self::Reader,
        Self::Packager,
        Self::Maintainer,
        Self::Operator,
        Self::Worker,
    ];
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

pub struct Scene {
    pub folder: tempfile::TempDir,
    pub app: Arc<Service>,
    pub users: BTreeMap<&'static str, UserId>,
}

/// How much later it is here than elsewhere, in milliseconds.
pub static LATER: AtomicI64 = AtomicI64::new(0);

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let now: i64 = since.as_millis().try_into().expect("before the end of time");
    now + LATER.load(Ordering::Relaxed)
}

pub fn target() -> Target {
    let text = format!(
        "schema = 1\nname = \"{TARGET}\"\nsummary = \"A trial\"\narch = \"x86_64\"\n\
         [profile.distribution]\nversion = 2\npackages = [\"bash\"]\n\
         [[repo]]\nid = \"base\"\nbaseurl = [\"http://127.0.0.1:1/\"]\n\
         check_packages = false\ncheck_metadata = false\n"
    );
    toml::from_str(&text).expect("a target")
}

impl Scene {
    /// With `url` as its address.
    pub async fn new(url: &str) -> Self {
        Self::with(url, |_| {}).await
    }

    /// As [`Scene::new`], with other settings.
    pub async fn with(url: &str, change: impl FnOnce(&mut ServiceSettings)) -> Self {
        let mode = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().permissions(mode).tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let cas = Cas::open(&at("blobs.v1")).expect("a store");
        let store = Store::open(&at("kiln.db")).await.expect("opened");
        let fetcher = kiln_fetch::Fetcher::new(cas.clone(), kiln_fetch::Options::default());
        let repos = Repos::open(
            fetcher.expect("a fetcher"),
            &at("snapshots.v1"),
            kiln_repo::Options::default(),
        );
        let solver = Resolver::open(&at("solved.v1"), cas.clone(), Arc::new(NoSolver));
        let target = target();
        let flow = Flow::new(FlowSettings {
            store: store.clone(),
            cas,
            repos: repos.expect("opened"),
            resolver: solver.expect("opened"),
            logs: Logs::open(&at("logs.v1")).expect("opened"),
            targets: BTreeMap::from([(target.name.clone(), target)]),
            progress: Arc::new(|_| {}),
            now,
        });
        fs::create_dir_all(at("signer")).expect("made");
        fs::set_permissions(at("signer"), Permissions::from_mode(0o700)).expect("set");
        let publisher = Publisher::new(PublisherSettings {
            flow: flow.clone(),
            signer: Signer::new(Arc::new(ThisSigner(at("signer")))),
            url: url.to_owned(),
            records: &at("records.v1"),
            chunks: &at("chunks.v1"),
        });
        let mut settings = ServiceSettings {
            url: url.to_owned(),
            caps: Caps::default(),
            limits: Limits::default(),
            jobs: 2,
            upload_cap: 64 << 20,
            upload_caps: UploadCaps { bytes: 64 << 20, files: 100 },
            notified: kiln_model::Outlets::public(),
            proxies: vec!["10.0.0.1".parse().expect("an address")],
            rates: RateCaps::default(),
            provider: None,
        };
        change(&mut settings);
        let app = Arc::new(Service::new(flow, publisher, Access::new(store), settings));
        Self { folder, app, users: BTreeMap::new() }
    }

    /// With somebody of every kind, a private project `clay` and a public one `glaze`.
    pub async fn peopled(url: &str) -> Self {
        Self::new(url).await.settled().await
    }

    /// With everybody in it.
    pub async fn settled(self) -> Self {
        let mut scene = self;
        let hash = hash_password(PASSWORD).await.expect("hashed");
        for name in ["ann", "mia", "pat", "rea", "oth"] {
            let user = NewUser {
                name: name.parse().expect("a name"),
                password: Some(hash.clone()),
                is_operator: name == "ann",
                subject: None,
            };
            let id = scene.store().make_user(&user, now()).await.expect("made");
            scene.users.insert(name, id);
        }
        for (name, is_public) in [("clay", false), ("glaze", true)] {
            let id = scene.project(name, "Pots, and what they are made of", is_public).await;
            for (user, role) in [("pat", Role::Packager), ("rea", Role::Reader)] {
                let done = scene.store().set_member(id, scene.users[user], Some(role)).await;
                done.expect("a member");
            }
        }
        let worker = NewWorker {
            name: "oven-1".parse().expect("a name"),
            hash: kiln_access::hash_of("kiln_worker_x"),
            arch: "x86_64".to_owned(),
            slots: 4,
            version: "0.1.0".to_owned(),
        };
        scene.store().enrol(&worker, now()).await.expect("enrolled");
        let says = WorkerSays { slots: 4, version: "0.1.0", has_kvm: false };
        scene.store().saw_worker("oven-1", says, now()).await.expect("seen");
        scene
    }

    pub fn store(&self) -> &Store {
        self.app.flow.store()
    }

    pub async fn project(&self, name: &str, summary: &str, is_public: bool) -> ProjectId {
        let new = NewProject {
            name: name.parse().expect("a name"),
            summary: summary.to_owned(),
            is_public,
            settings: kiln_model::ProjectSettings::default(),
            maintainer: self.users["mia"],
        };
        let id = self.store().make_project(&new, now()).await.expect("made");
        let target = TARGET.parse().expect("a name");
        self.store().set_target(id, &target, true, now()).await.expect("set");
        id
    }

    /// A secret that lets somebody in.
    pub async fn secret(&self, who: Who) -> Option<String> {
        let name = match who {
            Who::Anonymous => return None,
            Who::Worker => return Some("kiln_worker_x".to_owned()),
            Who::Other => "oth",
            Who::Reader => "rea",
            Who::Packager => "pat",
            Who::Maintainer => "mia",
            Who::Operator => "ann",
        };
        let access = &self.app.access;
        let made = access.make_token(self.users[name], "test", Scope::All, 1, now()).await;
        Some(made.expect("a token").1.text().to_owned())
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = router(self.app.clone()).oneshot(request).await.expect("answered");
        let (parts, body) = response.into_parts();
        let is_endless = parts
            .headers
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let bytes = match is_endless {
            true => Default::default(),
            false => to_bytes(body, 64 << 20).await.expect("a body"),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    pub async fn page(&self, path: &str, who: Who) -> Answer {
        let mut request = Request::get(path).header("accept", "text/html");
        if let Some(secret) = self.secret(who).await {
            request = request.header("authorization", format!("Bearer {secret}"));
        }
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    /// A build that waits.
    pub async fn order(&self, project: &str, title: &str) -> JobId {
        let record = self.store().project(project).await.expect("read").expect("there");
        let cas = self.app.flow.cas();
        let digest = cas.insert_bytes(title.as_bytes()).expect("stored");
        let size = title.len() as u64;
        let file = SourceFile { name: "source.src.rpm".to_owned(), digest, size };
        let sources = Sources { title: title.to_owned(), source: Source::Srpm(file) };
        let order = Order::plain(record, self.users["pat"], sources);
        self.app.flow.order(&order).await.expect("taken")[0].jobs[0]
    }

    pub async fn lease(&self, job: JobId) -> LeaseKey {
        let now = now();
        self.store().lease(job, "oven-1", now, now + 600_000).await.expect("leased")
    }

    pub async fn stage(&self, key: LeaseKey, stage: Stage, wall_ms: u64, note: &str) {
        let cpu_ms = wall_ms * 3 / 4;
        let ended = StageRecord { stage, wall_ms, cpu_ms, note: note.to_owned() };
        let before = self.store().stages(key.job).await.expect("read").len() as u32;
        self.store().note_stage(key, before, &ended).await.expect("noted");
    }

    pub fn log(&self, key: LeaseKey, text: &[u8]) {
        self.app.flow.logs().append(key, "build", text).expect("written");
        self.app.flow.events().tell(kiln_flow::Event::Log(key));
    }

    pub async fn fail(&self, key: LeaseKey, report: &Report) {
        self.store().fail(key, report, now()).await.expect("failed");
        self.app.flow.events().tell(kiln_flow::Event::Job(key.job));
    }

    /// A build that ended well: a package of that name, in a buildroot of these.
    pub async fn built(&self, key: LeaseKey, package: &str, release: &str, buildroot: &[&str]) {
        let lock = kiln_parse::lock::to_bytes(&lock(buildroot));
        let cas = self.app.flow.cas();
        let lock = cas.insert_bytes(&lock).expect("stored");
        self.store().note_lock(key, lock).await.expect("noted");
        let bytes = rpm_of(package, release);
        let digest = cas.insert_bytes(&bytes).expect("stored");
        let artifact = Artifact {
            name: format!("{package}-1.0-{release}.noarch.rpm"),
            nevra: format!("{package}-1.0-{release}.noarch").parse().expect("a NEVRA"),
            digest,
            size: bytes.len() as u64,
        };
        let accepted = Accepted { key, lock, artifacts: vec![artifact] };
        self.store().accept(&accepted, now()).await.expect("accepted");
        self.app.publisher.publish_ready().await.expect("published");
        self.app.flow.events().tell(kiln_flow::Event::Job(key.job));
    }

    /// From nothing to a published package.
    pub async fn publish(&self, project: &str, package: &str, release: &str) -> JobId {
        let job = self.order(project, &format!("{package}-1.0-{release}.src.rpm")).await;
        let key = self.lease(job).await;
        self.stage(key, Stage::Resolve, 40, "3 packages").await;
        self.stage(key, Stage::Materialise, 210, "1 layer new").await;
        self.stage(key, Stage::Run, 2900, "").await;
        self.log(key, b"+ make\ngcc -c clay.c\n\x1b[32mdone\x1b[0m\n");
        let buildroot = ["bash-5-1.x86_64", "gcc-14-1.x86_64", "make-4-1.x86_64"];
        self.built(key, package, release, &buildroot).await;
        job
    }
}

fn rpm_of(name: &str, release: &str) -> Vec<u8> {
    let mut builder = PackageBuilder::new(name, "1.0", "MIT", "noarch", "A package");
    let quick = BuildConfig::v4().source_date(1_700_000_000_u32).compression(CompressionType::Gzip);
    let file = FileOptions::new(format!("/usr/share/{name}")).user("root").group("root");
    builder.using_config(quick).release(release);
    builder.with_file_contents("clay\n", file).expect("a file");
    let mut bytes = Vec::new();
    builder.build().expect("built").write(&mut bytes).expect("written");
    bytes
}

fn lock(buildroot: &[&str]) -> Lock {
    let package = |nevra: &&str| LockedPackage {
        nevra: nevra.parse().expect("a NEVRA"),
        repo: "base".to_owned(),
        location: format!("Packages/{nevra}.rpm"),
        size: 1_234_567,
        digest: Digest::of(nevra.as_bytes()),
        why: Reason::Build("gcc >= 14".parse().expect("a requirement")),
    };
    Lock {
        version: LOCK_VERSION,
        target: TARGET.parse().expect("a name"),
        profile: "distribution/2".to_owned(),
        arch: "x86_64".to_owned(),
        solver: "libsolv 0.7.23".to_owned(),
        macros: BTreeMap::new(),
        requires: vec!["gcc >= 14".parse().expect("a requirement")],
        snapshots: vec![kiln_model::LockedSnapshot {
            repo: "base".to_owned(),
            repomd: Digest::of(b"repomd"),
        }],
        packages: buildroot.iter().map(package).collect(),
        toolbox: vec![package(&"rpm-4-1.x86_64")],
    }
}
