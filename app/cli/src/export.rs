//! `kiln export`: a build in one file.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::HumanBytes;
use kiln_attest::read_canonical;
use kiln_bundle::Bundle;
use kiln_cas::Cas;
use kiln_model::{Digest, Hasher};
use kiln_wire::record::Record;
use serde::Serialize;

use crate::client::{Client, print};
use crate::failure::{Failure, doing};
use crate::folders::Folders;
use crate::results::RECORD;

/// What `kiln export` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A build that was made on this machine: BUILD is its folder of results
    #[arg(long)]
    local: bool,

    /// Where the bundle goes; a file in this folder where nothing is said
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// As JSON
    #[arg(long)]
    json: bool,

    /// The job of a service, or with --local a folder of results
    build: String,
}

/// The longest record that is read, in bytes.
const RECORD_CAP: usize = 16 << 20;

#[derive(Debug, Serialize)]
struct Exported {
    file: PathBuf,
    size: u64,
    /// Of the whole file.
    digest: Digest,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments { local, output, json, build } = arguments;
    let exported = match local {
        true => of_folder(Path::new(build), output.as_deref())?,
        false => of_job(build, output.as_deref())?,
    };
    print(*json, &exported, || {
        let Exported { file, size, digest } = &exported;
        vec![vec![file.display().to_string(), HumanBytes(*size).to_string(), digest.to_string()]]
    });
    Ok(ExitCode::SUCCESS)
}

fn of_folder(folder: &Path, output: Option<&Path>) -> Result<Exported, Failure> {
    let path = folder.join(RECORD);
    let bytes = fs::read(&path).map_err(|error| {
        let hint = "name a folder that 'kiln build --local' wrote and whose build ended well";
        let error = format!("{} cannot be read: {error}", path.display());
        Failure::caller(error, Some(hint.to_owned()))
    })?;
    let record: Record = read_canonical(&bytes, "record", RECORD_CAP)?;
    let folders = Folders::find()?;
    let _in_use = folders.in_use()?;
    let cas = Cas::open(&folders.blobs())?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = if name.is_empty() { "build".to_owned() } else { name };
    let bundle = Bundle::of(record, None, &cas)?;
    let to = output.map_or_else(|| PathBuf::from(format!("{name}.kiln.tar")), Path::to_owned);
    let mut file = Output::begin(&to)?;
    bundle.write(&mut file)?;
    file.end()
}

fn of_job(job: &str, output: Option<&Path>) -> Result<Exported, Failure> {
    let job: i64 = job.parse().map_err(|_| {
        let hint = "'kiln builds' shows their numbers; a folder of results is for --local";
        Failure::caller(format!("{job:?} is not the number of a job"), Some(hint.to_owned()))
    })?;
    let client = Client::find()?;
    let to = output.map_or_else(|| PathBuf::from(format!("job-{job}.kiln.tar")), Path::to_owned);
    let mut file = Output::begin(&to)?;
    client.read(&format!("/api/v1/jobs/{job}/bundle"), |piece| {
        file.write_all(piece).map_err(doing(format!("writing {}", to.display())))
    })?;
    file.end()
}

/// A file that is there whole or not at all.
struct Output {
    file: BufWriter<tempfile::NamedTempFile>,
    path: PathBuf,
    hasher: Hasher,
}

impl Output {
    fn begin(path: &Path) -> Result<Self, Failure> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let file = tempfile::NamedTempFile::new_in(parent);
        let file = file.map_err(doing(format!("writing to {}", parent.display())))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { file, path: path.to_owned(), hasher: Hasher::new() })
    }

    fn end(self) -> Result<Exported, Failure> {
        let Self { file, path, hasher } = self;
        let failed = || doing(format!("writing {}", path.display()));
        let file = file.into_inner().map_err(|error| failed()(error.into_error()))?;
        let file: File = file.persist(&path).map_err(|error| failed()(error.error))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.set_permissions(mode).map_err(failed())?;
        let size = hasher.bytes();
        Ok(Exported { size, digest: hasher.finish(), file: path })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
