//! What attacks aim at: a file, a listener, a name, a process, all made for one round and of no
//! worth.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often listeners look whether somebody came.
const PAUSE: Duration = Duration::from_millis(20);

/// How many files there are.
const FILES: usize = 3;

/// What a signer keeps, and where it listens.
const KEY: &str = "signing.key";
const SOCKET: &str = "signer";

/// The canaries of one round.
pub(super) struct Ground {
    folder: tempfile::TempDir,
    /// Where a signer's key and socket would be: in kiln's own folder.
    keys: tempfile::TempDir,
    /// A word that nobody else has.
    pub(super) word: String,
    port: u16,
    name: String,
    heard: Arc<AtomicU32>,
    is_over: Arc<AtomicBool>,
    listeners: Vec<JoinHandle<()>>,
    bystander: Child,
}

impl Ground {
    pub(super) fn make(state: &Path) -> io::Result<Self> {
        let word = format!("canary-{}", kiln_access::Secret::new("contest").text());
        let folder = tempfile::Builder::new().prefix("kiln-contest-").tempdir()?;
        // Open to everyone: what keeps an attack from it is the jail alone.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        fs::write(folder.path().join("secret"), &word)?;
        fs::write(folder.path().join("open"), &word)?;
        fs::set_permissions(folder.path().join("open"), Permissions::from_mode(0o666))?;
        // For who follows a link to the folder and takes what is called as packages are.
        fs::write(folder.path().join("canary-1-1.noarch.rpm"), &word)?;
        fs::create_dir_all(state)?;
        let keys = tempfile::Builder::new().prefix("contest-keys-").tempdir_in(state)?;
        fs::write(keys.path().join(KEY), &word)?;
        fs::set_permissions(keys.path().join(KEY), Permissions::from_mode(0o600))?;
        let by_path = UnixListener::bind(keys.path().join(SOCKET))?;
        by_path.set_nonblocking(true)?;
        let (heard, is_over) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let by_port = TcpListener::bind("127.0.0.1:0")?;
        by_port.set_nonblocking(true)?;
        let port = by_port.local_addr()?.port();
        let name = format!("kiln-contest-{}-{port}", std::process::id());
        let by_name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        by_name.set_nonblocking(true)?;
        let listeners = vec![
            listen(&heard, &is_over, move || by_port.accept().is_ok()),
            listen(&heard, &is_over, move || by_name.accept().is_ok()),
            listen(&heard, &is_over, move || by_path.accept().is_ok()),
        ];
        // Its environment has the word, as a builder's might have a credential.
        let bystander = Command::new("sleep")
            .arg("86400")
            .env("KILN_CONTEST_SECRET", &word)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { folder, keys, word, port, name, heard, is_over, listeners, bystander })
    }

    /// The names by which specs know them.
    pub(super) fn macros(&self) -> BTreeMap<String, String> {
        let of = |folder: &Path, name: &str| folder.join(name).to_string_lossy().into_owned();
        let path = |name: &str| of(self.folder.path(), name);
        let key = |name: &str| of(self.keys.path(), name);
        [
            ("contest_secret", path("secret")),
            ("contest_open", path("open")),
            ("contest_folder", self.folder.path().to_string_lossy().into_owned()),
            ("contest_key", key(KEY)),
            ("contest_signer", key(SOCKET)),
            ("contest_port", self.port.to_string()),
            ("contest_name", self.name.clone()),
            ("contest_process", self.bystander.id().to_string()),
            // Makes packages of each round others: a layer that is there already runs no scriptlet.
            ("contest_run", format!("{}-{}", std::process::id(), self.port)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The file whose content nobody may learn.
    pub(super) fn secret(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    /// Whether somebody came to a listener.
    pub(super) fn was_heard(&self) -> bool {
        std::thread::sleep(PAUSE * 3);
        self.heard.load(Ordering::SeqCst) > 0
    }

    /// What is not as it was.
    pub(super) fn harmed(&mut self) -> Vec<String> {
        let mut harmed = Vec::new();
        for name in ["secret", "open", "canary-1-1.noarch.rpm"] {
            let path = self.folder.path().join(name);
            if fs::read_to_string(&path).ok().as_deref() != Some(&self.word) {
                harmed.push(format!("{} was changed", path.display()));
            }
        }
        if fs::read_dir(self.folder.path()).map_or(0, Iterator::count) != FILES {
            harmed.push("the canaries' folder was changed".to_owned());
        }
        if fs::read_to_string(self.keys.path().join(KEY)).ok().as_deref() != Some(&self.word) {
            harmed.push("the key in kiln's folder was changed".to_owned());
        }
        if !matches!(self.bystander.try_wait(), Ok(None)) {
            harmed.push("a process beside the build was ended".to_owned());
        }
        harmed
    }
}

fn listen(
    heard: &Arc<AtomicU32>,
    is_over: &Arc<AtomicBool>,
    came: impl Fn() -> bool + Send + 'static,
) -> JoinHandle<()> {
    let (heard, is_over) = (Arc::clone(heard), Arc::clone(is_over));
    std::thread::spawn(move || {
        while !is_over.load(Ordering::SeqCst) {
            match came() {
                true => drop(heard.fetch_add(1, Ordering::SeqCst)),
                false => std::thread::sleep(PAUSE),
            }
        }
    })
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = self.bystander.kill();
        let _ = self.bystander.wait();
        for listener in self.listeners.drain(..) {
            let _ = listener.join();
        }
    }
}
