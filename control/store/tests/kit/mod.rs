//! A store of each kind: SQLite in a folder, and PostgreSQL where it is installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiln_model::{Digest, Limits, ProjectId, ProjectSettings, UserId};
use kiln_store::{NewBuild, NewJob, NewProject, NewUser, Owner, Store};
use kiln_wire::worker::{Settings, Source, SourceFile};

/// A store, and what it needs to be there.
pub(crate) struct Kept {
    pub(crate) store: Store,
    pub(crate) name: &'static str,
    _postgres: Option<Postgres>,
    _folder: tempfile::TempDir,
}

/// One of each kind that this machine has; says which it hasn't.
pub(crate) async fn stores() -> Vec<Kept> {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("kiln.db")).await.expect("opened");
    let mut stores = vec![Kept { store, name: "SQLite", _postgres: None, _folder: folder }];
    match Postgres::start() {
        Some((postgres, folder)) => {
            let store = Store::connect(&postgres.url).await.expect("connected");
            let postgres = Some(postgres);
            stores.push(Kept { store, name: "PostgreSQL", _postgres: postgres, _folder: folder });
        }
        None => {
            assert!(std::env::var_os("KILN_NO_SKIP").is_none(), "PostgreSQL must be here");
            println!("PostgreSQL: skipped, because it is not installed");
        }
    }
    stores
}

/// A server of one test's own: in a temporary folder, on a Unix socket there and nowhere else.
struct Postgres {
    url: String,
    programs: PathBuf,
    data: PathBuf,
}

impl Postgres {
    fn start() -> Option<(Self, tempfile::TempDir)> {
        let programs = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().next()?;
        let programs = programs.path().join("bin");
        let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
        let (data, socket) = (folder.path().join("data"), folder.path().to_owned());
        give_away(folder.path());
        run(as_other(&programs.join("initdb")).arg("-D").arg(&data).args(["-U", "kiln", "-N"]));
        let options = format!("-c listen_addresses= -k {}", socket.display());
        run(as_other(&programs.join("pg_ctl"))
            .arg("-D")
            .arg(&data)
            .args(["-w", "-o", &options, "-l"])
            .arg(folder.path().join("log"))
            .arg("start"));
        let host: String = socket.display().to_string().replace('/', "%2F");
        let url = format!("postgres://kiln@{host}/postgres");
        Some((Self { url, programs, data }, folder))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = as_other(&self.programs.join("pg_ctl"));
        drop(stop.arg("-D").arg(&self.data).args(["-m", "immediate", "stop"]).output());
    }
}

/// PostgreSQL refuses root: it runs as the user that tests are run as.
const USER: &str = "kiln-test";

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn as_other(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(program);
    command.current_dir("/var/tmp");
    command
}

fn give_away(folder: &Path) {
    if is_root() {
        run(Command::new("chown").arg(USER).arg(folder));
    }
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("started");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
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
        target: "trial-13-x86_64".parse().expect("a name"),
        arch: "x86_64".to_owned(),
        profile: "distribution".to_owned(),
        macros: BTreeMap::new(),
        with: Vec::new(),
        without: Vec::new(),
        jobs: 2,
        lock: None,
        pins: Vec::new(),
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
