use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kiln_kit::{Ground, Trial};
use rustix::process::{Pid, Signal};

use crate::ran::Ran;

/// Nothing that a test does takes longer; a kiln that does hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// kiln in a folder of its own, over a target whose buildroot is small.
pub struct Kiln {
    ground: Ground,
    program: PathBuf,
    /// Its KILN_DIR.
    pub folder: PathBuf,
    /// Where its results go.
    pub results: PathBuf,
    /// Its TMPDIR.
    pub temp: PathBuf,
    /// A target file.
    pub target: PathBuf,
}

/// What every buildroot of these tests holds.
const PROFILE: &str = "bash coreutils diffutils filesystem findutils gawk glibc-common grep gzip \
                       kiln-release kiln-rpm-config rpm-build sed tar";

impl Kiln {
    /// `program` in a ground of its own; prints why and gives nothing where that cannot be.
    #[must_use]
    pub fn or_skip(program: &str) -> Option<Self> {
        let trial = Trial::or_skip()?;
        // Orphans of what is started here fall to this process, which is how they are seen.
        let own = rustix::process::getpid();
        rustix::process::set_child_subreaper(Some(own)).expect("a subreaper");
        let ground = Ground::or_skip()?;
        let program = ground.program(Path::new(program)).expect("copied");
        let own = |name| ground.own_folder(name).expect("made");
        let (folder, results, temp) = (own("kiln"), own("results"), own("tmp"));
        let target = ground.path().join("target.toml");
        let kiln = Self { ground, program, folder, results, temp, target };
        kiln.write_target(
            &kiln.target,
            &format!("file://{}/repo", trial.folder.display()),
            PROFILE,
        );
        Some(kiln)
    }

    /// A file or folder of the ground.
    pub fn path(&self, name: &str) -> PathBuf {
        self.ground.path().join(name)
    }

    /// A folder that belongs to the user.
    pub fn own_folder(&self, name: &str) -> PathBuf {
        self.ground.own_folder(name).expect("made")
    }

    /// Writes a target file over one repository.
    pub fn write_target(&self, to: &Path, repo: &str, profile: &str) {
        let packages: Vec<String> =
            profile.split_whitespace().map(|name| format!("{name:?}")).collect();
        let text = format!(
            "schema = 1\nname = \"trial-13-x86_64\"\nsummary = \"small\"\narch = \"x86_64\"\n\
             [macros]\ndist = \".t\"\n[rpm]\ntoolbox = [\"rpm\"]\n\
             [profile.distribution]\nversion = 1\npackages = [{}]\n\
             [[repo]]\nid = \"trial\"\nbaseurl = [\"{repo}\"]\n\
             check_packages = false\ncheck_metadata = false\n",
            packages.join(", ")
        );
        fs::write(to, text).expect("written");
    }

    /// A folder with a spec: the usual head, then `rest`.
    pub fn spec(&self, name: &str, rest: &str) -> PathBuf {
        let folder = self.path(&format!("sources/{name}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("made");
        let text = format!(
            "Name: {name}\nVersion: 1\nRelease: 1\nSummary: a test\nLicense: MIT\n\
             BuildArch: noarch\n{rest}"
        );
        fs::write(folder.join(format!("{name}.spec")), text).expect("written");
        folder
    }

    /// A package whose `%build` is this, and which is fine otherwise.
    pub fn package(&self, name: &str, build: &str) -> PathBuf {
        self.spec(
            name,
            &format!(
                "%description\nA test.\n%build\n{build}\n%install\nmkdir -p %{{buildroot}}/usr/share\n\
                 echo {name} > %{{buildroot}}/usr/share/{name}\n%files\n/usr/share/{name}\n"
            ),
        )
    }

    /// kiln as the user, in an environment of its own.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.ground.command(&self.program);
        command.env("KILN_DIR", &self.folder).env("TMPDIR", &self.temp).args(arguments);
        command
    }

    /// Any program as the user.
    pub fn other(&self, program: &str) -> Command {
        self.ground.command(Path::new(program))
    }

    /// The program that is tested.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// `kiln build` of one source with more options.
    pub fn build_command(&self, source: &Path, options: &[&str]) -> Command {
        let mut command = self.command(&["build", "--local", "--jobs", "1", "--target"]);
        command.arg(&self.target).arg("--results").arg(&self.results).args(options).arg(source);
        command
    }

    /// Builds, and looks that nothing is left.
    pub fn build(&self, source: &Path, options: &[&str]) -> Ran {
        let ran = self.run(&mut self.build_command(source, options));
        self.assert_nothing_left(&format!("{source:?} {options:?}"));
        ran
    }

    /// Runs a command to its end.
    pub fn run(&self, command: &mut Command) -> Ran {
        self.run_with(command, |_| ())
    }

    /// As [`Kiln::run`]; does something with the process while it runs.
    pub fn run_with(&self, command: &mut Command, meanwhile: impl FnOnce(&Child)) -> Ran {
        // Files and no pipes: a process that is left would keep a pipe open.
        let said = [self.said("out"), self.said("err")];
        let open = |path: &PathBuf| File::create(path).expect("created");
        let began = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(open(&said[0]))
            .stderr(open(&said[1]))
            .spawn()
            .expect("started");
        let (over, patience) = mpsc::channel::<()>();
        let id = child.id();
        let guard = thread::spawn(move || {
            let late = patience.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                let _ = kill(id, Signal::KILL);
            }
            late
        });
        meanwhile(&child);
        let status = child.wait().expect("waited for");
        drop(over);
        let text = |path| String::from_utf8_lossy(&fs::read(path).expect("read")).into_owned();
        let [out, err] = said.each_ref().map(text);
        assert!(!guard.join().expect("joined"), "kiln hangs: {command:?}\n{out}\n{err}");
        Ran {
            code: status.code(),
            signal: status.signal(),
            wall: began.elapsed(),
            result: self.newest_result(began),
            out,
            err,
        }
    }

    /// Builds a good package, and looks that nothing is left.
    pub fn assert_builds(&self) -> PathBuf {
        let ran = self.build(&self.package("good", "echo fine"), &[]);
        assert_eq!(ran.code, Some(0), "a good package no longer builds: {ran}");
        self.results.join("good-1-1")
    }

    fn said(&self, name: &str) -> PathBuf {
        self.path(&format!("said.{name}"))
    }

    fn newest_result(&self, since: Instant) -> Option<serde_json::Value> {
        let mut found = None;
        for entry in fs::read_dir(&self.results).ok()?.flatten() {
            let path = entry.path().join("result.json");
            let age = fs::metadata(&path).and_then(|about| about.modified()).ok();
            let age = age.and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age <= since.elapsed()) {
                found = Some(path);
            }
        }
        serde_json::from_slice(&fs::read(found?).ok()?).ok()
    }
}

/// Sends a signal to a process that this one has started.
pub(crate) fn kill(id: u32, signal: Signal) -> io::Result<()> {
    let pid = Pid::from_raw(id.try_into().expect("a process id")).expect("not 0");
    Ok(rustix::process::kill_process(pid, signal)?)
}

impl Drop for Kiln {
    /// Layers belong to the jails' ids: kiln removes them.
    fn drop(&mut self) {
        let _ = fs::set_permissions(&self.folder, Permissions::from_mode(0o700));
        let _ = self.command(&["cache", "gc", "--unused", "0"]).output();
    }
}
