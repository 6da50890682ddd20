//! The kernel that a machine starts: found on the host, or in a folder that a kernel's package was
//! unpacked into. It is never installed, and no file of it is run here.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The drivers that a machine needs, in an order in which each finds what it needs loaded; one
/// that isn't there as a file is part of the kernel itself.
const DRIVERS: [&str; 15] = [
    "virtio",
    "virtio_ring",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "virtio-rng",
    "crc32c_generic",
    "libcrc32c",
    "erofs",
    "overlay",
    "mbcache",
    "jbd2",
    "ext4",
];

/// The largest driver that is taken, unpacked, in bytes.
const DRIVER_CAP: u64 = 16 << 20;

/// A kernel with its drivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, as `uname -r` says in the machine.
    pub release: String,
    /// The image.
    pub image: PathBuf,
    /// The drivers' files, in the order in which they are loaded.
    drivers: Vec<PathBuf>,
}

impl Kernel {
    /// The newest kernel below `root` that is readable and has what a machine needs: `/`, or where
    /// a package was unpacked.
    ///
    /// ```text
    /// ROOT/
    ///   boot/vmlinuz-RELEASE                      or lib/modules/RELEASE/vmlinuz
    ///   lib/modules/RELEASE/kernel/**/NAME.ko     perhaps below usr/, perhaps packed
    /// ```
    pub fn find_in(root: &Path) -> Option<Self> {
        let mut found: Vec<Self> = ["lib/modules", "usr/lib/modules"]
            .iter()
            .filter_map(|folder| fs::read_dir(root.join(folder)).ok())
            .flat_map(|entries| entries.flatten())
            .filter_map(|entry| Self::of_release(root, &entry.path()))
            .collect();
        found.sort_by_key(|kernel| numbers_in(&kernel.release));
        found.pop()
    }

    fn of_release(root: &Path, modules: &Path) -> Option<Self> {
        let release = modules.file_name()?.to_str()?.to_owned();
        let images =
            [root.join("boot").join(format!("vmlinuz-{release}")), modules.join("vmlinuz")];
        let image = images.into_iter().find(|image| fs::File::open(image).is_ok())?;
        let mut files = Vec::new();
        list_drivers(&modules.join("kernel"), 0, &mut files);
        let named = |name: &&str| {
            files.iter().find(|file| driver_name(file) == name.replace('-', "_")).cloned()
        };
        let drivers: Vec<PathBuf> = DRIVERS.iter().filter_map(named).collect();
        Some(Self { release, image, drivers })
    }

    /// The drivers' names and contents, unpacked.
    pub(crate) fn drivers(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let read = |file: &PathBuf| Ok((driver_name(file), unpacked(file)?));
        self.drivers.iter().map(read).collect()
    }
}

fn list_drivers(folder: &Path, depth: u32, into: &mut Vec<PathBuf>) {
    const DEPTH: u32 = 12;
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && depth < DEPTH {
            list_drivers(&entry.path(), depth + 1, into);
        } else if entry.file_name().to_string_lossy().contains(".ko") {
            into.push(entry.path());
        }
    }
}

/// `virtio_pci` of `…/virtio_pci.ko.xz`; hyphens and underscores mean the same there.
fn driver_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.split(".ko").next().unwrap_or_default().replace('-', "_")
}

/// `6.1.0-48-cloud` as [6, 1, 0, 48]: what is newer is greater.
fn numbers_in(release: &str) -> Vec<u64> {
    let numbers = release.split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

fn unpacked(file: &Path) -> io::Result<Vec<u8>> {
    let (_, mut reader) = kiln_parse::compression::unpack(fs::File::open(file)?, DRIVER_CAP)?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, "x").expect("written");
    }

    #[test]
    fn the_newest_kernel_with_an_image_is_taken_with_its_drivers_in_order() {
        let root = tempfile::tempdir().expect("a folder");
        for (release, has_image) in
            [("6.1.0-9-cloud", true), ("6.1.0-48-cloud", true), ("6.9.0", false)]
        {
            put(root.path(), &format!("lib/modules/{release}/kernel/fs/erofs/erofs.ko"));
            put(root.path(), &format!("lib/modules/{release}/kernel/drivers/virtio/virtio.ko"));
            put(root.path(), &format!("lib/modules/{release}/kernel/drivers/char/virtio-rng.ko"));
            if has_image {
                put(root.path(), &format!("boot/vmlinuz-{release}"));
            }
        }
        let kernel = Kernel::find_in(root.path()).expect("found");
        assert_eq!(kernel.release, "6.1.0-48-cloud");
        let names: Vec<String> =
            kernel.drivers().expect("read").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["virtio", "virtio_rng", "erofs"]);
    }

    #[test]
    fn where_there_is_no_kernel_there_is_none() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(Kernel::find_in(root.path()), None);
    }
}
