//! A store of each kind: SQLite in a folder, and PostgreSQL where it is installed.

#![allow(dead_code, reason = "each test file uses its own part")]

use kiln_kit::Postgres;
use kiln_model::{Digest, Limits, ProjectId, ProjectSettings, UserId};
use kiln_store::{NewBuild, NewJob, NewProject, NewUser, Owner, Store};
use kiln_wire::worker::{Settings, Source, SourceFile};

/// A store, and what it needs to be there.
pub(crate) struct Kept {
    pub(crate) store: Store,
    pub(crate) name: &'static str,
    /// How another process would reach it.
    pub(crate) postgres: Option<Postgres>,
    _folder: Option<tempfile::TempDir>,
}

/// One of each kind that this machine has; says which it hasn't.
pub(crate) async fn stores() -> Vec<Kept> {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("kiln.db")).await.expect("opened");
    let mut stores = vec![Kept { store, name: "SQLite", postgres: None, _folder: Some(folder) }];
    if let Some(postgres) = Postgres::or_skip() {
        let store = Store::connect(&postgres.url).await.expect("connected");
        let postgres = Some(postgres);
        stores.push(Kept { store, name: "PostgreSQL", postgres, _folder: None });
    }
    stores
}

/// An account and a project of its own.
pub(crate) async fn project(store: &Store, name: &str) -> (ProjectId, UserId) {
    let user = NewUser {
        name: name.parse().expect("a name"),
        password: None,
        is_operator: false,
        subject: None,
    };
    let user = store.make_user(&user, 0).await.expect("made");
    let project = NewProject {
        name: name.parse().expect("a name"),
        summary: String::new(),
        is_public: false,
        settings: ProjectSettings::default(),
        maintainer: user,
    };
    (store.make_project(&project, 0).await.expect("made"), user)
}

/// A build with one job.
pub(crate) fn build((project, submitter): (ProjectId, UserId)) -> NewBuild {
    let settings = Settings {
        jobs: 2,
        ..Settings::plain("trial-13-x86_64".parse().expect("a name"), "x86_64")
    };
    let file = SourceFile { name: "x.src.rpm".into(), digest: Digest::of(b"x"), size: 1 };
    let job = NewJob {
        settings,
        limits: Limits::default(),
        is_background: false,
        priority: 0,
        waits_for: Vec::new(),
    };
    let owner = Some(Owner { project, submitter, is_scratch: false, hook: None });
    NewBuild {
        title: "x".to_owned(),
        source: Source::Srpm(file),
        jobs: vec![job],
        owner,
        origin: None,
    }
}
