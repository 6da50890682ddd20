//! Carries out a plan's mounts, inside the new mount namespace, before the guest exists.
//!
//! Every place is resolved inside the new root (`RESOLVE_IN_ROOT`), so a link that a layer holds
//! cannot lead a mount outside. Sources are opened while this process is still the launcher's
//! user, since the state folder is closed to everyone else, and after the mount namespace is
//! made, since overlayfs refuses layers of another one.

use std::ffi::CString;
use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, StatVfsMountFlags, Uid};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};

use crate::plan::{Barrier, Mount, Plan};
use crate::policy::Mounts;

/// The device by which a host runs machines.
const KVM: &str = "/dev/kvm";

/// What went wrong while the jail was made.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub(crate) struct SetupError {
    doing: String,
    #[source]
    source: io::Error,
}

impl SetupError {
    pub(crate) fn new(doing: impl Display, source: impl Into<io::Error>) -> Self {
        Self { doing: doing.to_string(), source: source.into() }
    }
}

/// Says what was being done when a system call failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, SetupError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, SetupError> {
        self.map_err(|source| SetupError { doing: what(), source: source.into() })
    }
}

/// What of the host a plan needs, opened.
pub(crate) struct Sources {
    folder: OwnedFd,
    /// For each mount of the plan: its layers, or its source.
    of_mount: Vec<Vec<OwnedFd>>,
}

impl Sources {
    /// Opens all of it.
    pub(crate) fn open(plan: &Plan) -> Result<Self, SetupError> {
        let folder = open_path(&plan.folder)?;
        let open_all = |mount: &Mount| match mount {
            Mount::Overlay { lowers, .. } => lowers.iter().map(|path| open_path(path)).collect(),
            Mount::ReadOnly { from, .. } => Ok(vec![open_path(from)?]),
            // A plain name, checked with the plan; what lies there is the launcher's own.
            Mount::Own { name, .. } => Ok(vec![open_path(&plan.folder.join(name))?]),
            Mount::Kvm { .. } => Ok(vec![open_path(Path::new(KVM))?]),
            Mount::Memory { .. } | Mount::Proc { .. } | Mount::Dev { .. } => Ok(Vec::new()),
        };
        let of_mount = plan.mounts.iter().map(open_all).collect::<Result<_, SetupError>>()?;
        Ok(Self { folder, of_mount })
    }

    /// Lets go of everything but the plan's folder.
    pub(crate) fn into_folder(self) -> OwnedFd {
        self.folder
    }
}

fn open_path(path: &Path) -> Result<OwnedFd, SetupError> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .doing(|| format!("opening {}", path.display()))
}

/// Makes the tree; gives its root.
pub(crate) fn make_tree(plan: &Plan, sources: &Sources) -> Result<OwnedFd, SetupError> {
    const POINT: &str = "tree";
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .doing(|| "making the mounts private".to_owned())?;
    let policy = Mounts::read().map_err(|error| SetupError::new(error, io::ErrorKind::Other))?;
    rustix::fs::mkdirat(&sources.folder, POINT, Mode::from_raw_mode(0o755))
        .doing(|| "making the mount point of the root".to_owned())?;
    let folder = sources.folder.as_fd();
    let mut root = None;
    for (mount, opened) in plan.mounts.iter().zip(&sources.of_mount) {
        let place = match &root {
            None => Place { root: folder, at: POINT.to_owned() },
            Some(root) => Place::made(OwnedFd::as_fd(root), mount, opened)?,
        };
        perform(mount, &place, opened, sources, plan, &policy).doing_mount(mount)?;
        if root.is_none() {
            root = Some(place.open()?);
        }
    }
    root.ok_or_else(|| SetupError::new("a plan without a root", io::ErrorKind::InvalidInput))
}

/// A place in the tree, looked up anew each time: what is there changes with each mount.
struct Place<'a> {
    root: BorrowedFd<'a>,
    at: String,
}

impl<'a> Place<'a> {
    /// The place of a mount, made where it is missing: a file for a source that is a file, a
    /// folder for anything else.
    fn made(root: BorrowedFd<'a>, mount: &Mount, opened: &[OwnedFd]) -> Result<Self, SetupError> {
        let is_file =
            matches!(mount, Mount::ReadOnly { .. } | Mount::Own { .. } | Mount::Kvm { .. })
                && opened.iter().any(|source| {
                    rustix::fs::fstat(source).is_ok_and(|stat| {
                        FileType::from_raw_mode(stat.st_mode) != FileType::Directory
                    })
                });
        let at = mount.at().trim_start_matches('/').to_owned();
        make_place(root, &at, is_file)?;
        Ok(Self { root, at })
    }

    fn open(&self) -> Result<OwnedFd, SetupError> {
        open_in(self.root, &self.at)
    }

