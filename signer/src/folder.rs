//! The folder that holds the keys and says what they signed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use kiln_model::Digest;
use kiln_wire::signer::{KeyName, Sign};
use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, fsync, mkdirat, openat,
    renameat_with, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{geteuid, getpid};

/// The longest file of a key, in bytes; one of RSA with 4096 bits has some 3,500.
const FILE_CAP: u64 = 64 << 10;

/// What everything is below the process's working directory, which is opened once and never
/// named again:
///
/// ```text
/// FOLDER/               0700
///   keys.v1/            0700
///     lock              held while a key is made
///     .new-PID/         a key that is being made, or that a killed signer left
///     NAME/             0700: one key; appears whole, by a rename
///       openpgp.key     0600: an OpenPGP secret key, binary, without a passphrase
///       statement.key   0600: the 32 bytes of an Ed25519 secret key
///   signed.log          0600: a line for each signature: seconds since 1970, key, kind,
///                       sha256 of what was signed; only ever appended to
/// ```
#[derive(Debug)]
pub(crate) struct Folder {
    root: OwnedFd,
    keys: OwnedFd,
    /// Whose all of it must be.
    user: u32,
}

/// The two secrets of a key, as they lie on the disk.
pub(crate) struct Secrets {
    pub(crate) openpgp: Vec<u8>,
    pub(crate) statement: Vec<u8>,
}

const OPENPGP: &str = "openpgp.key";
const STATEMENT: &str = "statement.key";
const BEGUN: &str = ".new-";

const SECRET: Mode = Mode::RUSR.union(Mode::WUSR);
const PRIVATE: Mode = Mode::RWXU;

/// Says what was being done when the system refused.
fn refused(doing: &'static str) -> impl Fn(Errno) -> String {
    move |error| format!("{doing}: {}", io::Error::from(error))
}

impl Folder {
    /// The working directory, which nobody else may read.
    pub(crate) fn open() -> Result<Self, String> {
        let folder = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let root = openat(rustix::fs::CWD, ".", folder, Mode::empty())
            .map_err(refused("opening the folder of the keys"))?;
        let user = geteuid().as_raw();
        check_private(root.as_fd(), "the folder of the keys", user)?;
        make_folder(root.as_fd(), "keys.v1")?;
        let keys =
            openat(&root, "keys.v1", folder, Mode::empty()).map_err(refused("opening keys.v1"))?;
        check_private(keys.as_fd(), "keys.v1", user)?;
        Ok(Self { root, keys, user })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens the log, to be appended to.
    pub(crate) fn open_log(&self) -> Result<Log, String> {
        let append = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        openat(&self.root, "signed.log", append | OFlags::NOFOLLOW, SECRET)
            .map(|file| Log { file: file.into() })
            .map_err(refused("opening signed.log"))
    }

    /// The secrets of a key, if it is there.
    pub(crate) fn find(&self, key: &KeyName) -> Result<Option<Secrets>, String> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let folder = match openat(&self.keys, key.as_str(), flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(refused("opening a key")(error)),
        };
        let openpgp = read(&folder, OPENPGP, self.user)?;
        let statement = read(&folder, STATEMENT, self.user)?;
        Ok(Some(Secrets { openpgp, statement }))
    }

    /// Keeps a key that `make` makes, unless it is there by now; then that one. One signer at a
    /// time is in here, so that two never make the same key.
    pub(crate) fn find_or_make(
        &self,
        key: &KeyName,
        make: impl FnOnce() -> Result<Secrets, String>,
    ) -> Result<Secrets, String> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let lock = openat(&self.keys, "lock", flags, SECRET).map_err(refused("opening lock"))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(refused("locking"))?;
        if let Some(secrets) = self.find(key)? {
            return Ok(secrets);
        }
        self.remove_begun()?;
        let secrets = make()?;
        let name = format!("{BEGUN}{}", getpid().as_raw_pid());
        mkdirat(&self.keys, &name, PRIVATE).map_err(refused("making a key's folder"))?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let folder = openat(&self.keys, &name, flags, Mode::empty())
            .map_err(refused("opening a key's folder"))?;
        write(&folder, OPENPGP, &secrets.openpgp)?;
        write(&folder, STATEMENT, &secrets.statement)?;
        let synced = fsync(&folder)
            .and_then(|()| {
                let only_new = RenameFlags::NOREPLACE;
                renameat_with(&self.keys, &name, &self.keys, key.as_str(), only_new)
            })
            .and_then(|()| fsync(&self.keys));
        synced.map_err(refused("keeping a key"))?;
        Ok(secrets)
    }

    /// Removes what signers left that were killed while they made a key.
    fn remove_begun(&self) -> Result<(), String> {
        let listing = refused("listing keys.v1");
        let names: Vec<_> = Dir::read_from(&self.keys)
            .map_err(&listing)?
            .map(|entry| entry.map(|entry| entry.file_name().to_owned()))
            .collect::<Result<_, _>>()
            .map_err(&listing)?;
        for name in names.iter().filter(|name| name.to_bytes().starts_with(BEGUN.as_bytes())) {
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let folder = openat(&self.keys, name, flags, Mode::empty())
                .map_err(refused("opening what a killed signer left"))?;
            for file in [OPENPGP, STATEMENT] {
                match unlinkat(&folder, file, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => return Err(refused("removing half a key")(error)),
                }
            }
            unlinkat(&self.keys, name, AtFlags::REMOVEDIR)
                .map_err(refused("removing half a key"))?;
        }
        Ok(())
    }
}

fn make_folder(at: BorrowedFd<'_>, name: &'static str) -> Result<(), String> {
    match mkdirat(at, name, PRIVATE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(refused("making keys.v1")(error)),
    }
}

fn check_private(file: BorrowedFd<'_>, what: &str, user: u32) -> Result<(), String> {
    let status = fstat(file).map_err(refused("looking at a key"))?;
    if status.st_uid != user {
        return Err(format!("{what} belongs to another user"));
    }
    if status.st_mode & 0o077 != 0 {
        return Err(format!("{what} may be read by others: take the rights of group and others"));
    }
    Ok(())
}

fn read(folder: &OwnedFd, name: &'static str, user: u32) -> Result<Vec<u8>, String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = openat(folder, name, flags, Mode::empty()).map_err(refused("opening a key"))?;
    check_private(file.as_fd(), name, user)?;
    let mut bytes = Vec::new();
    let file = File::from(file);
    file.take(FILE_CAP).read_to_end(&mut bytes).map_err(|error| format!("reading: {error}"))?;
    Ok(bytes)
}

fn write(folder: &OwnedFd, name: &'static str, bytes: &[u8]) -> Result<(), String> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, SECRET).map_err(refused("making a key's file"))?;
    let mut file = File::from(file);
    file.write_all(bytes).map_err(|error| format!("writing a key: {error}"))?;
    fsync(&file).map_err(refused("writing a key"))
}

/// What was signed.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
}

impl Log {
    /// Appends a line, in one write, and returns when it is on the disk: no signature is out of
    /// which a power cut takes the line away.
    pub(crate) fn note(&mut self, ask: &Sign, digest: &Digest) -> Result<(), String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let line = format!("{now} {} {} {}\n", ask.key, ask.kind.word(), digest.hex());
        self.file
            .write_all(line.as_bytes())
            .map_err(|error| format!("writing to signed.log: {error}"))?;
        fsync(&self.file).map_err(refused("writing to signed.log"))
    }
}
