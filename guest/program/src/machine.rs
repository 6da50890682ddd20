//! The machine itself, as its init sees it: drivers, disks, the channel to the host, the end.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use kiln_jail::machine_messages::{CHANNEL, LAYERS, SCRATCH, SCRATCH_DISK};
use kiln_wire::frame::FrameError;
use rustix::mount::{MountFlags, mount, mount_move};

/// Where the drivers lie in the first tree, in the order in which they are to be loaded.
const DRIVERS: &str = "/modules";

/// How long devices are waited for, in steps of a millisecond.
const PATIENCE: u32 = 20_000;

/// Why a machine does nothing.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The kernel, or a disk, refused.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// What was said.
        #[source]
        source: io::Error,
    },
    /// The channel to the host.
    #[error("speaking to the host")]
    Channel(#[from] FrameError),
}

/// Says what was being done when something failed.
pub fn doing<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> MachineError {
    let doing = what.into();
    move |source| MachineError::Io { doing, source: source.into() }
}

/// Loads the drivers, moves to a tree that can be left again, and opens the channel.
pub fn start() -> Result<File, MachineError> {
    for (kind, at) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        mounted(kind, kind, at, MountFlags::empty(), "")?;
    }
    load_drivers()?;
    leave_first_tree()?;
    let port = wait_for("the channel to the host", || port_named(CHANNEL))?;
    let file = OpenOptions::new().read(true).write(true).open(&port);
    file.map_err(doing(format!("opening {}", port.display())))
}

/// Ends the machine. `reboot` is what an emulator that was told so takes for an end.
pub fn end() -> ExitCode {
    let _ = rustix::system::reboot(rustix::system::RebootCommand::Restart);
    // A kernel whose init ends does the same, with more words.
    ExitCode::FAILURE
}

/// How long the machine has been up, in milliseconds.
pub fn up_ms() -> u64 {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    up.tv_sec.unsigned_abs() * 1000 + up.tv_nsec.unsigned_abs() / 1_000_000
}

/// Mounts the layers, the scratch disk, and the tree of control groups.
pub fn mount_disks(layers: u32) -> Result<(), MachineError> {
    for number in 0..layers {
        let at = format!("{LAYERS}/{number}");
        fs::create_dir_all(&at).map_err(doing("making a mount point"))?;
        let disk = disk(&format!("layer-{number}"))?;
        mounted(&disk, "erofs", &at, MountFlags::RDONLY, "")?;
    }
    fs::create_dir_all(SCRATCH).map_err(doing("making a mount point"))?;
    let scratch = disk(SCRATCH_DISK)?;
    mounted(&scratch, "ext4", SCRATCH, MountFlags::NODEV, "noinit_itable,nobarrier")?;
    mounted("cgroup2", "cgroup2", "/sys/fs/cgroup", MountFlags::empty(), "")
}

fn mounted(
    source: &str,
    kind: &str,
    at: &str,
    flags: MountFlags,
    options: &str,
) -> Result<(), MachineError> {
    let options = std::ffi::CString::new(options).expect("options of ours have no NUL");
    mount(source, at, kind, flags, options.as_c_str())
        .map_err(doing(format!("mounting {source} at {at}")))
}

/// In their order; one that the kernel has already, or needs no more, is no failure.
fn load_drivers() -> Result<(), MachineError> {
    let mut files: Vec<PathBuf> = fs::read_dir(DRIVERS)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(doing("listing the drivers"))?;
    files.sort();
    for file in files {
        let opened = File::open(&file).map_err(doing("opening a driver"))?;
        if let Err(error) = rustix::system::finit_module(&opened, c"", 0)
            && error != rustix::io::Errno::EXIST
        {
            eprintln!("kiln: {}: {error}", file.display());
        }
    }
    Ok(())
}

/// The kernel's first tree cannot be left by `pivot_root`, which a jail does: so another one is put
/// over it (the kernel's filesystems/ramfs-rootfs-initramfs.rst).
fn leave_first_tree() -> Result<(), MachineError> {
    mounted("tmpfs", "tmpfs", "/new", MountFlags::NODEV, "mode=755,size=1m")?;
    for name in ["dev", "proc", "sys"] {
        fs::create_dir(format!("/new/{name}")).map_err(doing("making a mount point"))?;
        mount_move(format!("/{name}"), format!("/new/{name}"))
            .map_err(doing(format!("moving /{name}")))?;
    }
    rustix::process::chdir("/new")
        .and_then(|()| mount_move(".", "/"))
        .and_then(|()| rustix::process::chroot("."))
        .and_then(|()| rustix::process::chdir("/"))
        .map_err(doing("changing the root"))
}

fn wait_for<T>(what: &str, find: impl Fn() -> Option<T>) -> Result<T, MachineError> {
    for _ in 0..PATIENCE {
        if let Some(found) = find() {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(doing(format!("waiting for {what}"))(io::Error::from(io::ErrorKind::TimedOut)))
}

fn port_named(name: &str) -> Option<PathBuf> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    let is_it =
        |port: &Path| fs::read_to_string(port.join("name")).is_ok_and(|found| found.trim() == name);
    let port = ports.flatten().map(|entry| entry.path()).find(|port| is_it(port))?;
    let device = Path::new("/dev").join(port.file_name()?);
    device.exists().then_some(device)
}

fn disk(name: &str) -> Result<String, MachineError> {
    wait_for(&format!("the disk {name}"), || disk_named(name))
}

fn disk_named(name: &str) -> Option<String> {
    let disks = fs::read_dir("/sys/block").ok()?;
    let is_it = |disk: &Path| {
        fs::read_to_string(disk.join("serial")).is_ok_and(|found| found.trim() == name)
    };
    let disk = disks.flatten().map(|entry| entry.path()).find(|disk| is_it(disk))?;
    let device = Path::new("/dev").join(disk.file_name()?);
    device.exists().then(|| device.to_string_lossy().into_owned())
}
