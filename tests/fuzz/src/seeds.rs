//! Good inputs, made by the code that writes them.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use kiln_cas::Cas;
use kiln_repo::{Entry, Records, WriteOptions, write_repo};

/// One good input of each kind, or some.
#[derive(Debug)]
pub struct Seeds {
    /// A binary and a source package.
    pub packages: Vec<Vec<u8>>,
    /// `repomd.xml`.
    pub repomd: Vec<u8>,
    /// Primary metadata, unpacked.
    pub primary: Vec<u8>,
    /// File lists, unpacked.
    pub filelists: Vec<u8>,
    /// The targets that kiln brings.
    pub targets: Vec<Vec<u8>>,
}

impl Seeds {
    /// Makes them; `targets` is the folder of target files.
    pub fn make(targets: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let packages = vec![package(false)?, package(true)?];
        let cas = Cas::open(&folder.path().join("blobs"))?;
        let records = Records::open(&folder.path().join("records"));
        let digest = cas.insert_bytes(&packages[0])?;
        let record = records.of(&cas, &digest)?;
        let location = "Packages/kiln-fuzz-1.0-1.x86_64.rpm".to_owned();
        let entries = [Entry { record: &record, location, mtime: 1 }];
        let options = WriteOptions { revision: 1, gzip: false };
        write_repo(&entries, folder.path(), &options)?;
        let repodata = folder.path().join("repodata");
        let targets =
            fs::read_dir(targets)?.filter_map(|entry| fs::read(entry.ok()?.path()).ok()).collect();
        Ok(Self {
            packages,
            repomd: fs::read(repodata.join("repomd.xml"))?,
            primary: unpacked(&repodata, "primary")?,
            filelists: unpacked(&repodata, "filelists")?,
            targets,
        })
    }
}

fn unpacked(repodata: &Path, kind: &str) -> Result<Vec<u8>> {
    let entries = fs::read_dir(repodata)?.filter_map(|entry| Some(entry.ok()?.path()));
    let path = entries
        .filter(|path| path.to_string_lossy().contains(&format!("-{kind}.xml")))
        .min()
        .with_context(|| format!("no {kind} metadata were written"))?;
    let mut bytes = Vec::new();
    zstd::Decoder::new(fs::File::open(path)?)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn package(is_source: bool) -> Result<Vec<u8>> {
    let mut builder = rpm::PackageBuilder::new("kiln-fuzz", "1.0", "MIT", "x86_64", "to be broken");
    builder
        .release("1")
        .requires(rpm::Dependency::greater_eq("zlib", "1.2"))
        .requires(rpm::Dependency::any("(gcc if make)"))
        .provides(rpm::Dependency::any("pkgconfig(kiln)"))
        .add_changelog_entry("A <a@example.org>", "- first", 1_u32)
        .with_file_contents("text", rpm::FileOptions::new("/usr/share/kiln/file"))?;
    let mut bytes = Vec::new();
    builder.build()?.write(&mut bytes)?;
    if is_source {
        // A source package is one by its lead, and has no tag that names a source package.
        bytes[7] = 1;
        let tag = 1044_u32.to_be_bytes();
        if let Some(at) = bytes.windows(4).position(|four| four == tag) {
            bytes[at..at + 4].copy_from_slice(&9999_u32.to_be_bytes());
        }
    }
    Ok(bytes)
}
