//! The first tree of a machine: our own program as its init, and the drivers. A cpio archive of
//! the form "newc" (the kernel's driver-api/early-userspace/buffer-format.rst).

/// Where the drivers are, in the order in which they are loaded.
pub(crate) const DRIVERS: &str = "modules";

/// Folders that a machine mounts things at.
const FOLDERS: [&str; 5] = ["dev", "proc", "sys", "new", DRIVERS];

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const DEVICE: u32 = 0o020_600;

/// Puts it together.
pub(crate) fn initrd(program: &[u8], drivers: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.entry(folder, FOLDER, (0, 0), &[]);
    }
    // The kernel opens it before anything can have mounted the others.
    archive.entry("dev/console", DEVICE, (5, 1), &[]);
    archive.entry("init", PROGRAM, (0, 0), program);
    for (number, (name, bytes)) in drivers.iter().enumerate() {
        archive.entry(&format!("{DRIVERS}/{number:02}-{name}.ko"), FILE, (0, 0), bytes);
    }
    archive.entry("TRAILER!!!", 0, (0, 0), &[]);
    archive.bytes
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    count: u32,
}

impl Archive {
    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.count += 1;
        let size = u32::try_from(content.len()).expect("no file of ours is larger than 4 GiB");
        let name_size = name.len() as u32 + 1;
        let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
        let (major, minor) = device;
        // ino, mode, uid, gid, nlink, mtime, filesize, the file's device, the node's, name, check.
        let fields = [self.count, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn cpio_reads_what_was_put_together() {
        let drivers = [("virtio".to_owned(), b"abc".to_vec())];
        let archive = initrd(b"program", &drivers);
        assert_eq!(archive.len() % 4, 0);
        let started = Command::new("cpio")
            .args(["--list", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = started else {
            println!("skipped, because there is no cpio");
            return;
        };
        child.stdin.take().expect("a pipe").write_all(&archive).expect("written");
        let told = child.wait_with_output().expect("ended");
        let names = String::from_utf8_lossy(&told.stdout).into_owned();
        let expected = "dev\nproc\nsys\nnew\nmodules\ndev/console\ninit\nmodules/00-virtio.ko\n";
        assert_eq!(names, expected);
    }
}