    /// The place `name` below this one.
    fn below(&self, name: &str) -> Self {
        Self { root: self.root, at: format!("{}/{name}", self.at) }
    }

    /// The same, if something is there.
    fn present(&self, name: &str) -> Option<(Self, OwnedFd)> {
        let place = self.below(name);
        place.open().ok().map(|fd| (place, fd))
    }
}

trait DoingMount {
    fn doing_mount(self, mount: &Mount) -> Result<(), SetupError>;
}

impl DoingMount for Result<(), SetupError> {
    fn doing_mount(self, mount: &Mount) -> Result<(), SetupError> {
        self.map_err(|error| {
            let doing = format!("mounting {}: {}", mount.at(), error.doing);
            SetupError { doing, source: error.source }
        })
    }
}

fn perform(
    what: &Mount,
    place: &Place<'_>,
    opened: &[OwnedFd],
    sources: &Sources,
    plan: &Plan,
    policy: &Mounts,
) -> Result<(), SetupError> {
    match what {
        Mount::Overlay { upper, .. } => overlay(place, opened, &sources.folder, upper),
        Mount::Memory { bytes, mode, .. } => memory(place, *bytes, *mode),
        Mount::ReadOnly { .. } => read_only(place, &opened[0]),
        Mount::Own { .. } => own(place, &opened[0]),
        // As the other devices are: bound alone, from the host's own.
        Mount::Kvm { .. } => mount_bind(via_proc(&opened[0]), via_proc(&place.open()?))
            .doing(|| "binding".to_owned()),
        Mount::Proc { .. } => proc(place, policy, plan.is_without(Barrier::ProcMasks)),
        Mount::Dev { .. } => dev(place, policy, plan),
    }
}

/// Makes the tree at `root` the root of this process and lets go of the old one.
pub(crate) fn enter(root: &OwnedFd) -> Result<(), SetupError> {
    rustix::process::fchdir(root).doing(|| "entering the new root".to_owned())?;
    rustix::process::pivot_root(".", ".").doing(|| "changing the root".to_owned())?;
    // The old root is now mounted over the new one: off with it.
    unmount(".", UnmountFlags::DETACH).doing(|| "letting go of the old root".to_owned())?;
    rustix::process::chdir("/").doing(|| "entering the root".to_owned())
}

fn overlay(
    place: &Place<'_>,
    lowers: &[OwnedFd],
    folder: &OwnedFd,
    upper: &str,
) -> Result<(), SetupError> {
    for (part, may_be_there) in [("fs", true), ("work", false)] {
        let name = format!("{upper}/{part}");
        match rustix::fs::mkdirat(folder, &name, Mode::from_raw_mode(0o755)) {
            // What an earlier jail left there on purpose is worked on; a workdir is used once.
            Err(rustix::io::Errno::EXIST) if may_be_there => {}
            made => made.doing(|| format!("making {name}"))?,
        }
    }
    let lowers: Vec<String> = lowers.iter().map(via_proc).collect();
    // volatile: nothing of a throw-away root needs to reach the disk; without it the unmount
    // waits for all of it.
    let options = format!(
        "lowerdir={},upperdir={folder}/{upper}/fs,workdir={folder}/{upper}/work,userxattr,volatile",
        lowers.join(":"),
        folder = via_proc(folder),
    );
    let options = CString::new(options).expect("paths of /proc have no NUL");
    let flags = MountFlags::NODEV | MountFlags::NOSUID;
    mount("overlay", via_proc(&place.open()?), "overlay", flags, options.as_c_str())
        .doing(|| "overlay".to_owned())
}

fn memory(place: &Place<'_>, bytes: u64, mode: u32) -> Result<(), SetupError> {
    let inodes = (bytes / 4096).clamp(64, 1 << 20);
    let options = format!("size={bytes},nr_inodes={inodes},mode={mode:o}");
    let options = CString::new(options).expect("numbers have no NUL");
    let flags = MountFlags::NODEV | MountFlags::NOSUID;
    mount("tmpfs", via_proc(&place.open()?), "tmpfs", flags, options.as_c_str())
        .doing(|| "tmpfs".to_owned())
}

fn read_only(place: &Place<'_>, from: &OwnedFd) -> Result<(), SetupError> {
    mount_bind(via_proc(from), via_proc(&place.open()?)).doing(|| "binding".to_owned())?;
    seal(place, MountFlags::NODEV | MountFlags::NOSUID)
}

fn own(place: &Place<'_>, from: &OwnedFd) -> Result<(), SetupError> {
    mount_bind(via_proc(from), via_proc(&place.open()?)).doing(|| "binding".to_owned())?;
    let top = place.open()?;
    let closed = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    let flags = MountFlags::BIND | closed | locked_flags(&top)?;
    mount_remount(via_proc(&top), flags, "").doing(|| "closing it".to_owned())
}

