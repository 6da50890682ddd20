use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// The user that tests run kiln as when they are run as root; `scripts/test-user` makes it.
pub const TEST_USER: &str = "kiln-test";

/// Why a test cannot be run on this machine.
#[derive(Debug)]
pub struct Skipped(pub String);

/// A folder of its own for one test, reachable by the user that kiln runs as, and that user.
///
/// kiln never builds as root. Where the tests are run as root, as in CI, the programs that they
/// start are run as [`TEST_USER`]; otherwise as whoever runs them.
#[derive(Debug)]
pub struct Ground {
    folder: TempDir,
    user: Option<User>,
}

#[derive(Debug, Clone)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

impl Ground {
    /// Makes the folder, and finds the user.
    pub fn new() -> Result<Self, Skipped> {
        Self::of_user(TEST_USER)
    }

    /// As [`Ground::new`], where root runs the tests for another user than the usual one.
    pub fn of_user(name: &str) -> Result<Self, Skipped> {
        let trouble = |error: anyhow::Error| Skipped(format!("{error:#}"));
        let user = match rustix::process::geteuid().is_root() {
            true => Some(find_user(name).map_err(trouble)?),
            false => None,
        };
        let folder = make_folder(user.as_ref()).map_err(trouble)?;
        Ok(Self { folder, user })
    }

    /// As [`Ground::new`]; prints why and gives nothing where the test cannot run here. The lane
    /// that must run it sets `KILN_NO_SKIP`, and then this panics instead.
    #[must_use]
    pub fn or_skip() -> Option<Self> {
        match Self::new() {
            Ok(ground) => Some(ground),
            Err(Skipped(why)) => {
                skip(&why);
                None
            }
        }
    }

    /// The folder: writable by the user, on a disk and not in memory.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A copy of a program that the user can start, whoever may read where it was built.
    pub fn program(&self, built: &Path) -> Result<PathBuf> {
        let name = built.file_name().context("a program has a name")?;
        let folder = self.path().join("bin");
        fs::create_dir_all(&folder)?;
        let copy = folder.join(name);
        if !copy.exists() {
            fs::copy(built, &copy).with_context(|| format!("copying {}", built.display()))?;
        }
        for path in [&folder, &copy] {
            fs::set_permissions(path, Permissions::from_mode(0o755))?;
        }
        Ok(copy)
    }

    /// A folder in this one that belongs to the user.
    pub fn own_folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(&path)?;
        if let Some(user) = &self.user {
            chown(&path, Some(user.uid), Some(user.gid))?;
        }
        Ok(path)
    }

    /// The user's name, where it is not that of this process.
    pub fn user(&self) -> Option<&str> {
        self.user.as_ref().map(|user| user.name.as_str())
    }

    /// A command that runs as the user, in an environment of its own.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.path());
        command.env("LANG", "C.UTF-8");
        command.current_dir(self.path());
        if let Some(user) = &self.user {
            command.env("USER", &user.name).uid(user.uid).gid(user.gid);
        }
        command
    }
}

/// A command as it is, begun by another program: `by`, whose last arguments it becomes, and which gets its
/// folder and its environment.
#[must_use]
pub fn begun_by(mut by: Command, command: &Command) -> Command {
    by.env_clear();
    by.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        by.current_dir(folder);
    }
    by.arg(command.get_program()).args(command.get_args());
    by
}

/// Says that a test is skipped, and why; panics in the lane that must run everything.
pub fn skip(why: &str) {
    assert!(std::env::var_os("KILN_NO_SKIP").is_none(), "skipped where nothing may be: {why}");
    eprintln!("skipped, because {why}");
}

/// Says that a test is for root alone. An ordinary user's lane may lack it: root's has it.
pub fn only_for_root(why: &str) {
    eprintln!("skipped, because only root can {why}");
}

fn find_user(name: &str) -> Result<User> {
    let passwd = fs::read_to_string("/etc/passwd")?;
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name));
    let Some(line) = line else {
        bail!("there is no user {name} for tests run as root ('scripts/test-user' makes it)");
    };
    let fields: Vec<&str> = line.split(':').collect();
    let [_, _, uid, gid, ..] = fields[..] else { bail!("a strange line in /etc/passwd") };
    Ok(User { name: name.to_owned(), uid: uid.parse()?, gid: gid.parse()? })
}

fn make_folder(user: Option<&User>) -> Result<TempDir> {
    // /tmp may be memory, and layers and uppers want a filesystem that holds them.
    let parent = std::env::var_os("KILN_TEST_DIR").map_or("/var/tmp".into(), PathBuf::from);
    let folder = tempfile::Builder::new().prefix("kiln-").tempdir_in(parent)?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    if let Some(user) = user {
        chown(folder.path(), Some(user.uid), Some(user.gid))?;
    }
    Ok(folder)
}