/// Makes the mount at `place` read-only.
fn seal(place: &Place<'_>, more: MountFlags) -> Result<(), SetupError> {
    let top = place.open()?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | more | locked_flags(&top)?;
    mount_remount(via_proc(&top), flags, "").doing(|| "making it read-only".to_owned())
}

/// Flags that the source's mount carries and that a user namespace may not take off.
fn locked_flags(fd: &OwnedFd) -> Result<MountFlags, SetupError> {
    let flags = rustix::fs::fstatvfs(fd).doing(|| "asking for mount flags".to_owned())?.f_flag;
    let pairs = [
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
    ];
    let carried = pairs.into_iter().filter(|(has, _)| flags.contains(*has));
    Ok(carried.fold(MountFlags::empty(), |all, (_, flag)| all | flag))
}

fn proc(place: &Place<'_>, policy: &Mounts, unmasked: bool) -> Result<(), SetupError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", via_proc(&place.open()?), "proc", flags, None).doing(|| "proc".to_owned())?;
    if unmasked {
        return Ok(());
    }
    for (_, file) in policy.hidden().filter_map(|name| place.present(name)) {
        mount_bind("/dev/null", via_proc(&file)).doing(|| "hiding a file".to_owned())?;
    }
    let sealed = flags | MountFlags::RDONLY;
    for (_, folder) in policy.hidden_folders().filter_map(|name| place.present(name)) {
        mount("tmpfs", via_proc(&folder), "tmpfs", sealed, c"size=4k,nr_inodes=1,mode=555")
            .doing(|| "hiding a folder".to_owned())?;
    }
    for (place, folder) in policy.read_only().filter_map(|name| place.present(name)) {
        mount_bind(via_proc(&folder), via_proc(&folder)).doing(|| "binding".to_owned())?;
        seal(&place, flags)?;
    }
    Ok(())
}

fn dev(place: &Place<'_>, policy: &Mounts, plan: &Plan) -> Result<(), SetupError> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    // Without mode=755 the kernel gives a tmpfs mode 1777.
    let options = c"mode=755,size=64k,nr_inodes=64";
    mount("tmpfs", via_proc(&place.open()?), "tmpfs", flags, options)
        .doing(|| "tmpfs".to_owned())?;
    let dev = place.open()?;
    for name in policy.devices() {
        make(&dev, name, true).doing(|| format!("making {name}"))?;
        let file = place.below(name).open()?;
        mount_bind(format!("/dev/{name}"), via_proc(&file)).doing(|| format!("binding {name}"))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        make(&dev, name, false).doing(|| format!("making {name}"))?;
    }
    let options = c"newinstance,ptmxmode=0666,mode=0620,gid=5";
    mount("devpts", via_proc(&place.below("pts").open()?), "devpts", flags, options)
        .doing(|| "devpts".to_owned())?;
    // Queues of another IPC namespace cannot be mounted.
    if !plan.is_without(Barrier::Ipc) {
        let queues = place.below("mqueue").open()?;
        mount("mqueue", via_proc(&queues), "mqueue", flags | MountFlags::NODEV, None)
            .doing(|| "mqueue".to_owned())?;
    }
    memory(&place.below("shm"), plan.limits.memory / 2, 0o1777)?;
    let links = [
        ("pts/ptmx", "ptmx"),
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
    ];
    for (target, name) in links {
        rustix::fs::symlinkat(target, &dev, name).doing(|| format!("linking {name}"))?;
    }
    Ok(())
}

/// Makes what is missing of `at` inside `root`.
pub(crate) fn make_place(root: BorrowedFd<'_>, at: &str, is_file: bool) -> Result<(), SetupError> {
    if open_in(root, at).is_ok() {
        return Ok(());
    }
    let (parent, name) = at.rsplit_once('/').unwrap_or(("", at));
    if !parent.is_empty() {
        make_place(root, parent, false)?;
    }
    make(&open_in(root, parent)?, name, is_file).doing(|| format!("making {at}"))
}

fn make(parent: &OwnedFd, name: &str, is_file: bool) -> rustix::io::Result<()> {
    if !is_file {
        return rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755));
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
}

/// Opens a path inside `root` without leaving it, whatever links are on the way.
pub(crate) fn open_in(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, SetupError> {
    let path = if path.is_empty() { "." } else { path };
    rustix::fs::openat2(
        root,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
    .doing(|| format!("opening {path} in the new root"))
}

/// Gives `at`, and only it, to a user of the jail.
pub(crate) fn give(at: &OwnedFd, id: u32) -> Result<(), SetupError> {
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    rustix::fs::chownat(at, "", Some(user), Some(group), AtFlags::EMPTY_PATH)
        .doing(|| "giving a folder to the build user".to_owned())
}

fn via_proc(fd: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
